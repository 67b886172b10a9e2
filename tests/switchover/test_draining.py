"""A switchover of a server that never rests: no run is cut short, none comes twice, and what is missed is listed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from denodo_ha.record import Phase, Role, Step
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.claim import LEASE
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.promote import drain
from denodo_scheduler.steps.promote.fence import Down
from support.switchover import AT_REST, Changes, Journals, SwitchPair, dies, killed
from support.sync import NOW, Books, act, add_job, edit, enabled, kill_the_worker, label, states, status_of, untouched

LONG = "p / long"

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture
def busy(empty: SwitchPair) -> SwitchPair:
    """A pair in step whose master has a job that runs for as long as a test says; nothing is due soon."""
    for name in ("long", "idle", "other"):
        add_job(empty.master, "p", name, cron=AT_REST)
    add_job(empty.master, "q", "idle", cron=AT_REST)
    add_job(empty.master, "q", "off", cron=AT_REST)
    act(empty.master, "disable", "q / off")
    for server in empty.servers.servers:
        server.scheduler.guesses(misfire="record")
    empty.synced()
    empty.publish()
    return empty


def start(pair: SwitchPair, *, runs: float, job: str = LONG) -> None:
    pair.master.scheduler.duration(runs, match=f"^{re.escape(job)}$")
    act(pair.master, "start", job)


def when(books: Books, change: str) -> dict[str, datetime]:
    """By the server's clock, when each job was changed so."""
    return {
        f"{entry['project']} / {entry['job']}": datetime.fromisoformat(entry["at"])
        for entry in books.audit
        if entry["change"] == change
    }


def results(books: Books) -> dict[str, str]:
    return {f"{entry['project']} / {entry['job']}": entry["result"] for entry in books.journal}


# -- idle ones at once, running ones when they have ended


def test_idle_jobs_are_disabled_at_once_and_a_running_one_when_it_has_ended(busy: SwitchPair) -> None:
    wanted, master, slave = enabled(busy.master), Books(busy.master), Books(busy.slave)
    start(busy, runs=90)
    began = busy.now()
    event = busy.switched("slave")
    assert busy.enabled == (set(), wanted)
    assert results(master) == {LONG: "COMPLETE"}
    (run,) = master.journal
    ended, disabled = datetime.fromisoformat(run["end"]), when(master, "disabled")
    assert ended <= disabled.pop(LONG) <= ended + timedelta(seconds=5)
    assert max(disabled.values()) < ended - timedelta(seconds=80)
    assert min(when(slave, "enabled").values()) >= ended
    assert 88 < event["gap_seconds"] < 100
    assert event["interrupted"]["jobs"] == event["waited"]["jobs"] == 0
    assert busy.now() - began < timedelta(seconds=110)


