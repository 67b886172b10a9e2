"""Limits of rules that no other test meets exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from denodo_ha.checks import same_server, shrunk
from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.pairs_options import MassChangeLimits
from denodo_ha.preconditions import not_yet_active, reason_given, slave_ready
from denodo_ha.promotion import CLOCKS, MISFIRE_THRESHOLD, just_ran, maybe_ran
from denodo_ha.record import Dirty, Phase, Record, Role, SnapshotRef
from denodo_ha.snapshot.manifest import Manifest, ManifestJob
from denodo_ha.transitions import UNKNOWN, under_way

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY = JobKey(project="p", name="a")
SNAPSHOT = SnapshotRef(
    id="s", taken=NOW, committed=NOW, imported=NOW, content_hash="", manifest_hash="", jobs=1, enabled=1
)


def manifest(*enabled: bool) -> Manifest:
    keys = (JobKey(project="p", name=f"j{number}") for number in range(len(enabled)))
    return Manifest(
        jobs=tuple(
            ManifestJob(key=key, type="VDP", enabled=flag, definition_hash="h")
            for key, flag in zip(keys, enabled, strict=True)
        )
    )


def statuses(*previous: datetime) -> list[JobStatus]:
    return [
        JobStatus(
            job_id=number,
            name=f"j{number}",
            project_id=1,
            project="p",
            state=JobState.NOT_RUNNING,
            previous_execution=at,
        )
        for number, at in enumerate(previous)
    ]


def test_jobs_that_became_disabled_are_a_mass_change_although_none_vanished() -> None:
    limits = MassChangeLimits(percent=20, jobs=5)
    assert shrunk(10, 10, manifest(*[True] * 5, *[False] * 5), limits)
    assert not shrunk(10, 10, manifest(*[True] * 6, *[False] * 4), limits)


@pytest.mark.parametrize(("agreeing", "same"), [(0, False), (1, False), (2, True), (4, True)])
def test_half_of_the_living_jobs_with_one_life_make_one_server(agreeing: int, same: bool) -> None:
    one = statuses(*[NOW] * 4)
    other = statuses(*[NOW] * agreeing, *[NOW - SECOND] * (4 - agreeing))
    assert same_server(one, other) is same


def test_a_dirty_slave_is_not_ready_and_neither_is_one_without_a_snapshot() -> None:
    assert slave_ready(Record(snapshot=SNAPSHOT)) is None
    for record in (Record(), Record(snapshot=SNAPSHOT, dirty=Dirty(since=NOW, reason="half an import"))):
        found = slave_ready(record)
        assert found
        assert found.code == "sync_first"


@pytest.mark.parametrize(
    ("changes", "to", "code"),
    [
        ({}, Role.SLAVE, None),
        ({}, Role.MASTER, "already_active"),
        ({"phase": Phase.FAILED_OVER, "active": Role.SLAVE}, Role.SLAVE, "already_active"),
        ({"phase": Phase.FAILED_OVER, "active": Role.SLAVE}, Role.MASTER, None),
    ],
)
def test_the_passive_server_alone_can_become_active(changes: dict[str, Any], to: Role, code: str | None) -> None:
    found = not_yet_active(Record().model_copy(update=changes), to)
    assert (found.code if found else None) == code


@pytest.mark.parametrize(("reason", "given"), [("", False), (" \n\t", False), ("upgrade", True)])
def test_white_space_is_no_reason(reason: str, given: bool) -> None:
    assert (reason_given(reason) is None) is given


@pytest.mark.parametrize(("after", "waits"), [(CLOCKS, True), (CLOCKS + SECOND, False)])
def test_a_silent_server_may_have_run_what_was_due_within_the_difference_of_clocks(
    after: timedelta, waits: bool
) -> None:
    """The job is due at noon; the old server was last heard so long before."""
    found = maybe_ran({KEY: ["0 0 12 * * ?"]}, silent_since=NOW - after, now=NOW + SECOND, skew=timedelta(0), zone=UTC)
    assert bool(found) is waits


def ran(at: datetime, *, old: timedelta = timedelta(0), new: timedelta = timedelta(0)) -> datetime | None:
    return just_ran({KEY: at}, old_time=NOW + old, new_time=NOW + new, now=NOW).get(KEY)


def test_the_slower_clock_says_what_has_just_run() -> None:
    limit = NOW - MISFIRE_THRESHOLD - CLOCKS
    assert ran(limit) is None
    assert ran(limit + SECOND) == limit + SECOND + MISFIRE_THRESHOLD
    assert ran(limit, old=-SECOND) is not None
    assert ran(limit, new=-SECOND) is not None


def test_no_job_waits_longer_than_the_threshold_however_far_clocks_are_apart() -> None:
    assert ran(NOW + timedelta(hours=9), old=timedelta(hours=9)) == NOW + MISFIRE_THRESHOLD
    assert ran(NOW, new=-timedelta(hours=9)) == NOW + MISFIRE_THRESHOLD


@pytest.mark.parametrize(("ago", "may"), [(timedelta(0), True), (SECOND, True), (2 * SECOND, False)])
def test_an_event_is_under_way_for_as_long_as_its_lease(ago: timedelta, may: bool) -> None:
    event = {"id": "e", "at": (NOW - ago).isoformat(), "after": {"enabled": UNKNOWN}}
    assert under_way(event, NOW, SECOND) is may
    assert not under_way({**event, "after": {"enabled": 0}}, NOW, SECOND)
    assert not under_way({"id": "e", "after": {"enabled": UNKNOWN}}, NOW, SECOND)
