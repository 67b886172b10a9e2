"""A doctor that is killed, disturbed or refused: nothing stays, and nothing of the pair is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from denodo_ha.doctor.diagnosis import Diagnosis
from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.preconditions import drill_may_begin
from denodo_ha.record import Role, begin_import
from denodo_ha.situation import Consents, Heard, Situation, situation_of
from denodo_ha.status import _trials
from denodo_ha.transitions import halted
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.claim import undisturbed
from denodo_scheduler.steps.doctor import trial
from denodo_scheduler.steps.doctor.probe import probe
from denodo_scheduler.steps.doctor.tidy import clean_up
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.promote.examine import ensure_may_begin
from support.delivery import at_write, definition, fail_over, in_step, job, put, refill, source
from support.sync import Books, Sync, WorkerKilled, act, add_job, enabled, kill_the_worker, states, untouched

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


def awake(pair: Sync) -> set[str]:
    """The enabled jobs of the slave; scratch jobs are due in 2099."""
    return {name for name in enabled(pair.slave) if not is_scratch(name.split(" / ")[0])}


@contextmanager
def after_import(patch: pytest.MonkeyPatch, then: Callable[[], object]) -> Iterator[None]:
    """Have something happen right after each import, before its answer is seen."""
    send = DenodoSchedulerHook.import_metadata

    def sent(*args: Any, **kwargs: Any) -> Any:
        result = send(*args, **kwargs)
        then()
        return result

    with patch.context() as inner:
        inner.setattr(DenodoSchedulerHook, "import_metadata", sent)
        yield


def test_what_an_import_has_woken_rests_although_the_answer_is_lost(pair: Sync) -> None:
    pair.slave.scheduler.guesses(replaces="always")
    pair.slave.webtool.faults({"kind": "cut_after", "match": {"path": "serverMetadata/import"}, "times": 1})
    began = pair.now()
    with pytest.raises(NotYet, match="import_unanswered"):
        probed(pair)
    assert pair.now() - began >= pair.pair().sync.lease, "the import may be executed until then"
    assert awake(pair) == set()
    probed(pair)
    assert scratch(pair) == set()


def killed_in_import(pair: Sync, patch: pytest.MonkeyPatch) -> None:
    pair.slave.scheduler.guesses(replaces="always")
    with after_import(patch, kill_the_worker), pytest.raises(WorkerKilled):
        probed(pair)
    assert awake(pair)
    assert pair.record.scratch
    assert pair.record.scratch.importing


def test_the_next_try_keeps_at_rest_what_the_import_of_a_killed_one_wakes(
    pair: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in_import(pair, monkeypatch)
    began = pair.now()
    probed(pair)
    assert pair.now() - began >= pair.pair().sync.lease - timedelta(seconds=1)
    assert awake(pair) == set()
    assert scratch(pair) == set()


def test_others_wait_for_the_import_of_a_killed_doctor(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is like one of a sync: nothing else changes the server before its lease is over."""
    pair.synced()
    pair.change(capabilities={})  # so that the doctor's file holds all jobs
    killed_in_import(pair, monkeypatch)
    put(pair.master, job("new"))
    with untouched(pair.slave):
        out = pair.run()
        assert out.verdict
        assert out.verdict.code == "operation_open"
        refused_drill = drill_may_begin(pair.record, pair.now())
        assert refused_drill
        assert refused_drill.code == "operation_open"
        assert facts_of(pair).operation_open
        with pytest.raises(Blocked, match="operation_open"):
            ensure_may_begin(pair.prepared(), pair.record, Role.SLAVE)
        with pytest.raises(Blocked, match="operation_open"):
            pair.initialise()
        with pytest.raises(NotYet, match="scratch_left"):
            probed(pair, "another run")
    pair.passed += timedelta(minutes=1)
    assert not facts_of(pair).operation_open
    pair.synced()
    assert in_step(pair)
    assert scratch(pair) == set()


def facts_of(pair: Sync) -> Situation:
    now = pair.now()
    return situation_of(
        pair.record, pair.pair(), Consents(), Heard(), now=now, slave_enabled=False, master_enabled=True
    )


