from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("90s", 90),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2D", 172800),
        (" 1s ", 1),
        ("0s", 0),
        ("PT5M", 300),
        ("P1DT1H", 90000),
        (7, 7),
        (timedelta(minutes=1), 60),
    ],
)
def test_reads_what_people_write(text: object, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "5", "5 minutes", "m", "-5m", "30m1h", "P5M", "PT", "P", 1.5, True, None, "9" * 30 + "d", [5]]
)
def test_refuses_anything_else_and_says_what_is_allowed(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 5m, 90s, 1h30m, PT5M or whole seconds, not"):
        parse_duration(text)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_formats_what_it_reads(seconds: int) -> None:
    value = timedelta(seconds=seconds)
    assert parse_duration(format_duration(value)) == value
