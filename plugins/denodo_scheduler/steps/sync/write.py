"""Writing jobs over REST, born disabled [V]: none of them is ever enabled on the server that they are written to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from denodo_ha.definitions import Names
from denodo_ha.delivery.definition import UntranslatableError, for_target
from denodo_ha.jobs import Job, JobKey, Project, fold
from denodo_scheduler.exceptions import DenodoSchedulerError, NoAnswerError, UnreachableError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

log = logging.getLogger(__name__)

IN_FLIGHT = 8
"""How many jobs are written at the same time."""
CHUNK = 8 * IN_FLIGHT
"""How many jobs are written after one look whether the task may still act."""

_REFUSED = frozenset({400, 403, 405, 500})
"""Answers that concern one job: a 500 is also what a user's mistake gets [V]."""
_CHANGED = frozenset({404, 409, 422})
"""Answers that a job gets which was deleted or made by others since the target was read [V]."""


@dataclass
class Writer:
    """Writes jobs of one server to another one.

    :param source: what the ids in the definitions name.
    :param target: the server that is written to.
    :param jobs: ids of its jobs; those that are made are added. :param data_sources: ids of its data sources.
    :param projects: its projects; those that are made are added.
    :param before: called right before each chunk; raises when nothing may be changed any more.
    :param refused: the jobs that REST cannot write. A job that is neither written nor refused got no answer, or was
        deleted or made on the target meanwhile: how it is now has to be read.
    """

    source: Names
    target: DenodoSchedulerHook
    jobs: dict[JobKey, int]
    data_sources: dict[JobKey, int]
    projects: list[Project]
    before: Callable[[], object]
    written: set[JobKey] = field(default_factory=set)
    refused: set[JobKey] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._project_ids = {fold(project.name): project.id for project in self.projects}

    def write(self, jobs: Sequence[Job]) -> None:
        """Write these jobs, each after those that it depends on.

        :raises UnreachableError: the target's web tool cannot be reached; what was written stays.
        """
        left = list(jobs)
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            while left:
                ready = {job.key: definition for job in left if (definition := self._translated(job))}
                if not ready:
                    break
                able = [job for job in left if job.key in ready]
                for chunk in (able[start : start + CHUNK] for start in range(0, len(able), CHUNK)):
                    self.before()
                    self._make_projects(chunk)
                    list(pool.map(self._write, chunk, [ready[job.key] for job in chunk]))
                left = [job for job in left if job.key not in ready]
        self.refused |= {job.key for job in left}

    def _translated(self, job: Job) -> dict[str, Any] | None:
        """The definition for the target; None as long as an id in it names nothing there."""
        try:
            return for_target(job, self.source, self.jobs, self.data_sources)
        except UntranslatableError as error:
            log.info("%s is not written over REST yet: %s", job.key, error)
            return None

    def _make_projects(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if fold(job.project) not in self._project_ids:
                self._project_ids[fold(job.project)] = self.target.create_project(job.project).id

    def _write(self, job: Job, definition: dict[str, Any]) -> None:
        project = self._project_ids[fold(job.project)]
        try:
            if job.key in self.jobs:
                self.target.replace_job(project, self.jobs[job.key], definition)
            else:
                self.jobs[job.key] = self.target.create_job(project, definition)
        except UnreachableError:
            raise
        except DenodoSchedulerError as error:
            if error.status in _REFUSED:
                self.refused.add(job.key)
            elif error.status not in _CHANGED and not isinstance(error, NoAnswerError):
                raise
            log.warning("%s was not written over REST: %s", job.key, error)
        else:
            self.written.add(job.key)
