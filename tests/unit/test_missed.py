"""What nobody ran, and by which clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import count
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.jobs import JobKey
from denodo_ha.quartz import missed as module
from denodo_ha.quartz.cron import CronError, QuartzCron
from denodo_ha.quartz.forecast import hours_between
from denodo_ha.quartz.missed import (
    IRRELEVANT,
    UNKNOWN_ZONE,
    Missed,
    ServerZone,
    configured_zone,
    missed_occurrences,
    server_zone,
)
from denodo_ha.snapshot.manifest import Manifest, ManifestJob

MADRID = ZoneInfo("Europe/Madrid")
TAKEN = datetime(2026, 11, 22, 11, 3, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def key(name: str) -> JobKey:
    return JobKey(project="sales", name=name)


def entry(
    name: str, *crons: str, zone: tzinfo = MADRID, enabled: bool = True, due: datetime | None = None, idle: bool = False
) -> ManifestJob:
    """A job with the next execution that a server on a clock in ``zone`` reports; ``idle``: it reports none."""
    if enabled and due is None and not idle:
        try:
            due = min(at for cron in crons if (at := QuartzCron(cron).next_after(TAKEN, zone)))
        except (CronError, ValueError):
            due = None
    return ManifestJob(key=key(name), type="VDP", enabled=enabled, definition_hash="", crons=crons, next_execution=due)


def manifest(*jobs: ManifestJob) -> Manifest:
    return Manifest(jobs=jobs)


def found(*jobs: ManifestJob, since: datetime = NOON, hours: float = 2, zone: tzinfo = UTC) -> list[str]:
    """``name hh:mm`` of every occurrence, by the clock of UTC."""
    whole = manifest(*jobs)
    rows, total = missed_occurrences(
        whole, [job.key for job in jobs], since=since, until=since + hours * HOUR, zone=zone
    )
    assert len(rows) == total
    return [f"{row.key.name} {row.at:%H:%M}" for row in rows]


def inferred(*jobs: ManifestJob, days: float = 0) -> ServerZone:
    return server_zone(manifest(*jobs), TAKEN, TAKEN + timedelta(days=days))


def test_a_given_zone_is_believed() -> None:
    given = configured_zone("Europe/Madrid")
    assert given is not None
    assert (given.zone, str(given)) == (MADRID, "Europe/Madrid")
    assert configured_zone(None) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("UTC", "UTC"),
        ("Europe/Madrid", "UTC+01:00"),
        ("Asia/Kathmandu", "UTC+05:45"),
        ("Pacific/Chatham", "UTC+13:45"),
        ("America/St_Johns", "UTC-03:30"),
    ],
)
def test_one_daily_job_tells_the_offset_and_no_place(name: str, said: str) -> None:
    zone = ZoneInfo(name)
    found = inferred(entry("a", "0 30 3 * * ?", zone=zone), entry("b", "0 0/5 * * * ?", zone=zone))
    assert str(found) == said
    assert _offset(found.zone, TAKEN) == _offset(zone, TAKEN)


@pytest.mark.parametrize("name", ["Asia/Kolkata", "Europe/Madrid", "Asia/Kathmandu"])
def test_crons_without_an_hour_tell_the_minute_and_no_zone(name: str) -> None:
    """Many zones of the world give these times; the first of the alphabet is in Africa."""
    jobs = [entry("a", "0 0/15 * * * ?", zone=ZoneInfo(name)), entry("b", "0 7 * * * ?", zone=ZoneInfo(name))]
    jobs.append(entry("c", "* * * * * ?", zone=ZoneInfo(name)))
    zone = inferred(*jobs)
    assert str(zone) in (IRRELEVANT, "UTC+05:45")
    assert found(*jobs[:2], zone=zone.zone) == found(*jobs[:2], zone=ZoneInfo(name))


@pytest.mark.parametrize(
    "job",
    [
        entry("a", "0 0 8-20 * * ?"),
        entry("a", "0 0 3 * * ?", due=TAKEN + timedelta(days=40)),
        entry("a", "0 0 3 * * ?", idle=True),
        entry("a", "0 0 * * * ?", idle=True),
    ],
    ids=["some hours only", "beyond the coming day", "no next execution", "not even the minute"],
)
def test_a_zone_that_matters_and_cannot_be_told_is_not_known(job: ManifestJob) -> None:
    assert inferred(job) is UNKNOWN_ZONE


@pytest.mark.parametrize(
    "job",
    [
        entry("z", "0 0 3 * * ?", due=datetime(2026, 11, 22, 23, 30, tzinfo=UTC)),
        entry("z", "0 0 3 * * ?", due=datetime(2026, 11, 22, 11, 13, tzinfo=UTC)),
        entry("z", "nonsense", due=TAKEN + HOUR),
        entry("z", "0 0 17 * * ?", zone=UTC, enabled=False),
        entry("z", due=TAKEN + HOUR),
    ],
    ids=["its trigger begins later", "no zone explains it", "unreadable", "disabled", "no cron"],
)
def test_what_says_nothing_of_the_zone_is_passed_over(job: ManifestJob) -> None:
    assert str(inferred(entry("a", "0 0 18 * * ?"), job)) == "UTC+01:00"


def test_a_zone_whose_clock_may_be_changed_before_the_end_is_not_known() -> None:
    """The next executions tell an offset, and not whether the clock is changed in spring."""
    assert inferred(entry("a", "0 0 18 * * ?"), days=200) is UNKNOWN_ZONE


def test_a_disabled_job_needs_no_zone() -> None:
    hourly, some_hours = entry("h", "0 7 * * * ?"), "0 0 8-20 * * ?"
    assert inferred(hourly, entry("a", some_hours, enabled=False)).said == IRRELEVANT
    assert inferred(hourly, entry("a", some_hours)) is UNKNOWN_ZONE


ALL_ZONES = sorted(available_timezones())
HOURS = st.sampled_from(["*", "*", "3", "0", "8-20", "8,20", "0/6", "0/2"])
DAYS = st.sampled_from(["* * ?", "? * MON-FRI", "1 * ?", "? * SUN"])
CRONS = st.builds(
    "{} {} {} {}".format, st.sampled_from(["0", "30"]), st.sampled_from(["0", "15", "*/10", "7,50"]), HOURS, DAYS
)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(ALL_ZONES),
    crons=st.lists(CRONS, max_size=4),
    taken=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    days=st.sampled_from([0.0, 0.5, 2.0, 9.0]),
)
def test_what_is_said_of_a_zone_is_true_at_each_moment_that_matters(
    name: str, crons: list[str], taken: datetime, days: float
) -> None:
    zone, taken = ZoneInfo(name), taken.replace(microsecond=0)
    rows = [
        ManifestJob(
            key=key(str(number)),
            type="VDP",
            enabled=True,
            definition_hash="",
            crons=(cron,),
            next_execution=QuartzCron(cron).next_after(taken, zone),
        )
        for number, cron in enumerate(crons)
    ]
    until = taken + timedelta(days=days)
    told = server_zone(manifest(*rows), taken, until)
    if told is UNKNOWN_ZONE:
        return
    since, end = taken, max(until, taken + timedelta(days=1))
    wanted = [row.key for row in rows]

    def calculated(by: tzinfo) -> object:
        return missed_occurrences(manifest(*rows), wanted, since=since, until=end, zone=by)

    assert calculated(told.zone) == calculated(zone)
    assert told.said not in ALL_ZONES or told.said == "UTC"
    if told.said != IRRELEVANT:
        true = dict.fromkeys(str(timezone(_offset(zone, each))) for each in hours_between(since, end))
        assert told.said == ", then ".join(true)


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def test_occurrences_are_those_after_the_begin_and_up_to_the_end_in_order() -> None:
    jobs = [entry("b", "0 0 * * * ?"), entry("a", "0 0/30 * * * ?")]
    assert found(*jobs) == ["a 12:30", "a 13:00", "b 13:00", "a 13:30", "a 14:00", "b 14:00"]


def test_the_zone_decides() -> None:
    job = entry("a", "0 0 14 * * ?", due=TAKEN)
    assert found(job, zone=MADRID) == ["a 13:00"]
    assert found(job, zone=UTC) == ["a 14:00"]


def test_only_wanted_jobs_that_the_manifest_has() -> None:
    whole = manifest(entry("a", "0 0 * * * ?"), entry("b", "0 0 * * * ?"))
    rows, total = missed_occurrences(whole, [key("A"), key("gone")], since=NOON, until=NOON + HOUR, zone=UTC)
    assert (rows, total) == ((Missed(key("a"), NOON + HOUR),), 1)


def test_two_crons_at_one_time_are_one_occurrence() -> None:
    assert found(entry("a", "0 0 13 * * ?", "0 0 * * * ?")) == ["a 13:00", "a 14:00"]


def test_crons_that_cannot_be_read_are_left_out() -> None:
    assert found(entry("a", "nonsense", "0 0 13 * * ?", due=NOON), entry("b", "nonsense", due=NOON)) == ["a 13:00"]


def test_the_server_said_when_a_job_executes_next() -> None:
    """Its trigger may begin later than its cron says, or be over; of a disabled job the server says nothing."""
    assert found(entry("a", "0 0 * * * ?", due=NOON + 2 * HOUR)) == ["a 14:00"]
    assert found(entry("a", "0 0 * * * ?", idle=True)) == []
    assert found(entry("a", "0 0 * * * ?", enabled=False)) == ["a 13:00", "a 14:00"]


def test_the_list_ends_at_the_limit_and_the_number_goes_on() -> None:
    jobs = [entry(name, "0 0/10 * * * ?") for name in "abc"]
    rows, total = missed_occurrences(
        manifest(*jobs), [job.key for job in jobs], since=NOON, until=NOON + HOUR, zone=UTC, limit=7
    )
    assert total == 18
    assert [f"{row.key.name} {row.at:%M}" for row in rows] == ["a 10", "b 10", "c 10", "a 20", "b 20", "c 20", "a 30"]


def test_a_job_for_each_second_is_not_looked_at_for_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of executions that were computed is judged, not seconds."""
    computed = count()

    class Counting(QuartzCron):
        def _walls(self, wall: datetime):  # type: ignore[no-untyped-def]
            for each in super()._walls(wall):
                next(computed)
                yield each

    monkeypatch.setattr(module, "cached_cron", Counting)
    jobs = [entry(f"{number:03}", "* * * * * ?") for number in range(200)]
    rows, total = missed_occurrences(
        manifest(*jobs), [job.key for job in jobs], since=NOON, until=NOON + 100 * HOUR, zone=UTC, limit=50
    )
    assert (len(rows), total) == (50, 200 * 50)
    assert next(computed) < 200, "jobs with the same crons are computed once"
