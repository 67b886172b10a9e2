"""A pair without a record: neither server is changed before a person has said which one is active, or the pair's file
has said that nobody is asked. The DAGs' own tasks run here, against the stand-ins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from airflow.utils.types import DagRunType

from denodo_scheduler.dags import NOTE
from denodo_scheduler.dags import sync as sync_dags
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.sync import sync_dag
from support.dag_runs import PairAirflow, Run
from support.sync import Sync, act, add_job, delete, enabled, fill, states, untouched

AFTER_LOOK = ("wait_for_quiet_window", "import_metadata", "disable_jobs", "verify")
LOOKED = {"guard": "success", "export_metadata": "success", **dict.fromkeys(AFTER_LOOK, "skipped")}
STARTS = {
    "schedule": {"by": DagRunType.SCHEDULED},
    "form": {"by": DagRunType.MANUAL},
    "form with all ticks": {
        "by": DagRunType.MANUAL,
        "accept_mass_change": True,
        "deliver_now": True,
        "reprotect": True,
        "orphans": "delete",
    },
}

OPERATED = {"operate": "success", **dict.fromkeys(("check", "doctor", "probe", "drill", "drill_result"), "skipped")}


def fresh(sync: Sync, initialise: str = "manual") -> PairAirflow:
    """The pair's DAGs, as its file says."""
    pair = sync.pair(snapshots=f"file://{sync.folder}", initialise=initialise)
    return PairAirflow({"sync": sync_dag(pair), "operations": operations_dag(pair)}, state=sync.state)


def ends(run: Run) -> dict[str, str]:
    return {task: end.state for task, end in run.ends.items()}


def note(run: Run) -> str:
    """That of the run, which is what a task has left last."""
    return str([left[NOTE] for task in LOOKED if NOTE in (left := run.xcoms[task])][-1])


def obey(pair: PairAirflow, said: str) -> Run:
    """Do what the command in a text says."""
    found = re.search(r"airflow dags trigger (\S+) --conf '(.*?)'", said)
    assert found, said
    assert found[1] == pair.dags["operations"].dag_id
    assert len(said) <= 1000, "Airflow would cut the note off"
    return pair.run("operations", **json.loads(found[2]))


def begin(pair: PairAirflow) -> None:
    assert ends(pair.run("operations", operation="initialise", active="master", reason="go")) == OPERATED


# -- a look, the word, and a sync


@pytest.mark.parametrize("start", STARTS)
def test_the_first_run_looks_whoever_started_it_and_its_note_says_how_to_begin(sync: Sync, start: str) -> None:
    pair = fresh(sync)
    with untouched(sync.master, sync.slave):
        runs = [pair.run("sync", **STARTS[start]) for _ in range(2)]
        assert sync.state.values.keys() <= {"watch"}
        assert (sync.files, pair.history) == ({}, [])
        for run in runs:
            assert ends(run) == LOOKED
            plan = run.xcoms["export_metadata"]["return_value"]["plan"]
            assert plan["added"]["jobs"] == len(states(sync.master))
            assert note(run).startswith("LOOKED ONLY: nothing was changed. To begin: ")
            assert "to deliver: " in note(run)
            assert run.ends["import_metadata"].code == "not_initialised"
        assert ends(obey(pair, note(runs[-1]))) == OPERATED
    assert pair.run("sync", **STARTS[start]).ends["verify"].state == "success"
    assert states(sync.slave).keys() == states(sync.master).keys()
    assert not enabled(sync.slave)


def test_a_dry_run_says_how_to_begin_too(sync: Sync) -> None:
    pair = fresh(sync)
    run = pair.run("sync", dry_run=True)
    assert ends(run) == LOOKED
    assert run.ends["import_metadata"].code == "dry_run"
    obey(pair, note(run))
    assert sync.record.active == "master"


@pytest.mark.parametrize("task", ["export_metadata", *AFTER_LOOK])
def test_a_look_stays_one_although_a_person_begins_meanwhile(sync: Sync, task: str) -> None:
    """Also where its tasks are tried or cleared again."""
    pair = fresh(sync)
    with untouched(sync.master, sync.slave):
        run = pair.run("sync", {task: lambda _: begin(pair)})
        assert ends(run) == LOOKED
        for again in AFTER_LOOK:
            assert _again(run, again) == "skipped"
    assert sync.record.snapshot is None
    assert pair.run("sync").ends["verify"].state == "success"


def _again(run: Run, task: str) -> str:
    """How a task ends that a person clears alone."""
    return run.task(task).state


def test_what_a_look_has_exported_is_never_delivered_nor_committed(sync: Sync) -> None:
    """Its guard is cleared alone when a person has begun, so that its other tasks are no longer those of a look."""
    fill(sync.slave)
    act(sync.slave, "disable", *states(sync.slave))
    pair = fresh(sync)
    looks = [pair.run("sync")]
    delete(sync.slave, min(states(sync.slave)))
    looks.append(pair.run("sync"))
    begin(pair)
    with untouched(sync.master, sync.slave):
        for run in looks:
            assert _again(run, "guard") == "success"
            for task in ("import_metadata", "disable_jobs", "verify"):
                _again(run, task)
            assert run.ends["verify"].state == "failed"
    assert sync.record.snapshot is None