def test_the_lease_is_kept_while_it_waits(busy: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    start(busy, runs=600)
    looks: list[bool] = []
    sleep = drain.time.sleep

    def watched(seconds: float) -> None:
        with pytest.raises(NothingToDo, match="may still act"):
            busy.resume()
        looks.append(True)
        sleep(seconds)

    monkeypatch.setattr(drain.time, "sleep", watched)
    busy.switched("slave")
    assert len(looks) > 2 * LEASE.total_seconds() / drain.POLL


def test_a_job_that_starts_right_before_the_break_is_waited_for(
    busy: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, master = enabled(busy.master), Books(busy.master)
    run = busy.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        Changes(patch, 0, lambda: start(busy, runs=30))
        run.switch_over()
    assert busy.enabled == (set(), wanted)
    assert results(master) == {LONG: "COMPLETE"}


def test_a_job_that_is_about_to_start_is_waited_for(busy: SwitchPair) -> None:
    busy.master.scheduler.duration(20)
    add_job(busy.master, "p", "soon", cron="10 7 * * * ?")
    busy.synced(master_changes=True)
    busy.advance(seconds=9)
    master = Books(busy.master)
    event = busy.switched("slave")
    assert results(master) == {"p / soon": "COMPLETE"}
    assert event["interrupted"]["jobs"] == event["missed"]["occurrences"] == 0


def test_a_job_that_starts_between_the_look_and_its_disabling_is_named(
    busy: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = DenodoSchedulerHook.set_jobs_status

    def late(hook: DenodoSchedulerHook, action: Any, *args: Any, **kwargs: Any) -> Any:
        if action == "disable" and states(busy.master)[LONG] != "DISABLED":
            start(busy, runs=30)
        return send(hook, action, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(DenodoSchedulerHook, "set_jobs_status", late)
        event = busy.switched("slave")
    assert event["interrupted"] == {"jobs": 1, "names": [LONG]}


def test_in_a_quiet_window_a_running_job_is_waited_for_before_anything_is_changed(busy: SwitchPair) -> None:
    wanted, master = enabled(busy.master), Books(busy.master)
    run = busy.begin("slave", quiet_window=True)
    run.check()
    start(busy, runs=30)
    with untouched(busy.slave), pytest.raises(NotYet, match=r"window_closed.*is RUNNING") as error:
        run.switch_over()
    assert error.value.code == "window_closed"
    assert "with 'drain'" in str(error.value)
    assert busy.enabled[0] == wanted
    busy.advance(seconds=31)
    run.switch_over()
    assert busy.enabled == (set(), wanted)
    assert results(master) == {LONG: "COMPLETE"}


# -- jobs that wait for others


def chain(pair: SwitchPair, name: str, waits_for: str) -> None:
    """A job that is due in a minute, and then waits."""
    ids = [status_of(pair.master, waits_for)["jobID"]]
    trigger = {"type": "cron", "cronExpression": "0 8 * * * ?", "dependencyInfo": {"jobIDs": ids}}
    add_job(pair.master, "p", name, triggerSection={"triggers": [trigger]})


def test_a_job_that_waits_for_a_running_one_runs_first(busy: SwitchPair) -> None:
    chain(busy, "after", LONG)
    busy.synced(master_changes=True)
    wanted, master = enabled(busy.master), Books(busy.master)
    start(busy, runs=150)
    busy.advance(seconds=90)
    assert states(busy.master)["p / after"] == "WAITING"
    event = busy.switched("slave")
    assert results(master) == {LONG: "COMPLETE", "p / after": "COMPLETE"}
    assert event["waited"]["jobs"] == event["interrupted"]["jobs"] == 0
    assert busy.enabled == (set(), wanted)


@pytest.mark.parametrize("catch_up", ["none", "start_missed"])
def test_a_job_that_waits_for_one_that_does_not_run_is_not_waited_for_but_named(
    busy: SwitchPair, catch_up: str
) -> None:
    chain(busy, "after", "p / idle")
    busy.options["catch_up"] = catch_up
    busy.synced(master_changes=True)
    busy.advance(seconds=90)
    assert states(busy.master)["p / after"] == "WAITING"
    slave = Books(busy.slave)
    event = busy.switched("slave")
    assert event["waited"] == {"jobs": 1, "names": ["p / after"]}
    assert event["gap_seconds"] < 10
    started = {f"{entry['project']} / {entry['job']}" for entry in slave.journal if entry["trigger"] == "manual"}
    assert started == (set() if catch_up == "none" else {"p / after"})


# -- jobs that do not end


def test_at_the_drain_timeout_it_gives_up_and_says_how_to_go_on(busy: SwitchPair) -> None:
    wanted, master = enabled(busy.master), Books(busy.master)
    start(busy, runs=7200)
    began = busy.now()
    run = busy.begin("slave", pair={"failover.drain_timeout": "5m"})
    run.check()
    with untouched(busy.slave), pytest.raises(Blocked) as error:
        run.switch_over()
    assert error.value.code == "rolled_back"
    running = f"{LONG} is RUNNING since 2026-03-02 06:07:00 UTC"
    for words in (running, "have not ended after 5m", "longer drain timeout", "stop them"):
        assert words in str(error.value)
    assert timedelta(minutes=5) <= busy.now() - began < timedelta(minutes=5, seconds=30)
    assert busy.enabled == (wanted, set())
    assert (busy.record.phase, busy.record.active, busy.record.operation) == (Phase.NORMAL, Role.MASTER, None)
    assert busy.story[-1] == "switchover_rolled_back"
    busy.advance(seconds=7200)
    assert results(master) == {LONG: "COMPLETE"}


def test_where_all_jobs_run_nothing_was_changed_when_it_gives_up(busy: SwitchPair) -> None:
    busy.master.scheduler.duration(7200)
    act(busy.master, "start", *enabled(busy.master))
    master = Books(busy.master)
    run = busy.begin("slave", pair={"failover.drain_timeout": "30s"})
    run.check()
    with untouched(busy.slave), pytest.raises(Blocked, match="given_up"):
        run.switch_over()
    assert busy.story[-1] == "switchover_given_up"
    assert not master.audit


def test_at_the_drain_timeout_it_stops_them_where_the_person_said_so(busy: SwitchPair) -> None:
    wanted, master = enabled(busy.master), Books(busy.master)
    start(busy, runs=7200)
    event = busy.switched("slave", stop=True, pair={"failover.drain_timeout": "2m"})
    assert busy.enabled == (set(), wanted)
    assert results(master) == {LONG: "STOPPED"}
    assert event["interrupted"] == {"jobs": 1, "names": [LONG]}
    assert 118 < event["gap_seconds"] < 140
    assert busy.story[-3:] == ["switchover_begun", "switchover_stops", "switchover"]
    stops = busy.record.outbox[-2]
    assert stops["jobs"] == {"jobs": 1, "names": [LONG]}
    assert f"{LONG} is RUNNING since" in stops["why"]


def test_that_jobs_are_stopped_is_told_before_it_is_done(busy: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = enabled(busy.master)
    start(busy, runs=7200)
    run = busy.begin("slave", stop=True, pair={"failover.drain_timeout": "1m"})
    run.check()
    send = DenodoSchedulerHook.set_jobs_status

    def dies_when_it_stops(hook: DenodoSchedulerHook, action: Any, keys: Any, **kwargs: Any) -> Any:
        if action == "disable" and LONG in map(str, keys):
            kill_the_worker()
        return send(hook, action, keys, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(DenodoSchedulerHook, "set_jobs_status", dies_when_it_stops)
        assert dies(run.switch_over)
    assert busy.story[-1] == "switchover_stops"
    assert states(busy.master)[LONG] == "RUNNING"
    run.switch_over()
    assert busy.enabled == (set(), wanted)


def test_a_stuck_trigger_does_not_block(busy: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows a next execution of long ago."""
    read = DenodoSchedulerHook.statuses

    def stuck(hook: DenodoSchedulerHook) -> Any:
        found = read(hook)
        past = found.server_time - timedelta(days=3)
        jobs = tuple(
            job.model_copy(update={"next_execution": past}) if str(job.key) == LONG and job.next_execution else job
            for job in found.jobs
        )
        return type(found)(jobs, found.server_time)

    monkeypatch.setattr(DenodoSchedulerHook, "statuses", stuck)
    began = busy.now()
    event = busy.switched("slave")
    assert busy.now() - began < timedelta(seconds=10)
    assert event["interrupted"]["jobs"] == 0


# -- what is due in the gap


def per_minute(pair: SwitchPair) -> None:
    for name, cron in (("minutely", "30 * * * * ?"), ("often", "5/10 * * * * ?"), ("hourly", "0 11 * * * ?")):
        add_job(pair.master, "r", name, cron=cron)
    pair.synced(master_changes=True, deliver_now=True)


@pytest.mark.parametrize("to_end", ["switchover", "rolled back"])
def test_each_occurrence_ran_once_or_is_listed_as_missed(busy: SwitchPair, to_end: str) -> None:
    per_minute(busy)
    journals, since = Journals(busy), busy.now()
    busy.advance(seconds=133)
    start(busy, runs=200 if to_end == "switchover" else 7200)
    run = busy.begin("slave", pair={"failover.drain_timeout": "300s" if to_end == "switchover" else "200s"})
    run.check()
    if to_end == "switchover":
        event = run.switch_over()
    else:
        with pytest.raises(Blocked, match="rolled_back"):
            run.switch_over()
        event = busy.record.outbox[-1]
    busy.advance(seconds=300)
    passed = busy.now() - since
    ran = Counter({key: count for key, count in journals.occurrences().items() if key[0].startswith("r / ")})
    assert set(ran.values()) == {1}, ran
    missed = {(each["job"], datetime.fromisoformat(each["at"])) for each in event["missed"]["listed"]}
    assert event["missed"]["occurrences"] == len(missed) > 15
    took_place = {(job, datetime.fromisoformat(at)) for job, at in ran}
    assert not missed & took_place
    begin = datetime.fromisoformat(NOW)
    due = {
        (job, begin + timedelta(seconds=at))
        for job, first, every in (("r / minutely", 30, 60), ("r / often", 5, 10), ("r / hourly", 240, 3600))
        for at in range(first, int(passed.total_seconds()) + 1, every)
    }
    assert due == missed | took_place


def test_what_was_missed_is_started_once_where_the_pair_says_so(busy: SwitchPair) -> None:
    busy.options["catch_up"] = "start_missed"
    per_minute(busy)
    busy.advance(seconds=100)
    start(busy, runs=250)
    slave = Books(busy.slave)
    event = busy.switched("slave")
    started = Counter(f"{entry['project']} / {entry['job']}" for entry in slave.journal if entry["trigger"] == "manual")
    assert started["r / hourly"] == 1
    assert set(event["caught_up"]["names"]) == set(started)
    assert set(started.values()) == {1}


def test_a_time_zone_that_is_not_known_is_said_to_be_so(busy: SwitchPair) -> None:
    event = busy.switched("slave")
    assert event["missed"] == {"occurrences": 0, "listed": [], "time_zone": "not known, taken to be UTC"}
    busy.switched("master")
    busy.clean()
    busy.options["timezone"] = "Europe/Madrid"
    assert busy.switched("slave")["missed"]["time_zone"] == "Europe/Madrid"


# -- a paused server


def test_a_server_that_is_paused_while_a_job_is_waited_for_is_not_taken_for_disabled(
    busy: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused, it shows every job DISABLED [D]; resumed later, it would run them beside the other server."""
    wanted = enabled(busy.master)
    start(busy, runs=30)
    sleep, slept = drain.time.sleep, []

    def pause(seconds: float) -> None:
        sleep(seconds)
        slept.append(seconds)
        if len(slept) == 3:
            busy.master.scheduler.control("POST", "/pause", json={"paused": True})

    monkeypatch.setattr(drain.time, "sleep", pause)
    busy.switched("slave")
    busy.master.scheduler.control("POST", "/pause", json={"paused": False})
    assert busy.enabled == (set(), wanted)


# -- a worker dies


def by_a_retry(pair: SwitchPair, again: Callable[[], object]) -> None:
    with suppress(NothingToDo):  # it had ended, and only its worker did not live to say so
        again()


def by_the_failover_dag(pair: SwitchPair, _: Callable[[], object]) -> None:
    if pair.record.operation is not None:
        pair.passed += LEASE  # the servers' clocks stand still meanwhile
        pair.resume()


@pytest.mark.parametrize("recover", [by_a_retry, by_the_failover_dag], ids=["retry", "failover DAG"])
def test_killed_after_every_change_while_a_job_runs(
    busy: SwitchPair, monkeypatch: pytest.MonkeyPatch, recover: Callable[..., None]
) -> None:
    """Each time the same jobs end enabled on exactly one server, and the run that was waited for was not cut short."""
    monkeypatch.setattr(drain, "POLL", 15.0)
    wanted, number, killing = enabled(busy.master), 0, True
    while killing:
        book = Books(busy.master)
        start(busy, runs=170)
        run = busy.begin("slave")
        run.check()
        if killing := killed(run.switch_over, monkeypatch, number):
            recover(busy, run.switch_over)
        number += 1
        on_master = busy.record.active is Role.MASTER
        assert busy.enabled == ((wanted, set()) if on_master else (set(), wanted))
        assert busy.record.operation is None
        assert not on_master or recover is by_the_failover_dag
        busy.clean()
        if not on_master:
            busy.switched("master")
            busy.clean()
        busy.advance(seconds=200)
        assert "STOPPED" not in results(book).values(), number
    assert number > 10


def test_a_retry_does_not_prolong_the_drain_timeout(busy: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = enabled(busy.master)
    start(busy, runs=7200)
    run = busy.begin("slave", pair={"failover.drain_timeout": "5m"})
    run.check()
    assert killed(run.switch_over, monkeypatch, 3)
    assert busy.record.operation is not None
    assert busy.record.operation.step is Step.DISABLING
    busy.advance(seconds=290)
    again = busy.now()
    with pytest.raises(Blocked, match="rolled_back"):
        run.switch_over()
    assert busy.now() - again < timedelta(seconds=30)
    assert busy.enabled == (wanted, set())


def test_half_drained_and_the_old_server_is_down(busy: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = enabled(busy.master)
    start(busy, runs=7200)
    run = busy.begin("slave")
    run.check()
    assert killed(run.switch_over, monkeypatch, 3)
    busy.master.scheduler.kill()
    busy.passed += LEASE
    with untouched(busy.slave), pytest.raises(NotYet):
        busy.resume()
    busy.passed += LEASE
    assert busy.resume(down=Down(busy.now() - timedelta(minutes=5)))["kind"] == "switchover"
    assert enabled(busy.slave) == wanted


def test_halted_while_it_waits_it_stops(busy: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    start(busy, runs=60)
    run = busy.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        patch.setattr(drain.time, "sleep", lambda _: busy.operate("halt"))
        with untouched(busy.slave), pytest.raises(Blocked) as error:
            run.switch_over()
    assert error.value.code == "halted"
    busy.operate("release")
    run.switch_over()
    assert not enabled(busy.master)


# -- the dry run


def test_a_dry_run_says_what_runs_how_long_it_takes_and_what_is_due(busy: SwitchPair) -> None:
    start(busy, runs=60)
    busy.advance(seconds=61)
    per_minute(busy)
    start(busy, runs=60)
    busy.advance(seconds=20)
    busy.master.webtool.reset_requests()
    with untouched(*busy.servers.servers):
        plan = busy.begin("slave", dry_run=True).check()
    assert plan["running"]["jobs"] == 1
    (row,) = plan["running"]["listed"]
    assert (row["job"], row["state"], row["usual_seconds"]) == (LONG, "RUNNING", 60)
    assert row["since"].startswith("2026-03-02T06:08:01")
    assert 40 <= plan["gap_seconds"] <= 50
    assert plan["due"]["occurrences"] == len(plan["due"]["listed"]) > 4
    reports = [path for path in busy.master.webtool.requests() if path.endswith("/reports")]
    assert len(reports) == 1


def test_a_dry_run_reads_few_reports_and_says_what_it_does_not_know(empty: SwitchPair) -> None:
    for number in range(30):
        add_job(empty.master, "p", f"job {number}", cron=AT_REST)
    empty.synced()
    empty.master.scheduler.duration(7200)
    act(empty.master, "start", *enabled(empty.master))
    empty.master.webtool.reset_requests()
    plan = empty.begin("slave", dry_run=True).check()
    assert plan["running"]["jobs"] == 30
    assert plan["gap_seconds"] is None
    asked = sum(count for path, count in empty.master.webtool.requests().items() if path.endswith("/reports"))
    assert asked == len(plan["running"]["listed"]) == 20


# -- a busy server


def test_a_busy_server_is_switched_over_and_back(empty: SwitchPair) -> None:
    """5 % of its jobs every minute, some every ten seconds, and one that runs for a while."""
    for number in range(40):
        seconds = number % 10
        cron = {0: f"{seconds}/10 * * * * ?", 1: f"{7 * number % 60} * * * * ?"}.get(number % 20, AT_REST)
        add_job(empty.master, f"p{number % 4}", f"job {number}", cron=cron)
    for server in empty.servers.servers:
        server.scheduler.guesses(misfire="record")
        server.scheduler.duration(3)
    empty.synced(deliver_now=True)
    wanted, journals = enabled(empty.master), Journals(empty)
    for number, to in enumerate(("slave", "master", "slave")):
        empty.advance(seconds=137)
        old = empty.master if to == "slave" else empty.slave
        old.scheduler.duration(45, match="job 39")
        name = next(label(each) for each in old.statuses() if each["jobName"] == "job 39")
        act(old, "start", name)
        event = empty.switched(to)
        empty.clean()
        assert event["interrupted"]["jobs"] == 0, number
        assert empty.enabled == ((set(), wanted) if to == "slave" else (wanted, set()))
        assert event["missed"]["occurrences"] == len(event["missed"]["listed"]) > 0
    ran = journals.occurrences()
    assert set(ran.values()) == {1}, ran
    assert all(entry["result"] != "STOPPED" for book in journals.books.values() for entry in book.journal)


def test_a_definition_that_was_edited_leads_to_a_refusal_as_before(busy: SwitchPair) -> None:
    start(busy, runs=30)
    edit(busy.slave, "p / idle", description="edited")
    with untouched(*busy.servers.servers), pytest.raises(Blocked, match="different"):
        busy.begin("slave").check()
