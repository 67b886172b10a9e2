"""Import an export file into a server: elements are added and replaced by name, and enabled; none is deleted [KB, D].

Each of these behaviours has a switch, see :class:`denodo_standin.settings.Guesses`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from denodo_ha.jobs import fold
from denodo_ha.quartz.cron import validate
from denodo_standin.definition import sections_of
from denodo_standin.engine import Engine
from denodo_standin.exportfile import Export
from denodo_standin.model import DataSource, Job, Project
from denodo_standin.params import Element, text


@dataclass(frozen=True)
class Replace:
    """The existing elements that an import replaces; all others are left unchanged [D]."""

    jobs: bool = False
    data_sources: bool = False
    plugins: bool = False
    drivers: bool = False


class Importer:
    """One import.

    :param by: the author of the changes, for the audit
    """

    def __init__(self, engine: Engine, export: Export, replace: Replace, by: str) -> None:
        self.engine = engine
        self.store = engine.store
        self.export = export
        always = engine.store.settings.guesses.replaces
        self.replace = replace if always == "as_asked" else Replace(*[always == "always"] * 4)
        self.by = by
        self._touched: list[int] = []

    def steps(self, elements_per_step: int) -> Iterator[None]:
        """Import step by step; each step is one commit, after which its jobs are enabled."""
        with self.store.transaction():
            if self.store.settings.guesses.replace_everything:
                self._delete_others()
            for name, description in self.export.projects.items():
                self._project(name, description)
        elements = self.export.elements
        for start in range(0, len(elements), elements_per_step):
            with self.store.transaction():
                for element in elements[start : start + elements_per_step]:
                    self._element(element)
            yield

    def put_resources(self, resources: Iterable[tuple[str, bytes]]) -> None:
        """Store the files below data/resources, under the same rules."""
        present = set(self.store.resource_paths())
        kept = {"drivers": not self.replace.drivers, "plugins": not self.replace.plugins}
        for path, content in resources:
            if path not in present or not kept.get(path.partition("/")[0], False):
                self.store.put_resource(path, content)

    def warnings(self) -> list[str]:
        """Return what the imported jobs lack on this server [S]."""
        found = list(self.store.settings.guesses.import_warnings)
        for job_id in self._touched:
            if job := self.store.jobs.get(job_id):
                found += [f"Job '{job.name}' of project '{self._project_of(job)}': {it}" for it in self._lacks(job)]
        return found

    def _lacks(self, job: Job) -> Iterator[str]:
        source, _ = job.data_source
        if source is not None and self.store.data_source_of(job) is None:
            yield f"its data source '{source}' does not exist"
        for name in job.dependencies:
            if self.store.job_named(job.project_id, name) is None:
                yield f"the job '{name}' that it depends on does not exist"
        for trigger in job.triggers:
            if trigger.get("type", "cron") == "cron" and (problem := validate(text(trigger.get("cronExpression", "")))):
                yield f"its cron expression is not valid: {problem}"

    def _project_of(self, job: Job) -> str:
        return self.store.projects[job.project_id].name

    def _project(self, name: str, description: str | None) -> Project:
        if (project := self.store.project_named(name)) is None:
            project = Project(id=self.store.new_id(), name=name, description=description)
            self.store.put(project)
        return project

    def _element(self, element: Element) -> None:
        project = self._project(element.project, None)
        if element.kind == "job":
            self._job(project.id, element)
        else:
            self._data_source(project.id, element)

    def _data_source(self, project_id: int, element: Element) -> None:
        before = self.store.data_source_named(project_id, element.name)
        if before is not None and not self.replace.data_sources:
            return
        identifier = self._id(before)
        params = {**element.params, "name": element.name}
        source = DataSource(
            id=identifier,
            project_id=project_id,
            name=element.name,
            type=element.sub_type,
            draft=element.draft,
            params=params,
        )
        self.store.put(source)

    def _job(self, project_id: int, element: Element) -> None:
        before = self.store.job_named(project_id, element.name)
        if before is not None and not self.replace.jobs:
            return
        description = element.params.get("description")
        job = Job(
            id=self._id(before),
            project_id=project_id,
            name=element.name,
            type=element.sub_type,
            draft=element.draft,
            description=None if description is None else text(description),
            disabled=self._born_disabled(before),
            sections=sections_of(element.params),
        )
        if before is not None and before.id == job.id:
            job.result, job.previous_execution, job.last_end = before.result, before.previous_execution, before.last_end
        self.store.put(job)
        self._audit(before, job)
        self.engine.schedule(job)
        self._touched.append(job.id)

    def _born_disabled(self, before: Job | None) -> bool:
        guesses = self.store.settings.guesses
        return guesses.imports_disabled if before is None else before.disabled and guesses.keeps_disabled

    def _audit(self, before: Job | None, job: Job) -> None:
        now = self.engine.clock.now()
        self.store.add_audit(now, job, "created" if before is None else "replaced", self.by)
        if not job.disabled and (before is None or before.disabled):
            self.store.add_audit(now, job, "enabled", self.by)

    def _id(self, before: Job | DataSource | None) -> int:
        if before is None:
            return self.store.new_id()
        if not self.store.settings.guesses.new_ids:
            return before.id
        if isinstance(before, Job):
            self.engine.forget(before)
        self.store.remove(before)
        return self.store.new_id()

    def _delete_others(self) -> None:
        kept = {(each.kind, fold(each.project), fold(each.name)) for each in self.export.elements}
        records: list[Job | DataSource] = [*self.store.jobs.values(), *self.store.data_sources.values()]
        for record in records:
            kind = "job" if isinstance(record, Job) else "dataSource"
            project = self.store.projects[record.project_id].name
            if (kind, fold(project), fold(record.name)) not in kept:
                self._delete(record)

    def _delete(self, record: Job | DataSource) -> None:
        if isinstance(record, Job):
            self.engine.forget(record)
            self.store.add_audit(self.engine.clock.now(), record, "deleted", self.by)
        self.store.remove(record)
