"""What an import has warned of is known of its own target, through a switchover, a re-protect and a failback."""

from __future__ import annotations

from support.delivery import job, put, source
from support.switchover import AT_REST, SwitchPair

WARNING = "limit import: the password of 'crm', and others, cannot be decrypted"


def doubts(pair: SwitchPair) -> list[tuple[str, str, bool]]:
    return [(doubt.role, doubt.text, bool(doubt.accepted_by)) for doubt in pair.record.doubts]


def test_a_sync_to_one_server_disproves_nothing_of_the_other(empty: SwitchPair) -> None:
    put(empty.master, source(), job("first", cron=AT_REST))
    empty.rest = True
    empty.slave.scheduler.guesses(import_warnings=[WARNING])
    first = empty.synced().event
    assert first
    assert (first["alert"], first["what"]) == (
        "pending",
        f"the slave may lack what its import has warned of: {WARNING}",
    )
    empty.operate("acknowledge", doubts=[WARNING])
    assert "accepted already" in empty.operate("acknowledge", doubts=[WARNING]).what
    empty.slave.scheduler.guesses(import_warnings=[])
    empty.switched("slave")
    empty.master.scheduler.guesses(import_warnings=[WARNING])
    back = empty.synced(reprotect=True, master_changes=True).event
    assert back
    assert back["what"] == f"the master may lack what its import has warned of: {WARNING}"
    assert doubts(empty) == [("slave", WARNING, True), ("master", WARNING, False)]
    empty.switched("master")
    out = empty.synced()
    assert out.event
    assert out.event["imported"]
    assert doubts(empty)[-1] == ("master", WARNING, False)
