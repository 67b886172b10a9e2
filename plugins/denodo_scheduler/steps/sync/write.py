"""Writing jobs over REST, born disabled [V]: none of them is ever enabled on the server that they are written to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from denodo_ha.definitions import Names
from denodo_ha.delivery.definition import UntranslatableError, for_target
from denodo_ha.jobs import Job, JobKey, Project, fold
from denodo_scheduler.exceptions import DenodoSchedulerError, UnreachableError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

log = logging.getLogger(__name__)

IN_FLIGHT = 8
"""How many jobs are written at the same time."""
CHUNK = 8 * IN_FLIGHT
"""How many jobs are written after one look whether the task may still act."""

_REFUSED = frozenset({400, 403, 404, 405, 409, 422, 500})
"""Answers that concern one job: a 500 is also what a user's mistake gets [V]."""


@dataclass
class Writer:
    """Writes jobs of one server to another one.

    :param source: what the ids in the definitions name.
    :param target: the server that is written to.
    :param jobs: ids of its jobs; those that are made are added. :param data_sources: ids of its data sources.
    :param projects: its projects; those that are made are added.
    :param before: called right before each chunk; raises when nothing may be changed any more.
    :param refused: the jobs that could not be written, and why.
    """

    source: Names
    target: DenodoSchedulerHook
    jobs: dict[JobKey, int]
    data_sources: dict[JobKey, int]
    projects: list[Project]
    before: Callable[[], object]
    written: set[JobKey] = field(default_factory=set)
    refused: dict[JobKey, Exception] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._project_ids = {fold(project.name): project.id for project in self.projects}

    def write(self, jobs: Sequence[Job]) -> None:
        """Write these jobs, each after those that it depends on.

        :raises UnreachableError: the target's web tool cannot be reached; what was written stays.
        """
        left = list(jobs)
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            while left:
                ready = list(self._translatable(left))
                if not ready:
                    break
                for chunk in _chunks(ready):
                    self.before()
                    self._make_projects(job for job, _ in chunk)
                    list(pool.map(lambda each: self._write(*each), chunk))
                sent = {job.key for job, _ in ready}
                left = [job for job in left if job.key not in sent]
        for key, error in self.refused.items():
            log.warning("%s was not written over REST: %s", key, error)

    def _translatable(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, dict[str, object]]]:
        """The jobs whose ids all name something on the target; why the others cannot be written is kept."""
        for job in jobs:
            try:
                definition = for_target(job, self.source, self.jobs, self.data_sources)
            except UntranslatableError as error:
                self.refused[job.key] = error
            else:
                self.refused.pop(job.key, None)
                yield job, definition

    def _make_projects(self, jobs: Iterator[Job]) -> None:
        for job in jobs:
            if fold(job.project) not in self._project_ids:
                self._project_ids[fold(job.project)] = self.target.create_project(job.project).id

    def _write(self, job: Job, definition: dict[str, object]) -> None:
        project = self._project_ids[fold(job.project)]
        try:
            if job.key in self.jobs:
                self.target.replace_job(project, self.jobs[job.key], definition)
            else:
                self.jobs[job.key] = self.target.create_job(project, definition)
        except UnreachableError:
            raise
        except DenodoSchedulerError as error:
            if error.status is not None and error.status not in _REFUSED:
                raise
            self.refused[job.key] = error
        else:
            self.written.add(job.key)


def _chunks(ready: Sequence[tuple[Job, dict[str, object]]]) -> Iterator[list[tuple[Job, dict[str, object]]]]:
    rest = iter(ready)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
