"""A sync that is stopped between what it reads and what it writes undoes nothing of what another one did meanwhile."""

from __future__ import annotations

import pytest

from support.failover import Changes
from support.sync import Sync, add_job, enabled, states


def test_of_two_syncs_the_older_snapshot_never_replaces_the_newer_one(sync: Sync) -> None:
    """The older sync sleeps before each of its changes in turn, while the master is edited and synchronised."""
    sync.synced()
    newer: list[str | None] = []
    for point in range(100):
        add_job(sync.master, "sales", f"old {point}")
        seen = len(newer)
        with pytest.MonkeyPatch.context() as patch:

            def overtakes() -> None:
                patch.undo()
                add_job(sync.master, "sales", f"new {point}")  # noqa: B023
                sync.passed += sync.pair().sync.lease
                run = sync.run(master_changes=True)
                newer.append(sync.record.snapshot_id if run.committed else None)

            Changes(patch, point, overtakes)
            sync.run(master_changes=True)
        assert not enabled(sync.slave)
        if len(newer) == seen:
            break
        if newer[-1]:
            assert sync.record.snapshot_id == newer[-1], f"change {point}"
        sync.synced()
        assert f"Sales / new {point}" in states(sync.slave)
    assert len([each for each in newer if each]) > 3
