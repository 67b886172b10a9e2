"""A sync whose worker dies between any two requests that change the slave: it stays passive, the next run repairs."""

from __future__ import annotations

import shutil

import pytest

from support.delivery import (
    at_write,
    audit,
    definition,
    in_step,
    job,
    put,
    refill,
    source,
)
from support.sync import TASKS, Books, DagRun, Sync, WorkerKilled, delete, edit, enabled, kill_the_worker

JOBS = (
    source(),
    *(job(f"{kind} {number}", kind=kind) for kind in ("VDP", "VDPCache") for number in range(2)),
    job("sealed", sealed="s"),
    job("after it", after="sealed"),
    job("sealed too", sealed="s", cron="8 7 1 * * ?"),
)
NEW_YORK = {"slave_timezone": "America/New_York"}


def killed(out: DagRun, patch: pytest.MonkeyPatch, at: int, *, after: bool) -> bool:
    """Run a sync, and kill its worker right before or after change number ``at`` of the slave."""
    for task in TASKS[:2]:
        out.task(task)
    with at_write(patch, at, kill_the_worker, after=after):
        try:
            out.task("import_metadata")
        except WorkerKilled:
            return True
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("born_disabled", [True, False], ids=["born disabled", "born enabled"])
def test_at_every_point_of_a_delivery(
    small: Sync, monkeypatch: pytest.MonkeyPatch, after: bool, born_disabled: bool
) -> None:
    slave = Books(small.slave)
    at = 0
    while True:
        refill(small.master, *JOBS)
        refill(small.slave, source("//vdp-old:9999/admin"))
        small.slave.scheduler.guesses(born_disabled=born_disabled)
        small.slave.scheduler.clock(now="2026-03-02T06:07:00Z")
        small.state.values.clear()
        shutil.rmtree(small.folder, ignore_errors=True)
        small.options = dict(NEW_YORK)
        out = small.dag_run()
        if not killed(out, monkeypatch, at, after=after):
            break
        assert small.record.dirty is not None
        out.task("disable_jobs")
        assert not enabled(small.slave), at
        small.synced()
        assert in_step(small), at
        at += 1
    assert out.imported
    assert at >= 6
    if born_disabled:
        assert slave.journal == []


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_the_run_that_was_killed_is_cleared_and_ends(small: Sync, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """Its own next try goes on; nothing that is there already is sent again."""
    refill(small.master, *JOBS)
    out = small.dag_run()
    assert killed(out, monkeypatch, 4, after=after)
    slave = Books(small.slave)
    for task in TASKS[2:]:
        out.task(task)
    assert out.committed
    assert in_step(small)
    twice = [row for row in audit(slave) if row[1] == "created"]
    assert len(twice) < 7
    assert slave.journal == []


def test_a_run_that_is_killed_and_whose_source_changes_before_the_next(
    small: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    refill(small.master, *JOBS)
    small.synced()
    put(small.master, job("sealed", sealed="s", description="one"), job("VDP 0", description="one"))
    out = small.dag_run()
    assert killed(out, monkeypatch, 1, after=True)
    delete(small.master, "Sales / after it")
    edit(small.master, "Sales / VDP 0", description="two")
    small.synced(pair={"orphans": "delete"})
    assert definition(small.slave, "Sales / VDP 0")["description"] == "two"
    assert in_step(small)