def test_a_failover_that_was_judged_before_an_import_judges_again(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = pair.record
    assert undisturbed(pair.prepared(), judged).check()
    killed_in_import(pair, monkeypatch)
    with pytest.raises(NothingToDo, match="superseded"):
        undisturbed(pair.prepared(), judged).check()


def test_what_an_import_has_woken_rests_although_an_operation_has_begun(
    pair: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.slave.scheduler.guesses(replaces="always")
    begun = partial(begin_import, operation_id="sync/1", target="t", now=pair.now(), lease=timedelta(minutes=1))
    with (
        after_import(monkeypatch, lambda: pair.save(begun(pair.record))),
        pytest.raises(NotYet, match="operation_open"),
    ):
        probed(pair)
    assert awake(pair) == set()


def test_no_drill_begins_while_a_doctor_is_at_work(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.synced()
    assert drill_may_begin(pair.record, pair.now()) is None
    assert killed(pair, monkeypatch, 5)
    reason = drill_may_begin(pair.record, pair.now())
    assert reason
    assert reason.code == "operation_open"
    pair.passed += timedelta(minutes=3)
    assert drill_may_begin(pair.record, pair.now()) is None


def test_an_archive_from_before_a_sync_is_not_imported(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole sync has come and gone since the doctor's last look at the record."""
    pair.slave.scheduler.guesses(replaces="always")
    put(pair.master, job("first", description="newer"))

    def synced(*_: Any) -> None:
        pair.synced()

    monkeypatch.setattr(trial.Trial, "_wait_for_a_moment", synced)
    with pytest.raises(NotYet, match="superseded"):
        probed(pair)
    assert definition(pair.slave, "Sales / first")["description"] == "newer"
    assert awake(pair) == set()


ELSEWHERE = "Elsewhere / of another pair"


@pytest.fixture
def shared(pair: Sync) -> Sync:
    """The slave has a job of another pair too, which rests."""
    add_job(pair.slave, "Elsewhere", "of another pair")
    act(pair.slave, "disable", ELSEWHERE)
    pair.options = {"projects": ["Sales"]}
    return pair


def test_another_pair_fails_over_to_the_server_during_an_import(shared: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    with after_import(monkeypatch, lambda: act(shared.slave, "enable", ELSEWHERE)):
        found = {each.code: each for each in probed(shared).answers}
    assert enabled(shared.slave) == {ELSEWHERE}
    assert found["import deletes"].verdict == "confirmed"
    assert found["import with replace"].verdict == "unknown", "no second import"


def test_another_pair_fails_over_to_the_server_before_an_import(shared: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    shared.slave.scheduler.guesses(replaces="always")
    with at_write(monkeypatch, 10, lambda: act(shared.slave, "enable", ELSEWHERE)) as sent:
        found = {each.code: each for each in probed(shared).answers}
    assert enabled(shared.slave) == {ELSEWHERE}
    assert "import_metadata" not in sent
    assert found["import deletes"].verdict == "unknown"
    assert ELSEWHERE in found["import deletes"].text


def test_a_job_whose_start_time_is_past_is_not_imported_where_that_fires(pair: Sync) -> None:
    """On a server that ignores its switches the import would run it."""
    refill(pair.slave, source(), job("begun", start="2020-01-01T00:00:00Z"))
    act(pair.slave, "disable", *states(pair.slave))
    pair.slave.scheduler.guesses(replaces="always", past_start_fires=True)
    books = Books(pair.slave)
    found = {each.code: each for each in probed(pair).answers}
    assert [row for row in books.journal if row["project"] == "Sales"] == []
    assert (found["past start, enabled"].verdict, found["import deletes"].verdict) == ("confirmed", "unknown")


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


def test_what_is_left_on_the_active_server_is_deleted_by_hand(pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a doctor can try the master, which is the passive server."""
    assert killed(pair, monkeypatch, 12)
    fail_over(pair)
    pair.passed += timedelta(minutes=3)
    with (
        untouched(pair.master, pair.slave),
        pytest.raises(NotYet, match="delete them by hand in the web tool"),
    ):
        probed(pair, "another run")
    assert "delete them by hand" in _trials(pair.record, pair.now())["scratch projects"]
    for project in pair.slave.request("GET", "/projects"):
        if is_scratch(project["name"]):
            pair.slave.request("DELETE", f"/projects/{project['id']}")
    with untouched(pair.slave):
        probed(pair, "another run")
    assert pair.record.scratch is None
    assert Role.MASTER in pair.record.capabilities


def test_what_is_left_on_a_server_that_is_given_up(
    pair: Sync, monkeypatch: pytest.MonkeyPatch, connect: Callable[..., None]
) -> None:
    """It is forgotten when a person initialises the pair with the new one."""
    assert killed(pair, monkeypatch, 12)
    pair.passed += timedelta(minutes=3)
    left = pair.record.scratch
    assert left
    pair.initialise()
    assert pair.record.scratch == left, "the same server"
    pair.change(scratch=left.model_copy(update={"target": "http://given-up //x:1"}))
    with untouched(pair.master, pair.slave), pytest.raises(NotYet, match="by hand on http://given-up //x:1, then init"):
        probed(pair, "another run")
    pair.initialise()
    assert pair.record.scratch is None
    (event,) = [each for each in pair.record.outbox if "scratch" in each]
    assert event["kind"] == "initialised"
    assert event["scratch"].endswith(" on http://given-up //x:1")
    probed(pair, "another run")
    assert scratch(pair) == set(), "those of this pair's doctors go too"


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
