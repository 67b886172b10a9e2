from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.snapshot.ids import expired, new_id

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))


def test_an_id_is_the_utc_moment_and_something_random() -> None:
    madrid = datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    first, second = new_id(madrid), new_id(madrid)
    assert first.startswith("20261122T120000123Z-")
    assert first != second


@settings(deadline=None)
@given(moments, moments)
def test_ids_sort_by_age(one: datetime, other: datetime) -> None:
    if abs(one - other) >= timedelta(milliseconds=1):
        assert (new_id(one) < new_id(other)) == (one < other)


def test_the_newest_are_kept_and_the_oldest_come_first() -> None:
    ids = [new_id(NOON + timedelta(hours=hours)) for hours in range(5)]
    assert expired(reversed(ids), keep=2, protected=()) == ids[:3]
    assert expired(ids, keep=5, protected=()) == []
    assert expired(ids, keep=9, protected=()) == []


def test_protected_snapshots_stay_in_addition() -> None:
    ids = [new_id(NOON + timedelta(hours=hours)) for hours in range(5)]
    assert expired(ids, keep=2, protected={ids[0], ids[4]}) == ids[1:3]


def test_other_files_are_never_listed_nor_counted() -> None:
    ids = [new_id(NOON + timedelta(hours=hours)) for hours in range(3)]
    foreign = ["README", "20261122", "zzz", ids[0] + ".zip", "../" + ids[0]]
    assert expired([*foreign, *ids], keep=2, protected=()) == ids[:1]


def test_keeping_none_is_refused() -> None:
    with pytest.raises(ValueError, match="At least one snapshot must be kept, not 0"):
        expired([], keep=0, protected=())
