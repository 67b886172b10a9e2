"""A doctor that is killed, disturbed or refused: nothing stays, and nothing of the pair is touched."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from denodo_ha.doctor.diagnosis import Diagnosis
from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.record import Role, begin_import
from denodo_ha.transitions import halted
from denodo_scheduler.steps.doctor.probe import probe
from denodo_scheduler.steps.doctor.tidy import clean_up
from denodo_scheduler.steps.outcome import Blocked, NotYet
from support.delivery import at_write, fail_over, in_step, job, put, refill, source
from support.sync import Books, Sync, WorkerKilled, act, enabled, kill_the_worker, states, untouched

NOTHING: dict[str, Any] = {"at": None}
ASKED = {"reason": "a test", "run_id": "a run"}


def probed(pair: Sync, run_id: str = "a run", **options: Any) -> Diagnosis:
    """The second step of a doctor, or its next try."""
    context = pair.prepared(reason="a test", run_id=run_id, pair=options)
    return probe(context, Diagnosis(pair.now(), "test", False, (), {}))


def scratch(pair: Sync) -> set[str]:
    names = (each["name"] for server in pair.servers.servers for each in server.request("GET", "/projects"))
    return set(filter(is_scratch, names))


def foreign(books: Books) -> list[dict[str, Any]]:
    return [each for each in books.audit if not is_scratch(each["project"])]


def killed(pair: Sync, patch: pytest.MonkeyPatch, at: int, *, after: bool = True) -> bool:
    with at_write(patch, at, kill_the_worker, after=after):
        try:
            probed(pair)
        except WorkerKilled:
            return True
    return False


def test_killed_after_each_request(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed try has left is in the record, and what the next one deletes first."""
    books, contents = Books(pair.slave), Books(pair.slave).contents
    at = 0
    with untouched(pair.master):
        while killed(pair, monkeypatch, at):
            assert pair.record.scratch is not None
            left = scratch(pair)
            assert left <= set(pair.record.scratch.projects)
            assert left or at >= 20, "only the last request leaves none"
            pair.passed += timedelta(minutes=3)  # whatever was sent is over
            assert clean_up(pair.prepared(run_id="another run"))
            assert scratch(pair) == set(), at
            assert pair.record.scratch is None
            at += 1
    assert at > 20
    assert foreign(books) == []
    assert Books(pair.slave).contents == contents
    assert books.journal == []


