"""A worker is killed at every moment that can matter, and what happened to the pair is in its history all the same.

Each story is told again and again, with its worker killed at a later one of its moments each time, until it ends before
that. Then Airflow tries the task again where the DAG says so, and the next runs of the DAGs do what they do. What has
happened is seen from outside, see :mod:`support.events_books`, and has its events; nothing else has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from denodo_ha.watching import Watching
from denodo_scheduler.state.watch_store import WATCH_KEY, WatchStore
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.passive import DisablingEvent
from support.events_stories import STORIES, Told
from support.events_world import EventWorld

LONG = os.environ.get("DENODO_HA_MACHINE") == "long"
STEP = 3
"""Each story has a third of its moments here, from another one on; `DENODO_HA_MACHINE=long` has all."""
GIVEN_UP = (
    "first_sync",
    "sync_with_a_change",
    "sync_with_a_secret",
    "reprotect",
    "sync_that_finds_drift",
    "sync_that_deletes_orphans",
    "sync_after_a_killed_import",
    "failover",
    "master_comes_back",
    "watch_finds_drift",
    "switchover",
)
"""Stories that are told too as if with the worker the whole run were given up, so that only the next runs are left."""


def walk(pair: EventWorld, told: Told, *, retries: bool = True, first: int = 0, step: int = 1) -> Iterator[str]:
    """Tell a story until nobody is killed in it; what is wrong at the ends.

    :param first: the first of the story's moments at which its worker is killed. :param step: from one to the next.
    """
    for number in count(first, step):
        for what in tell(pair, told, number, retries):
            yield f"killed {pair.strike.when or 'never'} ({number}): {what}"
        if not pair.strike.when:
            assert number > 1
            return


def tell(pair: EventWorld, told: Told, at: int, retries: bool) -> list[str]:
    """Tell a story once, with a worker killed at its moment number ``at``; what is wrong at the end."""
    pair.reset(**told.options)
    telling = told.story(pair)
    next(telling)
    before = len(pair.books.kinds)
    pair.airflow.retries = retries
    with pair.strike.armed(at):
        next(telling, None)
    next(telling, None)
    kinds = tuple(pair.books.kinds[before:])
    pair.settle()
    if not pair.strike.when and kinds != told.kinds:
        pair.books.wrong.append(f"the story tells {kinds}")
    return pair.books.judge()


@pytest.mark.parametrize(
    ("name", "retries"), [*((name, True) for name in STORIES), *((name, False) for name in GIVEN_UP)]
)
def test_a_worker_that_is_killed_anywhere_loses_no_event(pair: EventWorld, name: str, retries: bool) -> None:
    first, step = (0, 1) if LONG else (len(name) % STEP, STEP)
    found = list(walk(pair, STORIES[name], retries=retries, first=first, step=step))
    assert not found, "\n".join(found)


def _record_before_its_event(patch: pytest.MonkeyPatch) -> None:
    save = PairContext.save

    def twice(context: PairContext, change: Any, **read: Any) -> Any:
        event: Any = None

        def changed(record: Any) -> Any:
            nonlocal event
            after, event = change(record)
            return after, None

        save(context, changed, **read)
        return save(context, lambda record: (record, event))

    patch.setattr(PairContext, "save", twice)


def _jobs_before_their_event(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DisablingEvent, "begin", lambda *_: None)


def _watch_before_its_event(patch: pytest.MonkeyPatch) -> None:
    save = WatchStore.save

    def twice(store: WatchStore, watching: Watching) -> None:
        store._accessor.set(WATCH_KEY, {**vars(watching), "outbox": list(store.load().outbox)})
        save(store, watching)

    patch.setattr(WatchStore, "save", twice)


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("sync_with_a_change", _record_before_its_event),
        ("pause", _record_before_its_event),
        ("sync_that_finds_drift", _jobs_before_their_event),
        ("master_comes_back", _jobs_before_their_event),
        ("watch_finds_a_problem_that_ends", _watch_before_its_event),
    ],
)
def test_an_event_that_is_not_saved_with_its_change_is_missed(
    pair: EventWorld, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect(monkeypatch)
    assert any("nothing tells of" in what or "is told 0 times" in what for what in walk(pair, STORIES[name]))
