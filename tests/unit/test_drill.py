"""Which jobs may be drilled, and what a drill says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from denodo_ha.delivery.moments import possible_zones
from denodo_ha.drill import RAN, Drill, Drilled, at_rest, chosen, due, unfit
from denodo_ha.jobs import DependencyInfo, Job, JobKey, JobState, JobStatus, Statuses, Trigger
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import PairsError, load_pairs
from denodo_ha.reason import Reason
from denodo_ha.record import Operation, Phase, Record, Role, Step
from denodo_ha.scope import Scope
from denodo_ha.situation import Consents, Heard, situation_of
from denodo_ha.transitions import claim, drill_begun, drill_enables, drill_ended, drill_resumed, drill_saw

NOW = datetime(2026, 3, 2, 6, 7, tzinfo=UTC)
WINDOW, LEASE = timedelta(minutes=8), timedelta(minutes=2)
PING, PONG, LOAD = (JobKey(project="health", name=name) for name in ("ping", "pong", "load"))
MADRID = (ZoneInfo("Europe/Madrid"),)


def status(key: JobKey, state: str = "DISABLED", **more: Any) -> JobStatus:
    number = (PING, PONG, LOAD).index(key)
    return JobStatus(job_id=number, name=key.name, project_id=1, project=key.project, state=JobState(state), **more)


def job(key: JobKey, *triggers: Trigger) -> Job:
    number = (PING, PONG, LOAD).index(key)
    return Job(id=number, name=key.name, type="VDP", project_id=1, project=key.project, triggers=triggers)


def cron(expression: str, **more: Any) -> Trigger:
    return Trigger(cron=expression, **more)


def reason(*triggers: Trigger, others: tuple[Job, ...] = (), zones: Any = MADRID, **states: str) -> str:
    """Why ``ping`` with these triggers must not be drilled; empty if it may."""
    known = {"ping": "DISABLED", "pong": "DISABLED", "load": "DISABLED", **states}
    statuses = Statuses(tuple(status(key, known[key.name]) for key in (PING, PONG, LOAD)), NOW)
    jobs = (job(PING, *triggers), *others)
    found = unfit(PING, statuses, jobs, {PING}, zones=zones, window=WINDOW)
    assert found is None or found.next_step
    return found.code if found else ""


@pytest.mark.parametrize(
    ("trigger", "code"),
    [
        (cron("0 0 0 1 1 ? 2099"), ""),
        (cron("0 0 6 * * ?"), ""),
        (cron("0 10 7 * * ?"), "due"),
        (cron("0 30 7 * * ?"), ""),
        (cron("0 10 6 * * ?"), ""),
        (cron("* * * * * ?"), "due"),
        (cron("0 0 6 * * ?", start_time="2020-01-01T00:00:00"), ""),
        (cron("0 0 6 * * ?", start_time="no time"), ""),
        (cron("0 10 7 * * ?", start_time="2099-01-01T00:00:00"), "due"),
        (cron("no cron"), "may_fire"),
        (Trigger(type="polling"), "may_fire"),
        (Trigger(type="dependency", dependency=DependencyInfo(job_ids=(1,))), ""),
    ],
    ids=str,
)
def test_a_job_that_could_run_by_itself_is_left_alone(trigger: Trigger, code: str) -> None:
    assert reason(trigger) == code


def test_where_the_clock_is_not_known_each_may_be_the_right_one() -> None:
    every = possible_zones(None, None)
    assert reason(cron("0 10 6 * * ?"), zones=every) == "due"
    assert reason(cron("0 28 6 * * ?"), zones=every) == "due"
    assert reason(cron("0 0 0 1 1 ? 2099"), zones=every) == ""


def test_a_job_must_not_release_or_follow_one_that_is_enabled_there() -> None:
    after_ping = job(PONG, Trigger(dependency=DependencyInfo(job_ids=(0,)), cron="0 0 0 1 1 ? 2099"))
    assert reason(others=(after_ping,)) == ""
    assert reason(others=(after_ping,), pong="NOT_RUNNING") == "would_release"
    assert reason(others=(after_ping,), pong="WAITING") == "would_release"
    follows = Trigger(dependency=DependencyInfo(job_ids=(1,)))
    assert reason(follows, others=(job(PONG),)) == ""
    assert reason(follows, others=(job(PONG),), pong="NOT_RUNNING") == "may_fire"


def test_a_job_that_is_not_what_it_should_be() -> None:
    assert reason(ping="DRAFT") == "draft"
    assert reason(ping="NOT_RUNNING") == reason(ping="RUNNING") == reason(ping="no state") == "enabled_there"
    statuses = Statuses((status(PING),), NOW)
    options: dict[str, Any] = {"zones": MADRID, "window": WINDOW}
    for jobs, wanted, code in (([], {PING}, "not_there"), ([job(PING)], set(), "disabled_on_active")):
        found = unfit(PING, statuses, jobs, wanted, **options)
        assert found
        assert found.code == code
    assert unfit(PONG, statuses, [job(PONG)], {PONG}, **options).code == "not_there"  # type: ignore[union-attr]


def test_the_server_itself_may_say_that_it_is_due() -> None:
    assert due(status(PING), NOW, WINDOW) is None
    assert due(status(PING, next_execution=NOW + WINDOW + timedelta(seconds=1)), NOW, WINDOW) is None
    assert due(status(PING, next_execution=NOW + WINDOW), NOW, WINDOW)
    assert due(status(PING, next_execution=NOW - timedelta(hours=1)), NOW, WINDOW)


KEYS = (PING, PONG, LOAD, JobKey(project="other", name="ping"))


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["ping"], {PING, KEYS[3]}),
        (["PING"], {PING, KEYS[3]}),
        (["health / ping"], {PING}),
        (["p?ng", "health / l*"], set(KEYS)),
        (["* / p*"], {PING, PONG, KEYS[3]}),
        ([], "no job of this pair"),
        (["ping", "gone"], "'gone'"),
    ],
    ids=str,
)
def test_which_jobs_the_option_names(patterns: list[str], found: Any) -> None:
    got = chosen(patterns, Scope(), KEYS)
    if isinstance(got, Reason):
        assert got.code == "no_drill_jobs"
        assert found in got.what
    else:
        assert set(got) == found


def test_no_job_beyond_the_scope_of_the_pair() -> None:
    assert chosen(["ping"], Scope(projects=("health",)), KEYS) == (PING,)
    assert isinstance(chosen(["ping"], Scope(projects=("nowhere",)), KEYS), Reason)
    statuses = Statuses((status(PONG, "NOT_RUNNING"),), NOW)
    assert at_rest(statuses, Scope()).code == "slave_enabled"  # type: ignore[union-attr]
    assert at_rest(statuses, Scope(jobs=("ping",))) is None


# -- the option


def test_the_options_of_a_drill() -> None:
    pair = Pair(name="x", drill=["ping"], drill_schedule="30 3 * * 0", drill_timeout="90s")
    assert (pair.drill, pair.drill_schedule, pair.drill_timeout) == (("ping",), "30 3 * * 0", timedelta(seconds=90))
    assert (Pair(name="x").drill, Pair(name="x").drill_schedule) == ((), None)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("drill: ping", "4: pairs.a.drill: must be a list such as [\"sales_*\"], not 'ping'"),
        ("drill: [ping, '']", "4: pairs.a.drill.1: must not be empty"),
        ("drill: [7]", "4: pairs.a.drill.0: must be text"),
        ("drill_schedule: often", "4: pairs.a.drill_schedule: must be a cron expression"),
        ("drill_schedule: '@daily'", "4: pairs.a.drill_schedule: needs 'drill', the names of the harmless jobs"),
        ("drill_timeout: 0", "4: pairs.a.drill_timeout: must be longer than 0"),
        ("drills: [ping]", '4: pairs.a.drills: is not an option; did you mean "drill"?'),
    ],
)
def test_a_mistake_names_its_line(text: str, mistake: str, tmp_path: Any) -> None:
    file = tmp_path / "pairs.yaml"
    file.write_text(f"pairs:\n  a:\n    description: x\n    {text}\n")
    with pytest.raises(PairsError) as error:
        load_pairs(file)
    assert mistake in str(error.value)


# -- the record


def begun(*jobs: JobKey) -> Record:
    drill = Drill(id="r/1", by="jo", at=NOW, left=jobs or (PING, PONG))
    return drill_begun(Record(), drill, target="b", lease=LEASE)


def test_the_record_knows_at_each_moment_which_job_may_be_enabled() -> None:
    record = begun()
    assert (record.operation, record.drilled) == (
        Operation(kind="drill", id="r/1", target="b", step=Step.CLAIMED, started=NOW, lease_until=NOW + LEASE),
        None,
    )
    record = drill_enables(record, PING)
    assert record.drilled == PING
    resumed = drill_resumed(record, operation_id="r/2", now=NOW, lease=LEASE)
    assert (resumed.drilled, resumed.epoch, resumed.operation.id) == (PING, record.epoch, "r/2")  # type: ignore[union-attr]
    again = drill_saw(resumed, None)
    assert (again.drilled, again.drill.left) == (None, (PING, PONG))  # type: ignore[union-attr]
    seen = drill_saw(record, Drilled(key=PING, code=RAN, what="it ended"))
    assert (seen.drilled, seen.drill.left, len(seen.drill.done)) == (None, (PONG,), 1)  # type: ignore[union-attr]
    ended = drill_ended(seen, now=NOW)
    assert (ended.operation, ended.drill.ended) == (None, NOW)  # type: ignore[union-attr]
    for each in (record, resumed, again, seen, ended):
        assert Record.from_json(each.to_json()) == each


def test_a_failover_ends_it() -> None:
    record = drill_enables(begun(), PING)
    after = claim(record, kind="failover", to=Role.SLAVE, operation_id="f", target="b", plan="p", now=NOW, lease=LEASE)
    assert (after.phase, after.drilled, after.drill.code, after.drill.ended) == (  # type: ignore[union-attr]
        Phase.FAILING_OVER, None, "gave_way", NOW
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "later", "open_", "left"),
    [
        (Step.CLAIMED, 0, False, False),
        (Step.ENABLING, 0, False, False),
        (Step.DISABLING, 0, True, False),
        (Step.DISABLING, 3, False, True),
        (Step.ENABLING, 3, False, True),
    ],
)
def test_only_what_could_undo_a_failover_holds_it_up(step: Step, later: int, open_: bool, left: bool) -> None:
    record = begun()
    assert record.operation
    record = record.model_copy(update={"operation": record.operation.model_copy(update={"step": step})})
    now = NOW + timedelta(minutes=later)
    situation = situation_of(
        record, Pair(name="x"), Consents(), Heard(), now=now, slave_enabled=False, master_enabled=True
    )
    assert (situation.operation_open, situation.drill_left) == (open_, left)


# -- what it says


def test_what_is_proven_and_what_is_not() -> None:
    good = Drilled(key=PING, code=RAN, what="it ended as COMPLETE", enabled=NOW, disabled=NOW + LEASE)
    bad = Drilled(key=PONG, code="ended_badly", what="no driver", next_step="copy it")
    drill = Drill(id="r/1", by="jo", at=NOW, done=(good,), left=(PONG,))
    assert drill.summary == "not at its end; 1 jobs done, 1 left"
    assert drill.told()["ok"] is False
    ended = drill.model_copy(update={"left": ()}).ended_at(NOW + LEASE)
    assert (ended.problem, ended.summary, ended.told()["ok"]) == (None, "1 of 1 jobs ran on the slave", True)
    assert ended.told()["jobs"][0]["seconds"] == LEASE.total_seconds()
    failed = ended.model_copy(update={"done": (good, bad)})
    assert failed.problem == Reason(
        "drill_failed",
        "1 of 2 jobs are no proof that the slave can run: health / pong: [ended_badly] no driver",
        "copy it",
    )
    early = drill.ended_at(NOW, Reason("paused", "automation was paused", "resume it"))
    assert early.told()["not_begun"] == ["health / pong"]
    assert early.summary == "1 of 2 jobs ran on the slave; [paused] automation was paused"
