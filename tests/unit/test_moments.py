"""When jobs may be imported: judged by the crons themselves, one firing after the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from denodo_ha.delivery.moments import Moments, budget, has_no_moment, next_moment, possible_zones
from denodo_ha.jobs import DependencyInfo, Job, Trigger
from denodo_ha.quartz.cron import QuartzCron

NOW = datetime(2026, 11, 28, 9, 3, 7, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
TEN = timedelta(seconds=10)
MADRID, NEW_YORK, KOLKATA = (ZoneInfo(name) for name in ("Europe/Madrid", "America/New_York", "Asia/Kolkata"))
QUARTERS = possible_zones(None, None)


def job(*crons: str, number: int = 1, **trigger: str) -> Job:
    triggers = tuple(Trigger(cron=cron, **trigger) for cron in crons)
    return Job(id=number, name=f"j{number}", type="VDP", project_id=1, project="p", triggers=triggers)


def fires(jobs: Sequence[Job], zones: Sequence[tzinfo], moment: datetime, length: timedelta) -> bool:
    """Whether a trigger fires in [moment, moment + length) on the clock of one of the zones."""
    for cron in {trigger.cron for each in jobs for trigger in each.triggers if trigger.cron}:
        for zone in zones:
            firing = QuartzCron(cron).next_after(moment - timedelta.resolution, zone)
            if firing is not None and firing < moment + length:
                return True
    return False


def first_free(
    jobs: Sequence[Job], zones: Sequence[tzinfo], now: datetime, length: timedelta, until: datetime
) -> datetime | None:
    """The same as ``next_moment``, second by second."""
    moment = now.replace(microsecond=0) + (SECOND if now.microsecond else timedelta())
    while moment < until:
        if not fires(jobs, zones, moment, length):
            return moment
        moment += SECOND
    return None


CRONS = st.sampled_from(
    [
        "* * * * * ?",
        "0/7 * * * * ?",
        "0/10 * * * * ?",
        "0 * * * * ?",
        "20,21,50 * * * * ?",
        "0 0/5 * * * ?",
        "30 3/15 * * * ?",
        "0 20 * * * ?",
        "0 30 2 * * ?",
        "0 0 1-4 * * ?",
        "10 4 9 ? * MON-FRI",
        "0 0 0 1 * ?",
        "0 0 12 L * ? 2027",
    ]
)
ZONES = st.sampled_from(
    [(UTC,), (MADRID,), (NEW_YORK, MADRID), (KOLKATA, timezone(timedelta(hours=-3, minutes=-30))), (MADRID, UTC)]
)
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 11, 28), datetime(2026, 11, 29), timezones=st.just(UTC)),
    st.datetimes(datetime(2026, 10, 24, 23, 30), datetime(2026, 10, 25, 2, 30), timezones=st.just(UTC)),
    st.datetimes(datetime(2026, 3, 29, 0, 30), datetime(2026, 3, 29, 1, 30), timezones=st.just(UTC)),
)


@settings(max_examples=60)
@given(
    crons=st.lists(CRONS, min_size=1, max_size=4),
    zones=ZONES,
    now=MOMENTS,
    length=st.integers(1, 40),
    reach=st.integers(1, 400),
)
@example(
    crons=["0 30 2 * * ?"], zones=(MADRID,), now=datetime(2026, 10, 25, 0, 29, 55, tzinfo=UTC), length=20, reach=90
)
@example(
    crons=["0 30 2 * * ?"], zones=(MADRID,), now=datetime(2026, 10, 25, 1, 29, 55, tzinfo=UTC), length=20, reach=90
)
def test_it_is_the_first_second_in_which_nothing_fires(
    crons: list[str], zones: tuple[tzinfo, ...], now: datetime, length: int, reach: int
) -> None:
    jobs = [job(cron, number=number) for number, cron in enumerate(crons)]
    span, until = timedelta(seconds=length), now + timedelta(seconds=reach)
    found = next_moment(jobs, now=now, zones=zones, budget=span, until=until)
    assert found == first_free(jobs, zones, now, span, until)


@settings(max_examples=15)
@given(crons=st.lists(CRONS, min_size=1, max_size=3), now=MOMENTS)
def test_in_an_unknown_zone_it_is_free_in_every_quarter_of_an_hours_offset(crons: list[str], now: datetime) -> None:
    jobs = [job(cron, number=number) for number, cron in enumerate(crons)]
    until = now + 40 * MINUTE
    found = next_moment(jobs, now=now, zones=QUARTERS, budget=TEN, until=until)
    if found is not None:
        assert now <= found < until
        assert not fires(jobs, QUARTERS, found, TEN)
        assert found == first_free(jobs, QUARTERS, found - 2 * SECOND, TEN, until) or found < now + 2 * SECOND
    elif now + TEN < until:
        assert fires(jobs, QUARTERS, now + TEN, TEN)


@pytest.mark.parametrize("cron", ["0 30 3 * * ?", "0 30 * * * ?"])
def test_in_an_unknown_zone_a_job_counts_at_every_quarter_of_an_hour(cron: str) -> None:
    daily = job(cron)
    at_the_quarter = datetime(2026, 11, 28, 9, 14, 55, tzinfo=UTC)
    found = next_moment([daily], now=at_the_quarter, zones=QUARTERS, budget=TEN, until=at_the_quarter + HOUR)
    assert found == datetime(2026, 11, 28, 9, 15, 1, tzinfo=UTC)
    known = next_moment([daily], now=at_the_quarter, zones=(MADRID,), budget=TEN, until=at_the_quarter + HOUR)
    assert known == at_the_quarter


def test_a_job_that_fires_more_often_than_an_import_takes_has_none() -> None:
    assert next_moment([job("0/9 * * * * ?")], now=NOW, zones=(UTC,), budget=TEN, until=NOW + 24 * HOUR) is None
    assert next_moment([job("0/20 * * * * ?")], now=NOW, zones=(UTC,), budget=TEN, until=NOW + HOUR) == NOW
    assert next_moment([job("0/20 * * * * ?")], now=NOW, zones=(UTC,), budget=14 * SECOND, until=NOW + HOUR) == (
        NOW + 14 * SECOND
    )


def test_none_after_the_end_of_the_wait() -> None:
    minutely = job("0 * * * * ?")
    now = NOW.replace(second=55)
    assert next_moment([minutely], now=now, zones=(UTC,), budget=TEN, until=now + 6 * SECOND) is None
    assert next_moment([minutely], now=now, zones=(UTC,), budget=TEN, until=now + 7 * SECOND) == now + 6 * SECOND


def test_a_job_without_a_trigger_can_go_at_once_rounded_up_to_a_second() -> None:
    assert next_moment([job()], now=NOW, zones=(UTC,), budget=TEN, until=NOW + HOUR) == NOW
    later = NOW + timedelta(microseconds=1)
    assert next_moment([job()], now=later, zones=(UTC,), budget=TEN, until=NOW + HOUR) == NOW + SECOND


def test_a_dependency_alone_fires_nothing() -> None:
    waiting = Job(
        id=1,
        name="w",
        type="VDP",
        project_id=1,
        project="p",
        triggers=(Trigger(cron=None, dependency=DependencyInfo(job_ids=(7,))),),
    )
    assert has_no_moment(waiting, NOW) is None
    assert next_moment([waiting], now=NOW, zones=QUARTERS, budget=TEN, until=NOW + HOUR) == NOW


@pytest.mark.parametrize(
    ("each", "why"),
    [
        (job("0 0 3 * * ?", start_time="2026-11-28T09:00:00Z"), "a start time in the past"),
        (job("0 0 3 * * ?", start_time="2026-11-28T22:00:00"), "a start time in the past"),
        (job("0 0 3 * * ?", start_time="28/11/2030 10:00"), "cannot be read"),
        (job("0 0 3 * *"), "cannot be evaluated"),
        (
            Job(id=1, name="j", type="VDP", project_id=1, project="p", triggers=(Trigger(type="poll"),)),
            "neither a cron",
        ),
    ],
    ids=["past", "past in the easternmost zone", "unreadable", "no cron", "another trigger"],
)
def test_what_may_fire_at_once_or_nobody_knows_when_has_no_moment(each: Job, why: str) -> None:
    assert why in str(has_no_moment(each, NOW))
    assert next_moment([each], now=NOW, zones=(UTC,), budget=TEN, until=NOW + HOUR) is None
    assert next_moment([job(), each], now=NOW, zones=(UTC,), budget=TEN, until=NOW + HOUR) is None
    assert not Moments((UTC,), now=NOW, budget=TEN, until=NOW + HOUR).is_free(each, NOW)


def test_an_end_time_that_cannot_be_read_takes_no_moment_away() -> None:
    assert (
        next_moment([job("0 0 3 * * ?", end_time="never")], now=NOW, zones=(UTC,), budget=TEN, until=NOW + HOUR) == NOW
    )


def test_a_start_time_that_passes_during_the_wait_ends_it() -> None:
    starts = job("0 * * * * ?", start_time="2026-11-28T09:03:40Z")
    begin = NOW.replace(second=25)
    assert next_moment([starts], now=begin, zones=(UTC,), budget=TEN, until=NOW + HOUR) == begin
    assert next_moment([starts], now=begin, zones=(UTC,), budget=16 * SECOND, until=NOW + HOUR) is None
    assert next_moment([starts], now=NOW.replace(second=31), zones=(UTC,), budget=TEN, until=NOW + HOUR) is None


def test_two_thousand_crons_and_one_for_every_second_are_no_burden() -> None:
    """Each cron is looked at once, however often it is asked for."""
    jobs = [job(f"{n % 60} {n // 60 % 60} {n % 24} * * ?", number=n) for n in range(2000)]
    moments = Moments((MADRID,), now=NOW, budget=TEN, until=NOW + 24 * HOUR)
    asked: list[str] = []
    calculated = moments._calculated

    def watched(expression: str) -> set[datetime]:
        asked.append(expression)
        firings = calculated(expression)
        assert len(firings) <= 24 * 3600 / 5 + 10
        return firings

    moments._calculated = watched  # type: ignore[method-assign]
    found = moments.next(jobs)
    assert found is not None
    assert not fires(jobs, (MADRID,), found, TEN)
    assert moments.next([job("* * * * * ?")]) is None
    moments.next(jobs)
    assert len(asked) == len(set(asked)) == 2001


@pytest.mark.parametrize(("longest", "seconds"), [(None, 10), (0.2, 10), (3.4, 11), (60.0, 180)])
def test_the_budget_is_three_times_the_longest_import(longest: float | None, seconds: int) -> None:
    assert budget(longest) == timedelta(seconds=seconds)


def test_the_zones_are_the_configured_one_or_the_inferred_ones_or_all() -> None:
    assert possible_zones("Europe/Madrid", [UTC]) == (MADRID,)
    assert possible_zones(None, [UTC, MADRID]) == (UTC, MADRID)
    for inferred in (None, []):
        zones = possible_zones(None, inferred)
        assert len(zones) == 26 * 4 + 1
        offsets = [zone.utcoffset(None) for zone in zones]
        assert (offsets[0], offsets[-1]) == (timedelta(hours=-12), timedelta(hours=14))
