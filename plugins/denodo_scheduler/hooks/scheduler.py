"""Hook for the REST API of Denodo Scheduler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from http import HTTPStatus
from typing import Any, Literal, TypeVar, get_args

from airflow.sdk import ObjectStoragePath
from requests import Response

from denodo_ha.jobs import DataSource, Job, JobKey, JobStatus, Project, Report, ServerInfo, Statuses
from denodo_ha.server import answers
from denodo_ha.server.bodies import BodyError, parse_json
from denodo_ha.server.options import METADATA_PASSWORD, BoundRequest, Direction, OptionsError, bind
from denodo_ha.text import listed
from denodo_scheduler.client.transfer import ExportResult, ImportResult, body, save
from denodo_scheduler.client.transport import Call, retrying
from denodo_scheduler.exceptions import ConfigurationError, UnknownJobError
from denodo_scheduler.hooks.base import API, API_DOCS, ConnectedHook
from denodo_scheduler.state.files import on_disk

__all__ = ["DenodoSchedulerHook", "ExportResult", "ImportResult", "Statuses"]

T = TypeVar("T")

JobAction = Literal["start", "stop", "enable", "disable", "start_with_state", "start_with_dependencies"]
ADMIN_ROLE = "scheduler_admin"


class DenodoSchedulerHook(ConnectedHook):
    """
    Talk to a Denodo Scheduler server through a web administration tool.

    The connection names the web tool (schema, host, port, login, password); its extra is described by
    :class:`denodo_ha.server.connection.Settings`. One web tool reaches every Scheduler server [D]. What goes wrong is a
    :class:`~denodo_scheduler.exceptions.DenodoSchedulerError`.

    :param denodo_scheduler_conn_id: connection id of the web tool.
    :param scheduler_uri: the Scheduler server, ``//host:port``, instead of the connection's ``scheduler_uri``.
    """

    def me(self) -> ServerInfo:
        """Return which version answers and the user's roles. Only a living Scheduler server answers this."""
        return self._json("GET", "/me", answers.read_me)

    def ping(self) -> ServerInfo:
        """Return what :meth:`me` does; with the transport ``scripts``, only if ``ping.sh`` hears the server too."""
        if self.scripts:
            self.scripts.ping()
        return self.me()

    def projects(self) -> list[Project]:
        """Return every project that the user may see."""
        return self._json("GET", "/projects", answers.read_projects)

    def jobs(self) -> list[Job]:
        """Return the whole definition of every job of every project."""
        return self._json("GET", "/jobs", partial(answers.read_jobs, projects=self.projects))

    def data_sources(self) -> list[DataSource]:
        """Return every data source of every project, without its password, which is write-only [V]."""
        return self._json("GET", "/dataSources", partial(answers.read_data_sources, projects=self.projects))

    def statuses(self) -> Statuses:
        """Return the state of every job, in one cheap request."""

        def read(raw: Any) -> Statuses:
            at = self.answered  # before what is asked for names that the answer leaves out
            return Statuses(tuple(answers.read_statuses(raw, projects=self.projects, jobs=self.jobs)), at)

        return self._json("GET", "/jobs/status", read)

    def status(self, key: JobKey) -> JobStatus:
        """
        Return the state of one job, which costs a server with thousands of jobs less than :meth:`statuses`.

        :raises UnknownJobError: the server does not have it.
        """

        def read(raw: Any) -> JobStatus:
            at = self.answered
            (found,) = answers.read_statuses([raw], projects=self.projects, jobs=self.jobs)
            self.answered = at
            return found

        try:
            return self._json(
                "GET", "/projects/jobs/status", read, params={"projectName": key.project, "jobName": key.name}
            )
        except ConfigurationError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            (found,) = self.find([key])
            return found

    def set_jobs_status(self, action: JobAction, keys: Collection[JobKey], *, statuses: Statuses | None = None) -> int:
        """
        Start, stop, enable or disable jobs, with one request per project.

        :param action: what to do; ``disable`` stops a running job first [D].
        :param keys: the jobs, a sequence in its order within each project; none is fine and sends nothing.
        :param statuses: statuses of the same server, if the caller has them: they give the jobs' ids.
        :return: the number of requests that changed something.
        :raises UnknownJobError: before any request, naming the jobs that the server does not have.
        """
        if action not in get_args(JobAction):
            raise ValueError(f"Unknown action {action!r}. Known are: {', '.join(get_args(JobAction))}.")
        ids: dict[int, list[int]] = defaultdict(list)
        for status in self.find(keys, statuses):
            ids[status.project_id].append(status.job_id)
        for project_id, job_ids in ids.items():
            self._call(
                "PUT",
                f"{API}/projects/{project_id}/jobs/status",
                _nothing,
                idempotent=action in {"enable", "disable"},
                json={"action": action, "IDs": ",".join(map(str, job_ids))},
            )
        return len(ids)

    def create_project(self, name: str, description: str | None = None) -> Project:
        """
        Make a project.

        :return: the project, with its id on this server.
        :raises RequestError: the server refuses it; 422 where one of that name exists [V].
        """
        wanted = {"name": name, "description": description}
        return self._json("POST", "/projects", answers.read_project, idempotent=False, json=wanted)

    def delete_project(self, project_id: int) -> None:
        """Delete a project with its jobs and their reports [V]; one that is gone already is fine."""
        try:
            self._call("DELETE", f"{API}/projects/{project_id}", _nothing, idempotent=False)
        except ConfigurationError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def jobs_of(self, project_id: int) -> list[Job]:
        """Return the whole definition of every job of one project."""
        read = partial(answers.read_jobs, projects=self.projects)
        return self._json("GET", f"/projects/{project_id}/jobs", read)

    def field_names(self, path: str) -> tuple[str, ...]:
        """Return the names of the fields in the first element of a list that the server gives.

        :param path: such as ``/jobs/status``.
        """
        return self._json("GET", path, answers.field_names)

    def create_job(self, project_id: int, definition: Mapping[str, Any]) -> int:
        """
        Make a job; ``"disabled": true`` in its definition is honoured [V].

        :param project_id: the project's id on this server.
        :param definition: the job as JSON, with ids of this server.
        :return: the job's id.
        :raises RequestError: the server refuses it; 422 where a job of that name exists.
        """
        path = f"/projects/{project_id}/jobs"
        return self._json("POST", path, answers.read_id, idempotent=False, json=dict(definition))

    def replace_job(self, project_id: int, job_id: int, definition: Mapping[str, Any]) -> None:
        """
        Write a whole job; a section that is left out is emptied, and ``"disabled": true`` is honoured [V].

        :param definition: the job as JSON, with ids of this server.
        :raises RequestError: the server refuses it; then nothing was changed [V].
        """
        path = f"{API}/projects/{project_id}/jobs/{job_id}"
        self._call("PUT", path, _nothing, json={**definition, "id": job_id})

    def delete_jobs(self, keys: Collection[JobKey]) -> None:
        """
        Delete jobs; jobs that depend on them become DISABLED [D].

        :raises UnknownJobError: before any request, naming the jobs that the server does not have.
        """
        for status in self.find(keys):
            path = f"{API}/projects/{status.project_id}/jobs/{status.job_id}"
            self._call("DELETE", path, _nothing, idempotent=False)

    def find(self, keys: Collection[JobKey], statuses: Statuses | None = None) -> list[JobStatus]:
        """
        Return the statuses of these jobs, a sequence of them in its order; of none without asking.

        :raises UnknownJobError: naming the jobs that the server does not have.
        """
        if not keys:
            return []
        known = (statuses or self.statuses()).by_key
        wanted = dict.fromkeys(keys if isinstance(keys, Sequence) else sorted(keys))
        if missing := wanted.keys() - known.keys():
            raise UnknownJobError(
                f"The server does not have {listed(sorted(missing), 10)}, or the user may not see them (connection "
                f"{self.denodo_scheduler_conn_id!r}). Nothing was changed. Check the names and the user's roles."
            )
        return [known[key] for key in wanted]

    @cached_property
    def _api_document(self) -> dict[str, Any]:
        document = self._call("GET", API_DOCS, Call.json)
        return document if isinstance(document, dict) else {}

    def _bound(self, direction: Direction, options: Mapping[str, Any]) -> BoundRequest:
        optional = {METADATA_PASSWORD} if direction == "import" else ()
        try:
            bound = bind(self._api_document, direction, options, optional=optional)
        except OptionsError as error:
            raise ConfigurationError(str(error)) from None
        if bound.exposed:
            self.log.warning(
                "Connection %r: the web tool takes %s for the %s only in the query of the address, which its log and "
                "those of proxies show. Remove metadata_password from the extra if both installations have one key.",
                self.denodo_scheduler_conn_id,
                ", ".join(bound.exposed),
                direction,
            )
        if bound.assumed:
            self.log.info(
                "Connection %r: for the %s, the web tool's /v3/api-docs leaves something to be assumed: %s.",
                self.denodo_scheduler_conn_id,
                direction,
                "; ".join(bound.assumed),
            )
        return bound

    def binding(self, direction: Direction) -> BoundRequest:
        """
        Return where each option of an export or import goes over REST, and what is assumed; nothing is exported.

        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        return self._bound(direction, self.settings.options(direction))

    def export_metadata(
        self, destination: ObjectStoragePath, *, options: Mapping[str, Any] | None = None
    ) -> ExportResult:
        """
        Export the server's metadata to a new file, which appears whole or not at all.

        :param destination: the file; its folder is made. On a local disk only the owner can read it.
        :param options: overrides for this call, in the form that :mod:`denodo_ha.server.options` describes.
        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        wanted = self.settings.options("export", options)
        if self.scripts:
            return retrying(partial(self.scripts.export, destination, wanted), self.log.warning)
        bound = self._bound("export", wanted)
        return self._call(
            "POST",
            bound.path,
            partial(save, destination=destination, limit=self.settings.transfer_limit),
            params=bound.query,
            transfer=self.settings.transfer_timeout,
            **body(bound),
        )

    def import_metadata(
        self, source: ObjectStoragePath, *, timeout: float | None = None, options: Mapping[str, Any] | None = None
    ) -> ImportResult:
        """
        Import a file. Every imported job is enabled on the server afterwards, whatever it was before [KB].

        Never tried again by itself: after a :class:`~denodo_scheduler.exceptions.NoAnswerError` the import may have
        happened, may still go on, or may not have begun.

        :param source: an export file.
        :param timeout: seconds for everything, from the connection to the answer's last byte; the connection's
            ``transfer_deadline`` if not given, and its ``transfer_timeout`` with the transport ``scripts``.
        :param options: overrides for this call, in the form that :mod:`denodo_ha.server.options` describes.
        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        seconds = timeout or self.settings.transfer_timeout
        wanted = self.settings.options("import", options)
        if self.scripts:
            return self.scripts.import_(source, wanted, seconds, self.permit)
        bound = self._bound("import", wanted)
        with on_disk(source) as file:

            def carried() -> dict[str, Any]:
                file.seek(0)
                return body(bound, file)

            return self._call(
                "POST",
                bound.path,
                _import_result,
                params=bound.query,
                idempotent=False,
                transfer=seconds,
                upload=True,
                deadline=timeout,
                body=carried,
            )

    def check_import(self) -> None:
        """
        Bind the import's options without importing anything; with scripts, try them by ``ping.sh`` too.

        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        if self.scripts:
            self.scripts.check_import(self.settings.options("import"))
        else:
            self.binding("import")

    def validate_cron(self, expressions: Iterable[str]) -> list[str]:
        """Ask the server about Quartz cron expressions: one text each, empty for a valid one, else what is wrong."""
        wanted = list(expressions)
        if not wanted:
            return []
        read = partial(answers.read_texts, count=len(wanted))
        return self._json("POST", "/projects/jobs/validateCronExpressions", read, json=wanted)

    def reports(
        self, key: JobKey, start: int = 0, count: int = 100, *, statuses: Statuses | None = None
    ) -> list[Report]:
        """
        Return ``count`` reports of finished runs of a job, newest first, beginning with number ``start``.

        :param statuses: statuses of the same server, if the caller has them: they give the job's id.
        """
        (status,) = self.find([key], statuses)
        path = f"/projects/{status.project_id}/jobs/{status.job_id}/reports"
        return self._json("GET", path, answers.read_reports, params={"start": start, "count": count})

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the connection works, who answers, and whether the user may export and import."""
        try:
            server = self.ping()
            jobs = len(self.statuses().jobs)
        except Exception as error:
            return False, str(error)
        mode = f" ({server.scheduler_mode})" if server.scheduler_mode else ""
        text = f"Denodo Scheduler {server.version}{mode}, {jobs} jobs, roles: {', '.join(server.roles) or 'none'}."
        if ADMIN_ROLE not in {role.casefold() for role in server.roles}:
            text += f" Warning: the user lacks {ADMIN_ROLE}: export and import will fail, and lists may be incomplete."
        return True, text


def _nothing(call: Call, response: Response) -> None:
    call.refuse_html(response, call.body(response)[:64])


def _import_result(call: Call, response: Response) -> ImportResult:
    body = call.body(response)
    call.refuse_html(response, body[:64])
    try:
        raw = parse_json(body, call.answer_limit)
    except BodyError:
        raw = body.decode(errors="replace").strip()
    return ImportResult.that_warned(answers.import_warnings(raw))
