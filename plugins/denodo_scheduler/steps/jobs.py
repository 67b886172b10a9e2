"""Changing the states of jobs and reading them back: the one loop of the DAGs' steps and of the public operators."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from denodo_ha.jobs import JobKey, JobStatus
from denodo_ha.promotion import CLOCKS, batches
from denodo_scheduler.exceptions import DenodoSchedulerError, UnreachableError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import utc_now
from denodo_scheduler.steps.servers import Server

log = logging.getLogger(__name__)

ENABLE_ROUNDS = 3
"""How often what is not enabled yet is tried again, in ever smaller batches."""
_LONGEST_SLEEP = 5.0

Wrong = Callable[[Statuses], Sequence[JobKey]]
"""The jobs that are not as they are wanted, in the order in which they are to be changed."""
Pieces = Callable[[Statuses, Sequence[JobKey], int], Iterable[Sequence[JobKey]]]
"""Cuts the wrong jobs of a round, counted from 0, into what is sent at a time: jobs that the server has. What has to be
looked at right before a piece is sent is looked at when the piece is asked for; an error ends the change. An empty
piece asks only to read the server, as before a long wait."""


@dataclass(frozen=True)
class Changed:
    """What became of a change.

    :param told: when each job was told to change.
    :param left: jobs that were not read back as wanted.
    :param verified: when the server was read back, and ``statuses`` what it said.
    :param earlier: what it said where a piece asked to read it: of its runs a job tells the last one only.
    :param requests: how many changing requests were sent.
    :param refused: the last error with which the server refused a piece, if it did.
    """

    told: dict[JobKey, datetime]
    left: tuple[JobKey, ...]
    verified: datetime
    statuses: Statuses
    earlier: tuple[JobStatus, ...]
    requests: int
    refused: DenodoSchedulerError | None


def change_jobs(
    server: Server,
    action: Literal["enable", "disable"],
    wrong: Wrong,
    pieces: Pieces,
    *,
    enough: Callable[[int], bool],
    now: Callable[[], datetime] = utc_now,
    fatal: tuple[type[DenodoSchedulerError], ...] = (UnreachableError,),
    patient: bool = False,
    statuses: Statuses | None = None,
) -> Changed:
    """Send ``action`` for the wrong jobs and read back, until none is wrong any more or it is ``enough``.

    A piece that the server refuses does not stop the others, and is tried again in the next round.

    :param enough: called with the number of rounds so far, when jobs are still wrong.
    :param fatal: errors that end the change at once; what was changed stays so.
    :param patient: what the server has accepted is not sent again, but waited for.
    :param statuses: of the server, where they were read just now.
    """
    told: dict[JobKey, datetime] = {}
    accepted: set[JobKey] = set()
    requests, refused = 0, None
    statuses = statuses or server.statuses()
    earlier: list[JobStatus] = []
    number = 0
    while (left := wrong(statuses)) and not enough(number):
        due = [key for key in left if key not in accepted]
        for piece in pieces(statuses, due, number):
            if not piece:
                earlier += server.statuses().jobs
                continue
            sent = now()
            try:
                requests += server.set_jobs_status(action, piece, statuses)
            except fatal:
                raise
            except DenodoSchedulerError as error:
                log.warning("The %s does not %s %d jobs: %s", server.label, action, len(piece), error)
                refused = error
            else:
                accepted.update(piece if patient else ())
            told.update(dict.fromkeys(piece, sent))
        statuses = server.statuses()
        number += 1
    return Changed(told, tuple(left), now(), statuses, tuple(earlier), requests, refused)


def by_project(keys: Iterable[JobKey]) -> Iterator[list[JobKey]]:
    """One piece for each project, since one request changes any number of jobs of a project."""
    for _, of_project in groupby(sorted(keys), key=lambda key: key.folded[0]):
        yield list(of_project)


def enable(
    server: Server,
    order: Sequence[JobKey],
    *,
    batch: int,
    before_batch: Callable[[], object],
    not_before: Mapping[JobKey, datetime] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Changed:
    """Enable the jobs of ``order`` that are not enabled yet, in this order, and read them back.

    :param batch: how many are enabled first; the batches grow eightfold at most.
    :param before_batch: called right before each request; raises when nothing may be changed any more.
    :param not_before: jobs that must wait until then, by this machine's clock; they come last.
    :raises UnreachableError: the server cannot be reached; what was enabled stays so.
    """
    waiting = dict(not_before or {})

    def wrong(statuses: Statuses) -> list[JobKey]:
        known = statuses.by_key
        return [key for key in order if key not in known or not known[key].state.is_enabled]

    def pieces(statuses: Statuses, pending: Sequence[JobKey], number: int) -> Iterator[Sequence[JobKey]]:
        left = [key for key in pending if key in statuses.by_key]
        size = (batch, max(1, batch // 4), 1)[number]
        largest = size if number else 8 * size
        late = [key for key in left if key in waiting]
        for piece in batches([key for key in left if key not in waiting], size, largest):
            before_batch()
            yield piece
        if late:
            yield ()
            _wait_until(max(waiting[key] for key in late) + CLOCKS, before_batch, now)
        for piece in batches(late, size, largest):
            before_batch()
            yield piece

    return change_jobs(server, "enable", wrong, pieces, enough=lambda number: number == ENABLE_ROUNDS, now=now)


def _wait_until(moment: datetime, before_batch: Callable[[], object], now: Callable[[], datetime]) -> None:
    """Wait in parts, and keep the operation meanwhile."""
    while (left := (moment - now()).total_seconds()) > 0:
        before_batch()
        time.sleep(min(left, _LONGEST_SLEEP))
