"""What is enabled, in which order and in which batches, and what had better wait a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.jobs import JobKey
from denodo_ha.promotion import EnableOrder, batches, order_enabling, risky
from denodo_ha.quartz.cron import QuartzCron

MADRID = ZoneInfo("Europe/Madrid")
NOON = datetime(2026, 3, 1, 11, tzinfo=UTC)
"""12:00 in Madrid."""


def job(text: str) -> JobKey:
    project, _, name = text.rpartition("/")
    return JobKey(project=project or "p", name=name)


def jobs(text: str) -> list[JobKey]:
    return [job(word) for word in text.split()]


def order(wanted: str, present: str | None = None, **waits_for: str) -> str:
    """The names in their order; ``a="b c"`` says that a waits for b and c."""
    dependencies = {job(name): jobs(text) for name, text in waits_for.items()}
    plan = order_enabling(jobs(wanted), dependencies, jobs(wanted if present is None else present))
    return " ".join(key.name for key in plan.order)


def test_only_jobs_that_are_wanted_and_there_are_enabled() -> None:
    plan = order_enabling(jobs("b gone a GONE2"), {}, jobs("a b orphan"))
    assert plan == EnableOrder(order=tuple(jobs("a b")), missing=tuple(jobs("gone gone2")))


def test_names_are_the_same_in_upper_and_lower_case() -> None:
    assert order_enabling(jobs("X/a"), {}, jobs("x/A")) == EnableOrder(tuple(jobs("x/a")), ())


def test_nothing_is_planned_for_nothing() -> None:
    assert order_enabling([], {job("a"): [job("b")]}, jobs("a b")) == EnableOrder((), ())


@pytest.mark.parametrize(
    ("waits_for", "expected"),
    [
        ({"a": "b", "b": "c"}, "a b c"),
        ({"c": "b", "b": "a"}, "c b a"),
        ({"d": "a b", "b": "a"}, "c d b a"),
        ({"b": "a", "c": "a", "d": "b c"}, "d b c a"),
        ({"b": "b"}, "a b c d"),
    ],
    ids=["already sorted", "against the names", "two to wait for", "diamond", "waits for itself"],
)
def test_a_job_comes_before_those_that_it_waits_for(waits_for: dict[str, str], expected: str) -> None:
    names = " ".join(sorted(expected.split()))
    assert order(names, **waits_for) == expected


def test_jobs_that_are_not_enabled_put_nobody_in_order() -> None:
    assert order("a c", present="a b c", c="b", b="a") == "a c", "c waits for b, which stays disabled"


def test_the_jobs_of_a_project_stay_together() -> None:
    wanted = jobs("one/b two/a one/a two/b three/c")
    plan = order_enabling(wanted, {job("two/a"): jobs("one/a"), job("two/b"): jobs("one/b")}, wanted)
    assert [str(key) for key in plan.order] == ["three / c", "two / a", "two / b", "one / a", "one / b"]


def test_a_circle_is_broken_the_same_way_each_time_and_outside_of_it_the_order_holds() -> None:
    circle = {"a": "b", "b": "c", "c": "a", "0": "a", "b2": "b"}
    found = order("a b c 0 b2", **circle)
    assert found == order("b2 c 0 b a", **dict(reversed(circle.items())))
    assert sorted(found.split()) == ["0", "a", "b", "b2", "c"]
    assert found.index("0") < found.index("a"), "0 is no part of the circle and waits for a"
    assert found.index("b2") < found.index("b ")


def test_a_chain_as_long_as_a_server_has_jobs() -> None:
    keys = [JobKey(project=f"p{number % 7}", name=f"{number:04}") for number in range(5000)]
    plan = order_enabling(keys, {later: [earlier] for earlier, later in pairwise(keys)}, keys)
    assert plan.order == tuple(reversed(keys))


names = st.sampled_from([job(f"{project}/{number}") for project in "xyz" for number in range(4)])


@given(st.sets(names), st.dictionaries(names, st.sets(names)), st.sets(names))
def test_whatever_waits_for_whatever(
    wanted: set[JobKey], dependencies: dict[JobKey, set[JobKey]], present: set[JobKey]
) -> None:
    plan = order_enabling(wanted, dependencies, present)
    assert len(plan.order) == len(set(plan.order))
    assert set(plan.order) == wanted & present
    assert plan.missing == tuple(sorted(wanted - present))
    place = {key: number for number, key in enumerate(plan.order)}

    def reaches(start: JobKey, end: JobKey) -> bool:
        seen, ahead = set(), [start]
        while ahead:
            for key in dependencies.get(ahead.pop(), set()) & place.keys():
                if key not in seen:
                    seen.add(key)
                    ahead.append(key)
        return end in seen

    for key in place:
        for awaited in dependencies.get(key, set()) & place.keys():
            assert place[key] < place[awaited] or reaches(awaited, key), f"{key} waits for {awaited}"


@pytest.mark.parametrize(
    ("count", "first", "largest", "sizes"),
    [
        (0, 20, 160, []),
        (5, 20, 160, [5]),
        (20, 20, 160, [20]),
        (700, 20, 160, [20, 40, 80, 160, 160, 160, 80]),
        (10, 1, 4, [1, 2, 4, 3]),
        (10, 3, 5, [3, 5, 2]),
        (7, 3, 1, [3, 3, 1]),
    ],
)
def test_batches_double_up_to_the_largest(count: int, first: int, largest: int, sizes: list[int]) -> None:
    keys = [job(str(number)) for number in range(count)]
    found = list(batches(keys, first, largest))
    assert [len(batch) for batch in found] == sizes
    assert [key for batch in found for key in batch] == keys


@pytest.mark.parametrize(
    ("cron", "seconds"),
    [
        ("0 0 12 * * ?", 0),
        ("59 59 11 * * ?", -1),
        ("1 59 11 * * ?", -59),
        ("0 59 11 * * ?", None),
        ("1 0 12 * * ?", None),
        ("0 0 11 * * ?", None),
        ("* * * * * ?", 0),
        ("0/25 * * * * ?", 0),
        ("7/25 * * * * ?", -3),
        ("5,20 59 11 * * ?", -40),
        ("0 0 12 * * ? 2020", None),
        ("nonsense", None),
    ],
)
def test_a_job_is_risky_by_its_last_execution_in_the_period(cron: str, seconds: int | None) -> None:
    """Of (11:59:00, 12:00:00] in Madrid."""
    expected = {} if seconds is None else {job("a"): NOON + timedelta(seconds=seconds)}
    assert risky({job("a"): [cron]}, since=NOON - timedelta(minutes=1), until=NOON, zone=MADRID) == expected


def test_the_last_of_several_crons_counts_and_unreadable_ones_do_not() -> None:
    crons = {job("a"): ["10 59 11 * * ?", "nonsense", "40 59 11 * * ?"], job("b"): ["0 0 3 * * ?"], job("c"): []}
    found = risky(crons, since=NOON - timedelta(minutes=1), until=NOON, zone=MADRID)
    assert found == {job("a"): NOON - timedelta(seconds=20)}


@given(
    st.sampled_from(["* * * * * ?", "0/7 * * * * ?", "0 0/5 * * * ?", "30 0 2,3 * * ?", "0,10 30 2 29 3 ?"]),
    st.integers(0, 200_000),
    st.integers(0, 900),
)
def test_looking_back_finds_what_listing_all_would(cron: str, start: int, length: int) -> None:
    """Around the change of the clocks in March 2026."""
    since = datetime(2026, 3, 28, tzinfo=UTC) + timedelta(seconds=start)
    until = since + timedelta(seconds=length)
    every = list(QuartzCron(cron).between(since, until, MADRID))
    assert risky({job("a"): [cron]}, since=since, until=until, zone=MADRID).get(job("a")) == (
        every[-1] if every else None
    )
