"""What was last seen of the jobs of both servers: kept, side by side, and the coming day by their crons."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_demo.slowness import allow
from denodo_ha.job_table import COLUMNS, job_table, to_json
from denodo_ha.jobs import JobKey, JobStatus
from denodo_ha.quartz.cron import QuartzCron
from denodo_ha.quartz.minutes import Period, Tally
from denodo_ha.quartz.missed import UNKNOWN_ZONE, configured_zone
from denodo_ha.quiet_day import DAY, DueJob, due_jobs, quiet_day
from denodo_ha.record import PendingJob, Phase, Record, Role
from denodo_ha.scope import Scope
from denodo_ha.seen import Seen, SeenJob, SeenServer, from_bytes, of_manifest, of_statuses, updated
from denodo_ha.snapshot.manifest import Manifest, ManifestJob

NOW = datetime(2026, 11, 30, 1, 20, 40, tzinfo=UTC)
SALES = "Sales"
STRANGE = ("<script>alert(1)</script>", "\u202eright to left", "\ud800", "n" * 300, 'a "b" \\ c', "Maße")
MADRID = configured_zone("Europe/Madrid")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def key(name: str, project: str = SALES) -> JobKey:
    return JobKey(project=project, name=name)


def server(jobs: dict[str, Any], at: datetime = NOW) -> SeenServer:
    """A server with these jobs, by name: whether they are enabled, or when they are due."""
    return SeenServer(
        at,
        tuple(SeenJob(key(name), bool(due), due if isinstance(due, datetime) else None) for name, due in jobs.items()),
    )


def both(master: dict[str, Any], slave: dict[str, Any]) -> Seen:
    return Seen({Role.MASTER: server(master), Role.SLAVE: server(slave)})


# -- kept


@given(
    st.dictionaries(
        st.text(max_size=20) | st.sampled_from(STRANGE),
        st.booleans() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
        max_size=8,
    )
)
def test_what_is_kept_is_read_again(jobs: dict[str, Any]) -> None:
    seen = both(jobs, {})
    found = from_bytes(to_bytes(seen))
    whole = [
        (job.key, job.enabled, job.next_execution and job.next_execution.replace(microsecond=0))
        for job in seen.servers[Role.MASTER].jobs
    ]
    assert [tuple(job) for job in found.servers[Role.MASTER].jobs] == whole
    assert (found.servers[Role.SLAVE], found.problem) == (seen.servers[Role.SLAVE], "")


def test_only_jobs_in_scope_are_kept() -> None:
    rows = [
        JobStatus.model_validate(
            {"jobID": number, "jobName": f"j{number}", "projectID": 1, "projectName": project, "state": state}
        )
        for number, (project, state) in enumerate([(SALES, "RUNNING"), ("Other", "RUNNING"), (SALES, "DISABLED")])
    ]
    found = of_statuses(rows, Scope(projects=(SALES,)), NOW)
    assert [(str(job.key), job.enabled) for job in found.jobs] == [("Sales / j0", True), ("Sales / j2", False)]


def test_each_server_is_as_it_was_seen_last() -> None:
    earlier = NOW - MINUTE
    kept = {Role.MASTER: server({"a": True}), Role.SLAVE: server({"a": False}, earlier)}
    newer = {Role.MASTER: server({}, earlier), Role.SLAVE: server({"b": False})}
    found = from_bytes(updated(updated(b"", kept), newer))
    assert found.servers == {Role.MASTER: kept[Role.MASTER], Role.SLAVE: newer[Role.SLAVE]}


def test_a_server_that_was_not_read_stays_as_it_was_seen() -> None:
    kept = both({"a": True}, {"a": False})
    found = from_bytes(updated(to_bytes(kept), {Role.SLAVE: server({}, NOW + MINUTE)}))
    assert found.servers[Role.MASTER] == kept.servers[Role.MASTER]
    assert found.servers[Role.SLAVE].jobs == ()


def to_bytes(seen: Seen) -> bytes:
    return updated(b"", seen.servers)


def _changed(path: list[str], value: Any) -> bytes:
    stored = json.loads(gzip.decompress(to_bytes(both({"a": True}, {"a": False}))))
    place = stored
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return gzip.compress(json.dumps(stored).encode(), mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        to_bytes(both({"a": True}, {}))[:-9],
        gzip.compress(b"[" * 100_000, mtime=0),
        gzip.compress(b"null", mtime=0),
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b"\xff", mtime=0),
        gzip.compress(bytes(70 * 1024 * 1024), mtime=0),
        _changed(["schema"], 2),
        _changed(["servers"], 5),
    ],
)
def test_what_is_damaged_was_never_seen(content: bytes) -> None:
    found = from_bytes(content)
    assert found.servers == {}
    assert found.problem
    seen = both({"a": True}, {})
    assert from_bytes(updated(content, seen.servers)) == seen, "it is replaced"


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"at": NOW.isoformat()},
        {"at": "yesterday", "projects": {}},
        {"at": "2026-11-30T01:00:00", "projects": {}},
        {"at": NOW.isoformat(), "projects": {"p": [["a", 1]]}},
        {"at": NOW.isoformat(), "projects": {"p": [["a", 1, "x"]]}},
        {"at": NOW.isoformat(), "projects": {"p": [["a", 1, 10**30]]}},
        {"at": NOW.isoformat(), "projects": {"p": [[5, 1, None]]}},
    ],
)
def test_a_damaged_server_leaves_the_other_one(value: Any) -> None:
    found = from_bytes(_changed(["servers", "slave"], value))
    assert set(found.servers) == {Role.MASTER}
    again = updated(_changed(["servers", "slave"], value), {Role.SLAVE: server({}, NOW + MINUTE)})
    assert from_bytes(again).problem == ""
    assert "slave" in found.problem


# -- side by side


def pending(name: str, *, there: bool) -> PendingJob:
    return PendingJob(key=key(name), code="restless", why="it never rests", on_target=there, next_step="send it now")


def row(seen: Seen, record: Record | None, name: str = "a", wanted: dict[str, bool] | None = None) -> dict[str, Any]:
    rows = job_table(seen, record, {key(job): enabled for job, enabled in (wanted or {}).items()}).rows
    return next(found for found in (dict(zip(COLUMNS, row, strict=True)) for row in rows) if found["name"] == name)


def test_a_job_that_is_as_it_should_be() -> None:
    found = row(both({"a": NOW}, {"a": False}), Record(), wanted={"a": True})
    assert list(found.values()) == [SALES, "a", "enabled", "disabled", "same", "2026-11-30T01:20:40Z", None, ""]


def test_names_are_compared_without_case() -> None:
    table = job_table(both({"A": True}, {"a": False}), Record(), {})
    assert [row[4] for row in table.rows] == ["same"]


@pytest.mark.parametrize(
    ("master", "slave", "record", "wanted", "state", "note"),
    [
        ({"a": True}, {}, Record(), {}, "missing", "not on the slave; the next sync"),
        ({}, {"a": False}, Record(), {}, "missing", "orphan"),
        ({"a": True}, {}, Record(pending=(pending("a", there=False),)), {}, "pending", "it never rests; send it now"),
        ({"a": True}, {"a": False}, Record(pending=(pending("a", there=True),)), {}, "different", "it never rests"),
        ({"a": True}, {"a": True}, Record(), {}, "same", "enabled on the slave, which is passive"),
        ({"a": False}, {"a": False}, Record(), {"a": True}, "same", "disabled on the master"),
        ({"a": True}, {"a": False}, Record(), {"a": False}, "same", "enabled on the master since the last sync"),
        ({"a": True}, {}, Record(), {"a": False}, "missing", "since the last sync, which a failover"),
        (
            {"a": True},
            {"a": True},
            Record(phase=Phase.FAILED_OVER, active=Role.SLAVE),
            {},
            "same",
            "enabled on the master, which is passive",
        ),
        ({"a": True}, {"a": True}, None, {}, "same", ""),
    ],
)
def test_what_is_not_as_it_should_be_is_said(
    master: dict[str, Any], slave: dict[str, Any], record: Record | None, wanted: dict[str, bool], state: str, note: str
) -> None:
    found = row(both(master, slave), record, wanted=wanted)
    assert found["state"] == state
    assert note in found["note"]
    assert bool(note) == bool(found["note"])


def test_a_server_that_was_never_seen_is_unknown_and_lacks_nothing() -> None:
    found = row(Seen({Role.SLAVE: server({"a": False})}), Record())
    assert (found["master"], found["slave"], found["state"]) == ("unknown", "disabled", "same")


def test_a_pending_job_that_neither_server_shows_is_listed_too() -> None:
    table = job_table(both({}, {}), Record(pending=(pending("a", there=False),)), {})
    assert table.counts["pending"] == 1


def test_counts() -> None:
    seen = both({"a": True, "b": True, "c": False}, {"a": False, "b": True})
    assert job_table(seen, Record(), {}).counts == {
        **{"same": 2, "different": 0, "missing": 1, "pending": 0, "jobs": 3, "notes": 2},
        **{"master_jobs": 3, "master_enabled": 2, "slave_jobs": 2, "slave_enabled": 1},
    }


def thousands() -> tuple[Seen, dict[JobKey, tuple[str, ...]]]:
    """5,000 jobs of 5,000 crons, on both servers."""
    crons = [
        f"{number % 60} 0/{1 + number // 60 % 40} * ? * MON-FRI"
        if number % 3
        else f"{number % 60} {number // 60 % 60},59 {number % 24},{number % 7} L-{number // 3600} * ?"
        for number in range(5000)
    ]
    keys = [key(f"a job of length {number:05}", f"project {number % 40}") for number in range(5000)]
    chance = random.Random(1)
    dues = [NOW + timedelta(seconds=chance.randrange(60_000)) for _ in crons]
    of_master = tuple(SeenJob(each, True, due) for each, due in zip(keys, dues, strict=True))
    of_slave = tuple(SeenJob(each, False, None) for each in keys)
    seen = Seen({Role.MASTER: SeenServer(NOW, of_master), Role.SLAVE: SeenServer(NOW, of_slave)})
    return seen, dict(zip(keys, ((cron,) for cron in crons), strict=True))


def test_five_thousand_jobs_are_kept_and_told_in_time_and_small() -> None:
    seen, crons = thousands()
    content = to_bytes(seen)
    assert least(lambda: updated(content, seen.servers)) < allow(0.1)
    assert len(content) < 200_000
    data = to_json(job_table(seen, Record(), dict.fromkeys(crons, True)), seen, "")
    assert len(json.dumps(data, separators=(",", ":"))) <= 500_000
    jobs = due_jobs(seen.servers[Role.MASTER], crons)
    assert least(lambda: quiet_day(jobs, NOW, NOW, None)) < allow(1)
    assert sum(quiet_day(jobs, NOW, NOW, None).minutes) > 100_000


def least(work: Callable[[], object]) -> float:
    """The least of three times that it took, in seconds of the processor."""

    def once() -> float:
        began = process_time()
        work()
        return process_time() - began

    return min(once() for _ in range(3))


# -- the coming day

_NUMBER = {"second": (0, 59), "minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (1, 7)}


def _field(name: str, *special: str) -> st.SearchStrategy[str]:
    low, high = _NUMBER[name]
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda two: f"{two[0]}-{two[1]}"),
        st.tuples(number, st.integers(1, high)).map(lambda two: f"{two[0]}/{two[1]}"),
        st.lists(number, min_size=2, max_size=4).map(lambda some: ",".join(map(str, some))),
        *map(st.just, special),
    )


_DAYS = _field("day", "L", "LW", "L-3", "L-1W", "15W", "1W", "31W").map(lambda days: (days, "?"))
_WEEKDAYS = _field("weekday", "6L", "1#2", "7#5", "L", "MON-FRI").map(lambda days: ("?", days))
CRONS = st.tuples(
    _field("second"),
    _field("minute"),
    _field("hour"),
    _DAYS | _WEEKDAYS,
    _field("month"),
    st.sampled_from(["", "2026", "2027"]),
).map(lambda parts: f"{parts[0]} {parts[1]} {parts[2]} {parts[3][0]} {parts[4]} {parts[3][1]} {parts[5]}".strip())
ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
MOMENTS = [(2026, 3, 28), (2026, 10, 24), (2026, 10, 31), (2026, 11, 1), (2026, 4, 4), (2027, 2, 28)]
"""Before clocks change, and before the end of a month."""


@settings(max_examples=150)
@given(st.lists(CRONS, min_size=1, max_size=2), st.sampled_from(ZONES), st.sampled_from(MOMENTS), st.integers(0, 4000))
def test_each_minute_has_as_many_executions_as_the_crons_step_through(
    crons: list[str], zone: str, day: tuple[int, int, int], minute: int
) -> None:
    """Two crons of a job at the same time count as one."""
    ensure_equal(crons, zone, datetime(*day, tzinfo=UTC) + minute * MINUTE, 240)


@pytest.mark.parametrize("day", MOMENTS)
@pytest.mark.parametrize("zone", ZONES)
def test_the_minutes_of_two_days_in_which_the_clocks_change(zone: str, day: tuple[int, int, int]) -> None:
    """A time that is skipped is left out, and one that comes twice fires the second time."""
    for cron in ("0,40 0/15 * * * ?", "5 30 1-3 ? * 1,7", "0 0 2 ? * 2,1#4", "0 1 1 L * ?", "0 30 2 ? * 1-5#1"):
        ensure_equal([cron, "5 0/30 2 * * ?"], zone, datetime(*day, tzinfo=UTC), 2 * DAY)


def ensure_equal(crons: list[str], zone: str, begin: datetime, length: int) -> None:
    place, stop = ZoneInfo(zone), begin + length * MINUTE - SECOND
    times = {at for cron in crons for at in QuartzCron(cron).between(begin - SECOND, stop, place)}
    period, tally = Period(begin, length, place), Tally()
    for minutes, count in period.due(crons).items():
        tally.add(minutes, count)
    expected = [0] * length
    for at in times:
        expected[period.minute_of(at)] += 1
    assert tally.counts(length) == expected


@given(st.lists(st.tuples(st.integers(0, 2**20 - 1), st.integers(0, 200)), max_size=40))
def test_a_tally_counts_each_minute(sets: list[tuple[int, int]]) -> None:
    tally = Tally()
    for minutes, times in sets:
        tally.add(minutes, times)
    assert tally.counts(20) == [sum(times for minutes, times in sets if minutes >> at & 1) for at in range(20)]


def day_of(*jobs: tuple[str, datetime | None], zone: Any = MADRID, seen: datetime = NOW) -> dict[str, Any]:
    found = [DueJob(key(f"job {number}"), (cron,) if cron else (), due) for number, (cron, due) in enumerate(jobs)]
    return quiet_day(found, seen, NOW, zone).to_json(Role.MASTER, NOW, timedelta(minutes=5, seconds=30))


def test_the_day_begins_with_this_minute_and_says_when_nothing_is_due() -> None:
    at_three = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)
    found = day_of(("0,30 0 3 * * ?", at_three), ("0 5 3 * * ?", at_three + 5 * MINUTE))
    assert found["begin"] == "2026-11-30T01:20:00+00:00"
    assert len(found["minutes"]) == DAY
    assert {minute: count for minute, count in enumerate(found["minutes"]) if count} == {40: 2, 45: 1}
    assert found["busiest"] == [{"job": "Sales / job 0", "count": 2}, {"job": "Sales / job 1", "count": 1}]
    assert found["windows"] == [
        {"begin": "2026-11-30T01:20:00+00:00", "end": "2026-11-30T02:00:00+00:00"},
        {"begin": "2026-11-30T02:06:00+00:00", "end": "2026-12-01T01:20:00+00:00"},
    ]
    assert (found["window_seconds"], found["zone"], found["problem"]) == (330, "Europe/Madrid", None)


def test_an_execution_that_the_server_has_planned_counts_besides_the_crons() -> None:
    late = NOW.replace(hour=5, minute=7)
    found = day_of(("0 0 * * * ?", late), ("", late), ("no cron", late), ("0 0 * * * ?", None))
    due = {minute: count for minute, count in enumerate(found["minutes"]) if count}
    assert min(due) == 3 * 60 + 47, "a trigger that begins later does not execute before"
    assert due[3 * 60 + 47] == 3
    assert sum(due.values()) == 3 + 20
    for said in (
        "1 jobs have a cron that cannot be read",
        "1 jobs have no known cron",
        "1 jobs are due next at a time",
    ):
        assert said in found["note"]


def test_the_zone_is_inferred_from_what_the_server_says_or_is_not_known() -> None:
    daily = ("0 0 3 * * ?", datetime(2026, 11, 30, 2, 0, tzinfo=UTC))
    found = day_of(daily, zone=None)
    assert found["zone"] == "UTC+01:00"
    assert found["minutes"][40] == 1
    old = day_of(daily, zone=None, seen=NOW - timedelta(days=8))
    assert old["zone"] == str(UNKNOWN_ZONE)
    assert "taken to be UTC" in old["note"]


def test_a_manifest_tells_of_its_server_too() -> None:
    job = ManifestJob(key=key("a"), type="VDP", enabled=True, definition_hash="", next_execution=NOW)
    assert of_manifest(Manifest(jobs=(job,)), NOW) == SeenServer(NOW, (SeenJob(key("a"), True, NOW),))
