"""What nobody ran, and by which clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from zoneinfo import ZoneInfo

import pytest

from denodo_ha.jobs import JobKey
from denodo_ha.quartz import missed as module
from denodo_ha.quartz.cron import CronError, QuartzCron
from denodo_ha.quartz.missed import Missed, missed_occurrences, server_zone
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


def found(*jobs: ManifestJob, since: datetime = NOON, hours: float = 2, zone: tzinfo | None = UTC) -> list[str]:
    """``name hh:mm`` of every occurrence, by the clock of UTC."""
    whole = manifest(*jobs)
    rows, total = missed_occurrences(
        whole, [job.key for job in jobs], since=since, until=since + hours * HOUR, zone=zone
    )
    assert len(rows) == total
    return [f"{row.key.name} {row.at:%H:%M}" for row in rows]


def same_clock(zone: tzinfo | None, other: tzinfo) -> bool:
    return zone is not None and TAKEN.astimezone(zone).utcoffset() == TAKEN.astimezone(other).utcoffset()


def test_a_given_zone_is_believed() -> None:
    assert server_zone(manifest(entry("a", "0 0 3 * * ?", zone=UTC)), TAKEN, MADRID) is MADRID


@pytest.mark.parametrize("name", ["UTC", "Europe/Madrid", "Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns"])
def test_one_daily_job_tells_the_zone(name: str) -> None:
    zone = ZoneInfo(name)
    jobs = [entry("a", "0 30 3 * * ?", zone=zone), entry("b", "0 0/5 * * * ?", zone=zone)]
    assert same_clock(server_zone(manifest(*jobs), TAKEN, None), zone)


def test_jobs_at_the_same_minute_everywhere_need_no_zone() -> None:
    jobs = [entry("a", "0 0/15 * * * ?"), entry("b", "0 7 * * * ?"), entry("c", "* * * * * ?")]
    zone = server_zone(manifest(*jobs), TAKEN, None)
    assert zone
    assert found(*jobs[:2], zone=zone) == found(*jobs[:2], zone=MADRID)


@pytest.mark.parametrize(
    "job",
    [
        entry("a", "0 0 8-20 * * ?"),
        entry("a", "0 0 3 * * ?", due=TAKEN + timedelta(days=40)),
        entry("a", "0 0 3 * * ?", idle=True),
    ],
    ids=["some hours only", "beyond the coming day", "no next execution"],
)
def test_a_zone_that_matters_and_cannot_be_told_is_none(job: ManifestJob) -> None:
    assert server_zone(manifest(job), TAKEN, None) is None


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
    assert same_clock(server_zone(manifest(entry("a", "0 0 18 * * ?"), job), TAKEN, None), MADRID)


def test_a_disabled_job_needs_no_zone() -> None:
    jobs = manifest(entry("a", "0 7 * * * ?"), entry("b", "0 0 8-20 * * ?", enabled=False))
    assert server_zone(jobs, TAKEN, None) is not None


def test_no_jobs_no_question() -> None:
    assert server_zone(manifest(), TAKEN, None) is not None


def test_occurrences_are_those_after_the_begin_and_up_to_the_end_in_order() -> None:
    jobs = [entry("b", "0 0 * * * ?"), entry("a", "0 0/30 * * * ?")]
    assert found(*jobs) == ["a 12:30", "a 13:00", "b 13:00", "a 13:30", "a 14:00", "b 14:00"]


def test_the_zone_decides_and_none_is_utc() -> None:
    job = entry("a", "0 0 14 * * ?", due=TAKEN)
    assert found(job, zone=MADRID) == ["a 13:00"]
    assert found(job, zone=None) == found(job, zone=UTC) == ["a 14:00"]


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
