"""The search itself: it visits everything, finds the shortest way, and says so when it could not end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model.search import Step, Unfinished, search


def steps(number: int) -> Iterator[Step[int]]:
    """From each number below 20 to the next and to its double; 12 may not be left by one."""
    if number < 20:
        yield Step("one more", number + 1, ("left 12",) if number == 12 else ())
        yield Step("twice", number * 2)


def test_it_visits_every_state() -> None:
    assert search(1, steps).states == len({*range(1, 21), *range(2, 40, 2)})


def test_the_trace_is_a_shortest_one() -> None:
    assert search(1, steps).traces == {"left 12": ["one more", "one more", "twice", "twice", "one more"]}


def test_a_state_can_break_a_property_by_itself() -> None:
    result = search(1, steps, check=lambda number: ["is 6"] if number == 6 else [])
    assert result.traces["is 6"] == ["one more", "one more", "twice"]
    assert "is 6:\n   1. one more" in str(result)


def test_it_ends_at_the_property_that_is_looked_for() -> None:
    assert search(1, steps, until="left 12").states < search(1, steps).states


def test_an_assertion_of_the_code_is_a_broken_property() -> None:
    def fails(number: int) -> Iterator[Step[int]]:
        if number == 3:
            raise AssertionError("three")
        yield Step("one more", number + 1)

    result = search(1, fails)
    assert result.traces == {"an assertion of the code: three": ["one more", "one more"]}


def test_a_search_that_did_not_end_proves_nothing() -> None:
    with pytest.raises(Unfinished):
        search(1, lambda number: [Step("one more", number + 1)], limit=100)
