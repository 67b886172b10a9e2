"""A switchover on a pair with jobs that no sync can deliver: a person may leave them behind, and they are not lost."""

from __future__ import annotations

import pytest

from denodo_ha.record import LEFT_BEHIND
from denodo_scheduler.steps.outcome import Blocked
from support.delivery import EVERY_10_SECONDS, definition, job, put, source
from support.switchover import AT_REST, SwitchPair
from support.sync import act, add_job, delete, enabled, states, untouched

SEALED, OTHERS = "Sales / sealed", {"Sales / first", "Sales / second"}


@pytest.fixture
def lacking(empty: SwitchPair) -> SwitchPair:
    """The slave lacks an enabled job that fires too often to be imported, and the last sync says so."""
    jobs = [job(name, cron=AT_REST) for name in ("first", "second")]
    put(empty.master, source(), *jobs, job("sealed", sealed="s", cron=EVERY_10_SECONDS))
    empty.rest = True
    empty.synced()
    empty.publish()
    assert [job.code for job in empty.record.pending] == ["restless"]
    assert set(states(empty.slave)) == OTHERS
    return empty


@pytest.fixture
def outdated(lacking: SwitchPair) -> SwitchPair:
    """The slave has that job in an older definition."""
    lacking.synced(deliver_now=True)
    put(lacking.master, job("sealed", sealed="s", cron=EVERY_10_SECONDS, description="edited"))
    lacking.synced()
    lacking.publish()
    assert [job.on_target for job in lacking.record.pending] == [True]
    return lacking


def test_it_begins_only_with_the_consent_that_the_refusal_names(lacking: SwitchPair) -> None:
    with untouched(*lacking.servers.servers), pytest.raises(Blocked, match=r"sealed \(it has to be imported") as error:
        lacking.begin("slave").check()
    assert error.value.code == "missing_on_target"
    assert "'deliver now' ticked, which accepts that each may run once there" in error.value.reason.next_step
    assert "'accept differences' ticked: then they run on neither server" in error.value.reason.next_step


def test_the_consent_is_for_what_a_sync_could_not_deliver_only(lacking: SwitchPair) -> None:
    add_job(lacking.master, "Sales", "new", cron=AT_REST)
    with pytest.raises(Blocked, match=r"1 enabled jobs do not exist on the slave: Sales / new.*run the sync DAG\."):
        lacking.begin("slave", accept_differences=True).check()


def test_what_is_left_behind_is_told_with_a_next_step(lacking: SwitchPair) -> None:
    run = lacking.begin("slave", accept_differences=True)
    assert run.check()["missing"] == {"jobs": 1, "names": [SEALED]}
    event = run.switch_over()
    assert lacking.enabled == (set(), OTHERS)
    assert (event["missing"]["names"], event["outdated"]["names"]) == ([SEALED], [])
    assert (
        event["next_step"] == f"make {SEALED} on the slave, where they are missing: the other server has them, disabled"
    )
    (left,) = lacking.record.pending
    assert (str(left.key), left.code, left.on_target) == (SEALED, LEFT_BEHIND, False)
    assert left.why.startswith("the slave did not have it when it became the active server (it has to be imported")


def test_an_older_definition_runs_and_is_told(outdated: SwitchPair) -> None:
    with pytest.raises(Blocked, match=r"could not deliver Sales / sealed .*'deliver now' ticked first, or") as error:
        outdated.begin("slave").check()
    assert error.value.code == "different"
    event = outdated.switched("slave", accept_differences=True)
    assert outdated.enabled == (set(), {SEALED, *OTHERS})
    assert definition(outdated.slave, SEALED)["description"] is None
    assert (event["missing"]["names"], event["outdated"]["names"]) == ([], [SEALED])
    assert event["next_step"].startswith(f"make the last edits of {SEALED} on the slave too")


def test_deliver_now_is_a_way_out(lacking: SwitchPair) -> None:
    lacking.synced(deliver_now=True)
    wanted = enabled(lacking.master)
    lacking.switched("slave")
    assert lacking.enabled == (set(), wanted)


def test_a_re_protect_keeps_it_and_a_failback_says_that_it_is_disabled(lacking: SwitchPair) -> None:
    """Although what only the target has is to be deleted there."""
    lacking.switched("slave", accept_differences=True)
    delete(lacking.slave, "Sales / second")
    for _ in range(2):
        lacking.synced(reprotect=True, master_changes=True, pair={"orphans": "delete"})
        assert set(states(lacking.master)) == {"Sales / first", SEALED}
        assert [(str(job.key), job.code) for job in lacking.record.pending] == [(SEALED, LEFT_BEHIND)]
    event = lacking.switched("master")
    assert lacking.enabled == ({"Sales / first"}, set())
    assert event["still_disabled"]["names"] == [SEALED]
    assert event["next_step"] == f"enable {SEALED} on the master if they are to run again"
    lacking.synced()
    assert lacking.record.pending[0].code == "restless"


def test_one_that_was_made_on_the_new_server_is_not_left_behind_any_more(lacking: SwitchPair) -> None:
    lacking.switched("slave", accept_differences=True)
    put(lacking.slave, job("sealed", sealed="s", cron=AT_REST))
    act(lacking.slave, "enable", SEALED)
    lacking.synced(reprotect=True, master_changes=True)
    assert lacking.record.pending == ()
    lacking.switched("master")
    assert lacking.enabled == ({SEALED, *OTHERS}, set())
