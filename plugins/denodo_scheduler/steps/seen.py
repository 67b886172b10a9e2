"""Keeping what a step has read of the servers' jobs, for the page. No request is made for it; no step fails by it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

from denodo_ha.preconditions import other
from denodo_ha.record import Role
from denodo_ha.seen import SeenServer, of_statuses, updated
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.state.storage import within
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import Changed
from denodo_scheduler.steps.passive import AtRest

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a step waits for the storage at most. A later step keeps what it reads itself."""


def keep_promoted(context: PairContext, to: Role, enabled: Changed, rest: AtRest | None = None) -> None:
    """Keep what was read at the end of a change of the active server.

    :param to: the server whose jobs were ``enabled``. :param rest: the other one, where it was read.
    """
    scope = context.pair.scope
    found = {to: of_statuses(enabled.statuses.jobs, scope, enabled.verified)}
    if rest:
        found[other(to)] = of_statuses(rest.statuses.jobs, scope, rest.clean_at)
    keep_seen(context, found)


def keep_seen(context: PairContext, found: Mapping[Role, SeenServer]) -> None:
    """Keep what was read of each server, with what was kept of the other one.

    Storage that fails or does not answer is only logged. Of two steps at the same time one may overwrite what the other
    has kept of a server; the next look keeps it again.
    """
    if not found:
        return
    try:
        within(PATIENCE, lambda: _write(context.snapshots, found))
    except Exception as error:
        log.warning("What was seen of the jobs could not be kept for the page, which shows an older state: %s", error)


def _write(snapshots: SnapshotStore, found: Mapping[Role, SeenServer]) -> None:
    content = b""
    with suppress(FileNotFoundError):
        content = snapshots.read_seen()
    snapshots.write_seen(updated(content, found))
