"""Quartz cron expressions: against the real Quartz where its answers are at hand, and against fixtures of our own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from denodo_ha.quartz.cron import CronError, QuartzCron, validate

ORACLE = Path(__file__).parents[2] / ".." / "shared" / "denodo" / "quartz" / "oracle.json"
MADRID = ZoneInfo("Europe/Madrid")


def upcoming(expression: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    cron, moment, found = QuartzCron(expression), datetime.fromisoformat(after), []
    while len(found) < count and (moment := cron.next_after(moment, ZoneInfo(zone))):  # type: ignore[assignment]
        found.append(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return found


def test_every_answer_of_the_real_quartz() -> None:
    if not ORACLE.exists():
        pytest.skip("the oracle of Quartz 2.3.2 (../shared/denodo/quartz/oracle.json) is not here")
    cases: list[dict[str, Any]] = json.loads(ORACLE.read_text())
    assert {case["cron"] for case in cases if validate(case["cron"])} == {
        case["cron"] for case in cases if not case["valid"]
    }
    wrong = [
        (case, found)
        for case in cases
        if case["valid"] and (found := upcoming(case["cron"], case["after"], 6, case["tz"])) != case["next"]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0/15 * * * * ?", ["2026-11-22T12:00:15Z", "2026-11-22T12:00:30Z"]),
        ("0 0/5 * * * ?", ["2026-11-22T12:05:00Z", "2026-11-22T12:10:00Z"]),
        ("0 /20 * * * ?", ["2026-11-22T12:20:00Z", "2026-11-22T12:40:00Z"]),
        ("0 0 22-2/2 * * ?", ["2026-11-22T22:00:00Z", "2026-11-23T00:00:00Z"]),
        ("58-1 0 13 * * ?", ["2026-11-22T13:00:00Z", "2026-11-22T13:00:01Z"]),
        ("0 0 0 ? nov-Feb mon", ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"]),
        ("0 0 0 ? JANUARY MON-TUESDAY", ["2027-01-04T00:00:00Z", "2027-01-05T00:00:00Z"]),
        ("0 0 0 ? * MONDAY-TUESDAY", ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"]),
        ("0 0 3 ? * 1", ["2026-11-29T03:00:00Z", "2026-12-06T03:00:00Z"]),
        ("0 0 3 ? * SAT-SUN", ["2026-11-28T03:00:00Z", "2026-11-29T03:00:00Z"]),
        ("0 0 3 ? * L", ["2026-11-28T03:00:00Z", "2026-12-05T03:00:00Z"]),
        ("0 0 3 ? * 6L", ["2026-11-27T03:00:00Z", "2026-12-25T03:00:00Z"]),
        ("0 0 3 ? * FRIL", ["2026-11-27T03:00:00Z", "2026-12-25T03:00:00Z"]),
        ("0 0 3 ? * 6#3", ["2026-12-18T03:00:00Z", "2027-01-15T03:00:00Z"]),
        ("0 0 3 ? * SUN#5", ["2026-11-29T03:00:00Z", "2027-01-31T03:00:00Z"]),
        ("0 0 3 L * ?", ["2026-11-30T03:00:00Z", "2026-12-31T03:00:00Z"]),
        ("0 0 3 L-3 * ?", ["2026-11-27T03:00:00Z", "2026-12-28T03:00:00Z"]),
        ("0 0 3 L-30 * ?", ["2026-12-01T03:00:00Z", "2027-01-01T03:00:00Z"]),
        ("0 0 3 LW 5,7,10 ?", ["2027-05-31T03:00:00Z", "2027-07-30T03:00:00Z", "2027-10-29T03:00:00Z"]),
        ("0 0 3 L-1W 1-3 ?", ["2027-01-29T03:00:00Z", "2027-02-26T03:00:00Z", "2027-03-30T03:00:00Z"]),
        ("0 0 3 15W 5,8 ?", ["2027-05-14T03:00:00Z", "2027-08-16T03:00:00Z"]),
        ("0 0 3 1W 5,8 ?", ["2027-05-03T03:00:00Z", "2027-08-02T03:00:00Z"]),
        ("0 0 3 31W * ?", ["2026-12-31T03:00:00Z", "2027-01-29T03:00:00Z", "2027-03-31T03:00:00Z"]),
        ("0 0 0 29 2 ?", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("0 0 0 1 1 ? 2027,2030-2032/2", [f"{year}-01-01T00:00:00Z" for year in (2027, 2030, 2032)]),
        ("0 0 0 1 1 ? */50", ["2070-01-01T00:00:00Z"]),
        ("5/0 0 0 1 1 ? 2099", ["2099-01-01T00:00:05Z"]),
    ],
)
def test_upcoming(expression: str, expected: list[str]) -> None:
    assert upcoming(expression, "2026-11-22T12:00:00Z", len(expected)) == expected


@pytest.mark.parametrize(
    "expression", ["0 0 0 * * ? 2020", "0 0 0 30 2 ?", "0 0 0 1 1 ? 2200", "0 0 0 ? 2 2#5 2026-2027"]
)
def test_exhausted(expression: str) -> None:
    cron = QuartzCron(expression)
    assert cron.next_after(datetime(2026, 11, 22, tzinfo=UTC), MADRID) is None
    assert list(cron.between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC), MADRID)) == []


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        pytest.param(
            "0 30 2 * * ?",
            "Europe/Madrid",
            "2027-03-27T00:00:00Z",
            ["2027-03-27T01:30:00Z", "2027-03-29T00:30:00Z"],
            id="a time that the change skips is left out",
        ),
        pytest.param(
            "0 0/30 * * * ?",
            "Europe/Madrid",
            "2027-03-28T00:00:00Z",
            ["2027-03-28T00:30:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"],
            id="across the skipped hour",
        ),
        pytest.param(
            "0 30 2 * * ?",
            "Europe/Madrid",
            "2026-10-24T22:00:00Z",
            ["2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"],
            id="a time that comes twice fires once, the second time",
        ),
        pytest.param(
            "0 30 * * * ?",
            "Europe/Madrid",
            "2026-10-24T23:00:00Z",
            ["2026-10-24T23:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
            id="nothing fires in the first pass of the repeated hour",
        ),
        pytest.param(
            "0 0/30 * * * ?",
            "Europe/Madrid",
            "2026-10-25T00:40:00Z",
            ["2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"],
            id="asked in the first pass, the whole second pass is ahead",
        ),
        pytest.param(
            "0 15 2 * * ?",
            "Australia/Lord_Howe",
            "2026-10-02T16:00:00Z",
            ["2026-10-04T15:15:00Z"],
            id="a change of half an hour",
        ),
        pytest.param(
            "0 0 0 * * ?",
            "Africa/Cairo",
            "2026-04-22T12:00:00Z",
            ["2026-04-22T22:00:00Z", "2026-04-24T21:00:00Z"],
            id="midnight itself is skipped",
        ),
    ],
)
def test_changes_of_the_clocks(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert upcoming(expression, after, len(expected), zone) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "'' ends too early: 6 or 7 fields are needed, seconds first"),
        ("0 0 2 * *", "'0 0 2 * *' ends too early: 6 or 7 fields are needed, seconds first"),
        ("nonsense", "'nonsense' ends too early: 6 or 7 fields are needed, seconds first"),
        ("0 0 2 * * *", "day of month, day of week: exactly one of the two must be '?'"),
        ("0 0 2 ? * ?", "day of month, day of week: exactly one of the two must be '?'"),
        ("0 0 24 * * ?", "hour: '24' is not between 0 and 23"),
        ("0 60 2 * * ?", "minute: '60' is not between 0 and 59"),
        ("0 0 2 32 * ?", "day of month: '32' is not between 1 and 31"),
        ("0 0 2 1-32 * ?", "day of month: '1-32' is not between 1 and 31"),
        ("0 0 2 0W * ?", "day of month: '0W' is not between 1 and 31"),
        ("0 0 2 ? * 8", "day of week: '8' is not between 1 and 7"),
        ("0 0 2 ? * 0", "day of week: '0' is not between 1 and 7"),
        ("0 0 2 ? * MON#6", "day of week: 'MON#6' needs a number from 1 to 5 after '#'"),
        ("0 0 2 ? * MON#1,FRI#2", "day of week: 'MON#1,FRI#2' has more than one '#': only one is possible"),
        ("0 0 2 ? * MO", "day of week: 'MO' is not one of SUN to SAT"),
        ("0 0 2 ? * MON-5", "day of week: 'MON-5' is not one of SUN to SAT"),
        ("0 0 2 * FOO ?", "month: 'FOO' is not one of JAN to DEC"),
        ("0 0 MON * * ?", "hour: 'MON' is not a number"),
        ("0 0 2 L,15 * ?", "day of month: 'L,15' mixes L with other days: write L alone"),
        ("0 0 2 L-31 * ?", "day of month: 'L-31' goes back more than 30 days from the last"),
        ("0 0 2 L- * ?", "day of month: 'L-' needs a number after '-'"),
        ("0 0 L * * ?", "hour: 'L' is possible for days only"),
        ("0 ? 2 * * ?", "minute: '?' is possible for days only"),
        ("0 0 2 6L * ?", "day of month: '6L' has 'L', which is possible for days of the week only"),
        ("0 0 2 ? * 2W", "day of week: '2W' has 'W', which is possible for days of the month only"),
        ("0 */60 2 * * ?", "minute: '*/60' has a step longer than 59"),
        ("0 0/ 2 * * ?", "minute: '0/' needs a number after '/'"),
        ("0 */ 2 * * ?", "minute: '*/' needs a number after '/'"),
        ("0 5- 2 * * ?", "minute: '5-' is not a range like 1-5 or 1-5/2"),
        ("0 5-7/ 2 * * ?", "minute: '5-7/' is not a range like 1-5 or 1-5/2"),
        ("0 , 2 * * ?", "minute: ',' names no value"),
        ("0 -1 2 * * ?", "minute: '-1' is neither a number, a name, nor one of * ? L"),
        ("0 0 2 * * ? 2030-2020", "year: '2030-2020' ends before it begins"),
        ("0 0 2 * * ? " + "9" * 5000, "year: '" + "9" * 5000 + "' has a number that is too long"),
    ],
)
def test_refused_with_the_field_named(expression: str, message: str) -> None:
    assert validate(expression) == message
    with pytest.raises(CronError):
        QuartzCron(expression)


@pytest.mark.parametrize("expression", ["0  0\t2 * * ?", " 0 0 2 ? * * ", "0 0 2 * * ? 2030 more", "*/0 0 2 * * ?"])
def test_accepted_like_quartz(expression: str) -> None:
    assert validate(expression) == ""


def test_a_part_of_a_second_does_not_hide_the_next_one() -> None:
    moment = datetime(2026, 11, 22, 12, 0, 14, 999_999, tzinfo=UTC)
    assert QuartzCron("0/15 * * * * ?").next_after(moment, MADRID) == datetime(2026, 11, 22, 12, 0, 15, tzinfo=UTC)


def test_between_leaves_out_the_start_and_includes_the_end() -> None:
    hour = [datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in range(10, 13)]
    assert list(QuartzCron("0 0 * * * ?").between(hour[0], hour[2], MADRID)) == hour[1:]


def test_one_expression_serves_several_askers_at_once() -> None:
    """An iteration that has begun is not moved by another question to the same object."""
    cron, start = QuartzCron("0 0 * * * ?"), datetime(2026, 11, 22, 10, tzinfo=UTC)
    iteration = cron.between(start, start + timedelta(days=1), MADRID)
    first = next(iteration)
    cron.next_after(datetime(2040, 1, 1, tzinfo=UTC), MADRID)
    assert next(iteration) == first + timedelta(hours=1)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high).map(str)
    step = st.integers(1, high).map(str)
    return st.one_of(
        st.just("*"),
        number,
        st.lists(number, min_size=2, max_size=4).map(",".join),
        st.tuples(number, number).map("-".join),
        st.tuples(number, step).map("/".join),
        st.tuples(number, number, step).map(lambda parts: f"{parts[0]}-{parts[1]}/{parts[2]}"),
    )


_month = st.one_of(_field(1, 12), st.just("NOV-FEB"))
_day = st.one_of(_field(1, 31), st.sampled_from(["L", "LW", "L-3", "L-2W", "15W", "1W", "31W"]))
_weekday = st.one_of(_field(1, 7), st.sampled_from(["L", "6L", "2#5", "MON-FRI"]))
_days = st.one_of(st.tuples(_day, _month, st.just("?")), st.tuples(st.just("?"), _month, _weekday))
_expressions = st.tuples(_field(0, 59), _field(0, 59), _field(0, 23), _days.map(" ".join)).map(" ".join)
_zones = st.sampled_from(["UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"])
_moments = st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))


@settings(max_examples=150, deadline=None)
@given(_expressions, _zones, _moments, st.integers(0, 3 * 24 * 3600))
def test_laws(expression: str, zone: str, moment: datetime, seconds: int) -> None:
    cron, tz = QuartzCron(expression), ZoneInfo(zone)
    following = cron.next_after(moment, tz)
    assume(following is not None)  # such as the 30th of February
    assert following is not None
    assert following > moment
    later = moment + timedelta(seconds=seconds)
    following_later = cron.next_after(later, tz)
    assert following_later is not None
    assert following_later >= following
    assert later >= following or following_later == following

    iterated = []
    step: datetime | None = following
    while step is not None and len(iterated) < 20:
        iterated.append(step)
        step = cron.next_after(step, tz)
    assert iterated == list(islice(cron.between(moment, iterated[-1], tz), 21))
