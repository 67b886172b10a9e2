"""Operators for a Denodo Scheduler server: export, import, disable, enable, ping."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator, ObjectStoragePath
from pydantic import ValidationError

from denodo_ha.checks import enabled_by_definition
from denodo_ha.jobs import JobKey, JobState
from denodo_ha.preconditions import looks_paused
from denodo_ha.scope import Scope
from denodo_ha.text import listed
from denodo_scheduler.exceptions import (
    ConfigurationError,
    RequestError,
    UnreachableError,
    WrongArgumentError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.renamed import renamed
from denodo_scheduler.steps.jobs import Changed, by_project, change_jobs
from denodo_scheduler.steps.outcome import at_once
from denodo_scheduler.steps.servers import Server

if TYPE_CHECKING:
    from airflow.sdk import Context

_READ_BACK_PAUSE = 1.0


class DenodoSchedulerOperator(BaseOperator):
    """
    What the operators of a Denodo Scheduler have in common.

    :param denodo_scheduler_conn_id: connection of the web tool. (templated)
    :param uri: another Scheduler server than the connection's, ``//host:port`` as the web tool reaches it. (templated)
    """

    template_fields: Sequence[str] = ("denodo_scheduler_conn_id", "uri")
    ui_color = "#f9dcc4"

    def __init__(
        self,
        *,
        denodo_scheduler_conn_id: str = DenodoSchedulerHook.default_conn_name,
        uri: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.denodo_scheduler_conn_id = denodo_scheduler_conn_id
        self.uri = uri

    @cached_property
    def hook(self) -> DenodoSchedulerHook:
        return DenodoSchedulerHook(self.denodo_scheduler_conn_id, scheduler_uri=self.uri)


class DenodoSchedulerPingOperator(DenodoSchedulerOperator):
    """Fail unless the Scheduler server behind the web tool answers. Returns its version, its mode and the roles."""

    @at_once
    def execute(self, context: Context) -> dict[str, Any]:
        server = self.hook.ping()
        self.log.info("Denodo Scheduler %s is up.", server.version)
        return {"version": server.version, "mode": server.scheduler_mode, "roles": list(server.roles)}


class DenodoSchedulerExportMetadataOperator(DenodoSchedulerOperator):
    """
    Export a server's metadata to a file. Returns its path, size in bytes and SHA-256.

    :param destination: the file, as a path or URL of object storage. It appears whole or not at all. (templated)
    :param options: overrides of the export's options, see :mod:`denodo_ha.server.options`. (templated)
    """

    template_fields = (*DenodoSchedulerOperator.template_fields, "destination", "options")

    def __init__(
        self, *, destination: str | ObjectStoragePath, options: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.options = options

    @at_once
    def execute(self, context: Context) -> dict[str, Any]:
        destination = _path(self.destination)
        result = self.hook.export_metadata(destination, options=self.options)
        self.log.info("Exported %d bytes to %s.", result.size, destination)
        return {"path": str(destination), "size": result.size, "sha256": result.sha256}


class DenodoSchedulerImportMetadataOperator(DenodoSchedulerOperator):
    """
    Import an export file into a server. **Every imported job is enabled there afterwards** [KB].

    Returns the server's warnings. The import itself is never sent twice by one try of the task.

    :param source: the export file, as a path or URL of object storage. (templated)
    :param options: overrides of the import's options, see :mod:`denodo_ha.server.options`. (templated)
    """

    template_fields = (*DenodoSchedulerOperator.template_fields, "source", "options")

    def __init__(
        self, *, source: str | ObjectStoragePath, options: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.options = options

    @at_once
    def execute(self, context: Context) -> dict[str, list[str]]:
        result = self.hook.import_metadata(_path(self.source), options=self.options)
        for warning in result.warnings:
            self.log.warning("The server warns: %s", warning)
        if result.unlisted:
            self.log.warning("The server tells %d warnings more, which are not listed here.", result.unlisted)
        return {"warnings": list(result.warnings)}


class _ChangeJobsOperator(DenodoSchedulerOperator):
    template_fields = (*DenodoSchedulerOperator.template_fields, "jobs")
    action: ClassVar[Literal["enable", "disable"]]

    def __init__(
        self,
        *,
        jobs: Sequence[Any] | None = None,
        all_jobs: bool = False,
        read_back_timeout: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (jobs is not None) == all_jobs:
            raise ValueError(
                f"{type(self).__name__} needs either jobs, a list of [project, name], or all_jobs=True, and not both."
            )
        self.jobs = jobs
        self.all_jobs = all_jobs
        self.read_back_timeout = read_back_timeout

    @at_once
    def execute(self, context: Context) -> dict[str, int]:
        before = self.hook.statuses()
        wanted = self._wanted(before)
        changed = self._wrong(wanted, before)
        hidden = [] if changed else self._flagged(wanted, before)
        if hidden:
            self.log.warning("%s", looks_paused(hidden, "server").what)
            changed = hidden
        deadline = time.monotonic() + self.read_back_timeout

        def wrong(statuses: Statuses) -> list[JobKey]:
            if statuses is before:
                return changed
            return self._flagged(changed, statuses) if hidden else self._wrong(changed, statuses)

        def enough(number: int) -> bool:
            if number == 0:
                return False
            time.sleep(_READ_BACK_PAUSE)
            return time.monotonic() >= deadline

        def pieces(statuses: Statuses, left: Sequence[JobKey], number: int) -> Iterator[Sequence[JobKey]]:
            present = [key for key in left if key in statuses.by_key]
            for piece in ([key] for key in present) if number else by_project(present):
                if number and time.monotonic() >= deadline:
                    return
                yield piece

        done = change_jobs(
            Server("server", self.hook),
            self.action,
            wrong,
            pieces,
            enough=enough,
            fatal=(UnreachableError, ConfigurationError),
            patient=True,
            statuses=before,
        )
        if done.left:
            raise RequestError(self._explained(done))
        already = len(wanted) - len(changed)
        self.log.info("%s: %d jobs changed, %d were right already.", self.action, len(changed), already)
        return {"changed": len(changed), "already": already, "requests": done.requests}

    def _wanted(self, statuses: Statuses) -> set[JobKey]:
        drafts = {status.key for status in statuses.jobs if status.state is JobState.DRAFT}
        if self.all_jobs:
            return {status.key for status in statuses.jobs} - drafts
        if not isinstance(self.jobs, list | tuple):
            raise WrongArgumentError(
                f"jobs is not a list but {type(self.jobs).__name__}: give a list of [project, name]."
            )
        wanted = {_key(entry) for entry in self.jobs}
        if self.action == "enable" and (hopeless := wanted & drafts):
            raise RequestError(
                f"A draft cannot be enabled: {listed(sorted(hopeless), 10)}. Nothing was changed. Finish it in the web "
                "tool, or leave it out of jobs."
            )
        self.hook.find(wanted, statuses)
        return wanted

    def _wrong(self, keys: Collection[JobKey], statuses: Statuses) -> list[JobKey]:
        wanted = self.action == "enable"
        right = {status.key for status in statuses.jobs if status.state.is_enabled is wanted}
        return [key for key in sorted(keys) if key not in right]

    def _flagged(self, keys: Collection[JobKey], statuses: Statuses) -> list[JobKey]:
        """Which of these jobs are enabled by their own definitions, although none of them looks it."""
        if self.action == "enable" or not keys:
            return []
        found = enabled_by_definition(self.hook.jobs(), statuses.jobs, Scope())
        return [key for key in found if key in keys]

    def _explained(self, done: Changed) -> str:
        which = listed(sorted(done.left), 10)
        if done.refused:
            return f"The server did not {self.action} {which}. The last refusal: {done.refused}"
        return (
            f"The server accepted to {self.action} them, but after {self.read_back_timeout:g} s its statuses do not "
            f"show it for {which}. Look at these jobs in the web tool, then clear the task."
        )


class DenodoSchedulerDisableJobsOperator(_ChangeJobsOperator):
    """
    Disable jobs and read them back; one request per project. Denodo stops a running job first [D].

    Where all of them look disabled already, their own definitions are read, with one request more, and decide: a server
    that was paused through RMI shows every job DISABLED [D].

    Returns how many were changed, how many were disabled already, and the number of changing requests.

    :param jobs: the jobs, each ``[project, name]`` or ``{"project": ..., "name": ...}``; an empty list changes nothing.
        (templated)
    :param all_jobs: every job of the server; exactly one of ``jobs`` and ``all_jobs`` must be given.
    :param read_back_timeout: seconds that the server has to show the jobs disabled.
    """

    action = "disable"


class DenodoSchedulerEnableJobsOperator(_ChangeJobsOperator):
    """
    Enable jobs and read them back; one request per project.

    Returns how many were changed, how many were enabled already, and the number of changing requests.

    :param jobs: the jobs, each ``[project, name]`` or ``{"project": ..., "name": ...}``; an empty list changes nothing.
        A draft cannot be enabled, so naming one is an error. (templated)
    :param all_jobs: every job of the server but drafts; exactly one of ``jobs`` and ``all_jobs`` must be given.
    :param read_back_timeout: seconds that the server has to show the jobs enabled.
    """

    action = "enable"


def _key(entry: Any) -> JobKey:
    if isinstance(entry, JobKey):
        return entry
    with suppress(ValidationError):
        if isinstance(entry, dict) and entry.keys() == {"project", "name"}:
            return JobKey(**entry)
        if isinstance(entry, list | tuple) and len(entry) == 2:
            return JobKey(project=entry[0], name=entry[1])
    raise WrongArgumentError(f'jobs holds {entry!r}: expected [project, name] or {{"project": ..., "name": ...}}.')


def _path(value: str | ObjectStoragePath) -> ObjectStoragePath:
    try:
        return ObjectStoragePath(value)
    except (TypeError, ValueError) as error:
        raise WrongArgumentError(f"{value!r} is no path and no URL of object storage: {error}.") from None


if TYPE_CHECKING:
    PingOperator = DenodoSchedulerPingOperator
    ExportMetadataOperator = DenodoSchedulerExportMetadataOperator
    ImportMetadataOperator = DenodoSchedulerImportMetadataOperator
    DisableJobsOperator = DenodoSchedulerDisableJobsOperator
    EnableJobsOperator = DenodoSchedulerEnableJobsOperator
else:
    __getattr__ = renamed(
        __name__,
        {
            "PingOperator": DenodoSchedulerPingOperator,
            "ExportMetadataOperator": DenodoSchedulerExportMetadataOperator,
            "ImportMetadataOperator": DenodoSchedulerImportMetadataOperator,
            "DisableJobsOperator": DenodoSchedulerDisableJobsOperator,
            "EnableJobsOperator": DenodoSchedulerEnableJobsOperator,
        },
    )