# -- who starts it, what the slave has, what the file says


def _nothing(_: Sync) -> None: ...


def _copies(sync: Sync) -> None:
    fill(sync.slave)
    act(sync.slave, "disable", *states(sync.slave))


def _one_enabled(sync: Sync) -> None:
    _copies(sync)
    act(sync.slave, "enable", min(enabled(sync.master)))


def _its_own(sync: Sync) -> None:
    add_job(sync.slave, "default", "somebody's job")


def _paused(sync: Sync) -> None:
    """It shows every job DISABLED."""
    _one_enabled(sync)
    sync.slave.scheduler.control("POST", "/pause", json={"paused": True})
    assert not enabled(sync.slave)


def _paused_master(sync: Sync) -> None:
    _one_enabled(sync)
    sync.master.scheduler.control("POST", "/pause", json={"paused": True})


def _alone_active(sync: Sync) -> None:
    _its_own(sync)
    act(sync.master, "disable", *enabled(sync.master))


SLAVES: dict[Callable[[Sync], None], str] = {
    _nothing: "",
    _copies: "",
    _one_enabled: "if the master is the active server, ",
    _its_own: "1 jobs are enabled on the slave and not on the master (default / somebody's job); if the master ",
    _paused: "if the master is the active server, ",
    _paused_master: "if the master is the active server, ",
    _alone_active: "no job is enabled on the master and 1 are on the slave; if that is the active server, ",
}
"""What a slave may have, and what the words to begin say of it before the command."""


@pytest.mark.parametrize("initialise", ["manual", "automatic"])
@pytest.mark.parametrize("has", SLAVES, ids=lambda has: has.__name__)
def test_without_a_word_neither_server_is_changed(sync: Sync, has: Callable[[Sync], None], initialise: str) -> None:
    has(sync)
    pair, doubtful = fresh(sync, initialise), SLAVES[has]
    if initialise == "automatic" and not doubtful:
        assert pair.run("sync", by=DagRunType.SCHEDULED).ends["verify"].state == "success"
        assert states(sync.slave).keys() == states(sync.master).keys()
        assert sync.record.snapshot
        return
    with untouched(sync.master, sync.slave):
        for start in STARTS.values():
            run = pair.run("sync", **start)
            if initialise == "manual":
                assert ends(run) == LOOKED
                assert f"To begin: {doubtful}" in note(run)
            else:
                assert run.ends["guard"].code == "not_initialised"
                assert note(run) == str(run.ends["guard"].error)
        assert sync.records.load() is None


@pytest.mark.parametrize("has", SLAVES, ids=lambda has: has.__name__)
def test_the_words_work(sync: Sync, has: Callable[[Sync], None]) -> None:
    has(sync)
    pair = fresh(sync)
    said = note(pair.run("sync"))
    if "disable them on the slave or enable them on the master, then" in said:
        act(sync.slave, "disable", *enabled(sync.slave))
    assert ends(obey(pair, said)) == OPERATED


def test_one_server_under_two_names_is_no_pair_to_begin_with(sync: Sync, connect: Callable[..., None]) -> None:
    pair = fresh(sync)
    connect(sync.master, "slave", host="localhost")
    with untouched(sync.master, sync.slave):
        assert pair.run("sync").ends["guard"].code == "same_server"


def test_people_are_told_once_why_a_pair_without_record_is_not_synced(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(sync_dags, "notify", lambda pair, alert, event, context: told.append(event["code"]))
    _one_enabled(sync)
    pair = fresh(sync, "automatic")
    for _ in range(2):
        assert pair.run("sync", by=DagRunType.SCHEDULED).ends["guard"].code == "not_initialised"
    assert told == ["not_initialised"]


def test_where_only_the_slave_has_enabled_jobs_the_words_name_it(sync: Sync) -> None:
    _alone_active(sync)
    pair = fresh(sync)
    with untouched(sync.master, sync.slave):
        obey(pair, note(pair.run("sync")))
        assert sync.record.active == "slave"
        assert "re-protect" in note(pair.run("sync"))


@pytest.mark.parametrize("initialise", ["manual", "automatic"])
def test_a_record_that_was_lost_is_not_taken_for_a_first_day(sync: Sync, initialise: str) -> None:
    """Its snapshots are left."""
    pair = fresh(sync, initialise)
    begin(pair)
    assert pair.run("sync").ends["verify"].state == "success"
    pair.lose_record()
    add_job(sync.master, "default", "new job")
    with untouched(sync.master, sync.slave):
        for start in STARTS.values():
            run = pair.run("sync", **start)
            assert run.ends["guard"].code == "record_lost"
            assert "is the snapshot of an earlier sync" in note(run)
    begin(pair)
    assert pair.run("sync").ends["verify"].state == "success"