def test_killed_before_the_first_request(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed(pair, monkeypatch, 0, after=False)
    assert pair.record.scratch
    assert scratch(pair) == set()
    probed(pair)
    assert pair.record.scratch is None


@pytest.mark.parametrize("who", ["its own next try", "the next doctor", "the next sync"])
def test_who_cleans_up(pair: Sync, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    assert killed(pair, monkeypatch, 12)
    first = scratch(pair)
    assert len(first) == 2
    if who == "its own next try":
        probed(pair)
    else:
        pair.synced()
        assert scratch(pair) == first, "the doctor may still be at work"
        pair.passed += timedelta(minutes=3)
        pair.synced() if who == "the next sync" else probed(pair, "another run")
    assert scratch(pair) == set()
    assert pair.record.scratch is None
    assert in_step(pair)


def test_another_doctor_waits_for_one_that_may_be_at_work(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed(pair, monkeypatch, 12)
    left = scratch(pair)
    with untouched(pair.master, pair.slave), pytest.raises(NotYet, match="scratch_left"):
        probed(pair, "another run")
    assert scratch(pair) == left


def test_an_import_that_goes_on_after_its_doctor_was_killed(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own next try waits too, since the server would make the projects again."""
    pair.slave.scheduler.faults()
    pair.slave.webtool.faults({"kind": "cut_after", "match": {"path": "serverMetadata/import"}, "times": 1})
    with pytest.raises(NotYet, match="import_unanswered"):
        probed(pair)
    assert pair.record.scratch
    assert pair.record.scratch.importing
    left = scratch(pair)
    assert left
    with pytest.raises(NotYet, match="scratch_left"):
        probed(pair)
    assert scratch(pair) == left
    pair.passed += timedelta(minutes=5)
    probed(pair)
    assert scratch(pair) == set()


def test_it_yields_to_a_sync_that_begins(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = partial(
        begin_import, operation_id="sync/1", target=pair.record.slave or "", now=pair.now(), lease=timedelta(minutes=1)
    )
    books = Books(pair.slave)
    with at_write(monkeypatch, 10, lambda: pair.save(begun(pair.record))) as sent, pytest.raises(NotYet) as ended:
        probed(pair)
    assert ended.value.code == "operation_open"
    assert len(sent) <= 16, "it ends at its next look at the record"
    assert pair.record.operation
    left = scratch(pair)
    assert len(left) == 2
    with pytest.raises(NotYet, match="scratch_left"):
        probed(pair)
    pair.passed += timedelta(minutes=3)
    put(pair.master, job("new"))
    pair.synced()
    assert in_step(pair)
    assert scratch(pair) == set()
    assert [each for each in foreign(books) if each["change"] == "enabled" and each["by"] == "api"] == []


def test_a_sync_copies_and_reports_no_scratch_project(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be they on the passive server, or on the active one after a failover."""
    assert killed(pair, monkeypatch, 12)
    put(pair.master, job("new", sealed="s"))
    out = pair.synced()
    assert out.event
    assert out.event["orphans"]["jobs"] == 0
    assert in_step(pair) is False
    left = scratch(pair)
    fail_over(pair)
    out = pair.synced(reprotect=True, master_changes=True)
    assert out.event
    assert out.event["orphans"]["jobs"] == 0
    assert {each["name"] for each in pair.master.request("GET", "/projects")} & left == set()
    assert scratch(pair) == left, "nothing is deleted on the active server"
    assert pair.record.scratch
    assert clean_up(pair.prepared(run_id="a run")) is False


def test_the_master_is_tried_while_the_slave_is_active(pair: Sync) -> None:
    fail_over(pair)
    with untouched(pair.slave):
        probed(pair)
    assert pair.record.capabilities[Role.MASTER].offsets == (3600, 7200)
    assert Role.SLAVE not in pair.record.capabilities


def refused(pair: Sync, code: str) -> None:
    with untouched(pair.master, pair.slave), pytest.raises((Blocked, NotYet)) as ended:
        probed(pair)
    assert ended.value.code == code
    assert scratch(pair) == set()


def test_what_forbids_it(pair: Sync, connect: Any) -> None:
    good = pair.record
    pair.save(halted(good, now=pair.now(), code="x", reason="a mess", by="me"))
    refused(pair, "halted")
    pair.save(good.model_copy(update={"slave": "http://elsewhere //x:1"}))
    refused(pair, "servers_changed")
    pair.save(begin_import(good, operation_id="s", target="t", now=pair.now(), lease=timedelta(minutes=1)))
    refused(pair, "operation_open")
    pair.save(good)
    act(pair.slave, "enable", min(states(pair.slave)))
    refused(pair, "not_at_rest")
    act(pair.slave, "disable", *enabled(pair.slave))
    connect(pair.slave, "master")
    refused(pair, "same_server")
    connect(pair.master, "master")
    pair.lose_record()
    refused(pair, "not_initialised")


def test_what_cannot_be_deleted_is_told_and_stays_in_the_record(pair: Sync) -> None:
    pair.slave.webtool.faults({"kind": "status", "status": 500, "match": {"method": "DELETE"}})
    with pytest.raises(Exception, match="DELETE"):
        probed(pair)
    assert pair.record.scratch
    assert set(pair.record.scratch.projects) == scratch(pair)
    assert pair.record.capabilities[Role.SLAVE].offsets, "what was learned is kept"
    pair.slave.webtool.faults()
    probed(pair)
    assert scratch(pair) == set()


def test_a_moment_is_waited_for_and_without_one_nothing_is_imported(pair: Sync) -> None:
    refill(pair.master, source(), job("restless", cron="*/5 * * * * ?"))
    refill(pair.slave, source(), job("restless", cron="*/5 * * * * ?"))
    act(pair.slave, "disable", *states(pair.slave))
    found = {each.code: each for each in probed(pair).answers}
    assert found["import deletes"].verdict == "unknown"
    assert "may fire at any time" in found["import deletes"].text
    assert found["time zone"].verdict == "confirmed"
    assert pair.record.capabilities[Role.SLAVE].import_replaces is None
