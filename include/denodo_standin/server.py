"""One Scheduler server: its store, its engine, and the operations of its users."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from denodo_ha.jobs import fold
from denodo_standin.accounts import accounts
from denodo_standin.clock import Clock
from denodo_standin.definition import params_of
from denodo_standin.engine import Engine
from denodo_standin.errors import duplicate, illegal_argument, internal, invalid, not_found
from denodo_standin.exportfile import DamagedExportError, Export, read_export, read_resources, write_export
from denodo_standin.importer import Importer, Replace
from denodo_standin.jobs import Json, job_from
from denodo_standin.model import DataSource, Job, Project
from denodo_standin.params import Element
from denodo_standin.store import Store

# A PUT without these sections is a 500 [V].
_NEEDED_BY_PUT = {"VDP": ("handlerSection", "exportationSection")}
_NEEDED_BY_EVERY_PUT = ("handlerSection",)
_ACTIONS: dict[str, Callable[[Engine, Job], None]] = {
    "start": Engine.start,
    "start_with_state": Engine.start,
    "start_with_dependencies": Engine.start_with_dependencies,
    "stop": Engine.stop,
    "enable": lambda engine, job: engine.enable(job, "api"),
    "disable": lambda engine, job: engine.disable(job, "api"),
}
_QUICK_STEP = 50
_SLOW_STEPS = 100


class SchedulerServer:
    """A server whose state is stored in ``data``.

    :param timezone: IANA name; crons are evaluated in it
    :param id_offset: see :class:`denodo_standin.store.Store`
    :param version: the version that it reports
    :param mode: ``schedulerMode`` of /me
    :param manual: its clock stands still until it is moved
    :param now: the first time of the clock; None: a manual clock goes on where it stood, a real one is as far from the
        real time as it was
    :param login: its local account, with ``password``
    """

    def __init__(
        self,
        data: Path,
        *,
        timezone: str = "Europe/Madrid",
        id_offset: int | None = None,
        version: str = "9.1.0",
        mode: str = "",
        manual: bool = False,
        now: datetime | None = None,
        login: str = "admin",
        password: str = "admin",  # noqa: S107
    ) -> None:
        self.timezone = ZoneInfo(timezone)
        self.version = version
        self.mode = mode
        self.store = Store(data, id_offset)
        settings = self.store.settings
        offset = timedelta(seconds=settings.guesses.clock_offset_seconds)
        self.clock = Clock(manual=manual, now=now or (settings.now if manual else None), offset=offset)
        self.engine = Engine(self.store, self.clock, self.timezone)
        self.accounts = accounts(login, password)
        self._importing = asyncio.Lock()
        self.uploads = data / "uploads"
        shutil.rmtree(self.uploads, ignore_errors=True)  # files that a killed process was importing
        self.uploads.mkdir()

    # -- projects

    def create_project(self, name: Any, description: str | None) -> Project:
        if not isinstance(name, str) or not name.strip():
            raise invalid("name", "must not be blank")
        if self.store.project_named(name) is not None:
            raise duplicate(name)
        with self.store.transaction():
            project = Project(id=self.store.new_id(), name=name, description=description)
            self.store.put(project)
        return project

    def delete_project(self, project: Project) -> None:
        """Delete a project with its jobs, their reports and its data sources [V]."""
        with self.store.transaction():
            for job in self.jobs_of(project):
                self._remove_job(job)
            for source in [each for each in self.store.data_sources.values() if each.project_id == project.id]:
                self.store.remove(source)
            self.store.remove(project)

    def project(self, project_id: int) -> Project:
        if (project := self.store.projects.get(project_id)) is None:
            raise not_found(project_id)
        return project

    # -- jobs

    def job(self, project_id: int, job_id: int) -> Job:
        job = self.store.jobs.get(job_id)
        if job is None or job.project_id != self.project(project_id).id:
            raise not_found(job_id)
        return job

    def jobs_of(self, project: Project) -> list[Job]:
        return [job for job in self.store.jobs.values() if job.project_id == project.id]

    def create_job(self, project: Project, body: Json) -> Job:
        job = job_from(self.store, project.id, body)
        if self.store.job_named(project.id, job.name) is not None:
            raise duplicate(job.name)
        with self.store.transaction():
            job.id = self.store.new_id()
            self.store.put(job)
            self.store.add_audit(self.clock.now(), job, "created", "api")
            if not job.disabled:
                self.store.add_audit(self.clock.now(), job, "enabled", "api")
            self.engine.schedule(job)
        return job

    def replace_job(self, before: Job, body: Json) -> Job:
        """Replace the whole job under its id (PUT)."""
        if body.get("id") != before.id:
            raise illegal_argument()
        needed = _NEEDED_BY_PUT.get(str(body.get("type")), _NEEDED_BY_EVERY_PUT)
        if missing := [section for section in needed if section not in body]:
            raise internal(f"the section {missing[0]} is missing")
        job = job_from(self.store, before.project_id, body)
        namesake = self.store.job_named(before.project_id, job.name)
        if namesake is not None and namesake.id != before.id:
            raise duplicate(job.name)
        job.id = before.id
        job.result, job.previous_execution, job.last_end = before.result, before.previous_execution, before.last_end
        now = self.clock.now()
        with self.store.transaction():
            if job.disabled:
                self.engine.stop(before)
            self.store.put(job)
            self.store.add_audit(now, job, "replaced", "api")
            if job.disabled != before.disabled:
                self.store.add_audit(now, job, "disabled" if job.disabled else "enabled", "api")
            self._rename(job, before.name)
            self.engine.schedule(job)
        return job

    def delete_job(self, job: Job) -> None:
        """Delete a job; jobs that depend on it become DISABLED [D]."""
        with self.store.transaction():
            self._remove_job(job)
            for dependent in self._dependents(job.project_id, job.name):
                self.engine.disable(dependent, "deletion of a dependency")

    def act(self, action: str, jobs: Collection[Job]) -> None:
        """Apply ``action`` to all ``jobs`` in one commit, or to none.

        :raises ApiError: 400, unknown action; 500, a job that would start is disabled [V]
        """
        if action not in _ACTIONS:
            raise illegal_argument()
        if action == "disable" and self.store.settings.paused:
            match self.store.settings.guesses.disable_while_paused:
                case "refused":
                    raise internal("the server is paused")
                case "ignored":
                    return
        jobs = list(jobs) if self.store.settings.guesses.bulk else list(jobs)[:1]
        started = jobs if action.startswith("start") else []
        if action == "start_with_dependencies":
            started = [needed for job in jobs for needed in self.engine.with_dependencies(job)]
        if not all(self.engine.may_start(job) for job in started):
            raise internal("a job that is disabled, or of a paused server, cannot be started")
        with self.store.transaction():
            for job in jobs:
                _ACTIONS[action](self.engine, job)

    # -- metadata

    def export(self, projects: Collection[str] | None, resources: Collection[str]) -> Iterator[bytes]:
        """Yield the bytes of an export file.

        :param projects: names of the projects to export; None: all
        :param resources: folders below data/resources to add: config, drivers, …
        """
        guesses = self.store.settings.guesses
        return write_export(
            self._contents(projects),
            moment=self.clock.now().astimezone(self.timezone),
            resources=(
                (path, self.store.resource(path))
                for path in self.store.resource_paths()
                if path.partition("/")[0] in resources
            ),
            salted=guesses.salted_secrets,
            padding_mb=guesses.export_padding_mb,
        )

    async def import_file(self, file: Path, replace: Replace, by: str = "import") -> list[str]:
        """Import a file and return the warnings. A damaged file changes nothing.

        :raises ApiError: 500, the file is damaged or a job is RUNNING where that is refused
        """
        guesses = self.store.settings.guesses
        if guesses.refuses_import_while_running and self.engine.running:
            raise internal("a job is RUNNING")
        try:
            export = await asyncio.to_thread(read_export, file)
        except DamagedExportError as error:
            raise internal(str(error)) from None
        async with self._importing:
            importer = Importer(self.engine, export, replace, by)
            seconds = guesses.import_seconds
            size = -(-len(export.elements) // _SLOW_STEPS) if seconds else _QUICK_STEP
            pause = seconds * size / max(1, len(export.elements))
            for _ in importer.steps(max(1, size)):
                await asyncio.sleep(pause)
            importer.put_resources(read_resources(file))
            return importer.warnings()

    def _contents(self, projects: Collection[str] | None) -> Export:
        chosen = list(self.store.projects.values())
        if projects is not None:
            chosen = [self._named(name) for name in projects]
        names = {project.id: project.name for project in chosen}
        sources = (each for each in self.store.data_sources.values() if each.project_id in names)
        jobs = (each for each in self.store.jobs.values() if each.project_id in names)
        elements = [_source_element(names[source.project_id], source) for source in sources]
        elements += [_job_element(names[job.project_id], job) for job in jobs]
        return Export(self.version, {project.name: project.description for project in chosen}, tuple(elements))

    def _named(self, name: str) -> Project:
        if (project := self.store.project_named(name)) is None:
            raise not_found(name)
        return project

    def _remove_job(self, job: Job) -> None:
        self.engine.forget(job)
        self.store.add_audit(self.clock.now(), job, "deleted", "api")
        self.store.remove(job)

    def _dependents(self, project_id: int, name: str) -> list[Job]:
        folded = fold(name)
        return [
            job
            for job in self.store.jobs.values()
            if job.project_id == project_id and folded in map(fold, job.dependencies)
        ]

    def _rename(self, job: Job, old_name: str) -> None:
        if job.name == old_name:
            return
        for dependent in self._dependents(job.project_id, old_name):
            for trigger in dependent.triggers:
                info = trigger.get("dependencyInfo", {"jobs": []})
                info["jobs"] = [job.name if fold(each) == fold(old_name) else each for each in info["jobs"]]
            self.store.put(dependent)


def _source_element(project: str, source: DataSource) -> Element:
    return Element(project, "dataSource", source.type, source.draft, source.params)


def _job_element(project: str, job: Job) -> Element:
    return Element(project, "job", job.type, job.draft, params_of(job.name, job.description, job.sections))
