"""Hook for the REST API of Denodo Scheduler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import quote, quote_plus, urlsplit

import urllib3
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import Connection, ObjectStoragePath
from airflow.sdk.log import mask_secret
from requests import PreparedRequest, Response, Session
from requests.auth import HTTPBasicAuth

from denodo_ha.jobs import DataSource, Job, JobKey, JobStatus, Project, Report, ServerInfo, Statuses
from denodo_ha.server import answers
from denodo_ha.server.address import Place
from denodo_ha.server.connection import Settings, masked, parse_extra
from denodo_ha.server.options import METADATA_PASSWORD, BoundRequest, Direction, OptionsError, bind
from denodo_ha.text import listed
from denodo_scheduler.client.scripts.commands import Scripts
from denodo_scheduler.client.transfer import ExportResult, ImportResult, body, save
from denodo_scheduler.client.transport import Call, retrying, server_time
from denodo_scheduler.exceptions import ConfigurationError, RequestError
from denodo_scheduler.state.files import on_disk

__all__ = ["DenodoSchedulerHook", "ExportResult", "ImportResult", "Statuses"]

T = TypeVar("T")

JobAction = Literal["start", "stop", "enable", "disable", "start_with_state", "start_with_dependencies"]
ADMIN_ROLE = "scheduler_admin"

_API = "/public/api"
_API_DOCS = "/v3/api-docs"


class DenodoSchedulerHook(HttpHook):
    """
    Talk to a Denodo Scheduler server through a web administration tool.

    The connection names the web tool (schema, host, port, login, password); its extra is described by
    :class:`denodo_ha.server.connection.Settings`. One web tool reaches every Scheduler server [D]. What goes wrong is a
    :class:`~denodo_scheduler.exceptions.DenodoSchedulerError`.

    :param denodo_scheduler_conn_id: connection id of the web tool.
    :param scheduler_uri: the Scheduler server, ``//host:port``, instead of the connection's ``scheduler_uri``.
    """

    conn_name_attr = "denodo_scheduler_conn_id"
    default_conn_name = "denodo_scheduler_default"
    conn_type = "denodo_scheduler"
    hook_name = "Denodo Scheduler"

    def __init__(self, denodo_scheduler_conn_id: str = default_conn_name, *, scheduler_uri: str | None = None) -> None:
        super().__init__(method="GET", http_conn_id=denodo_scheduler_conn_id)
        self.denodo_scheduler_conn_id = denodo_scheduler_conn_id
        self.scheduler_uri = scheduler_uri

    @cached_property
    def _connection(self) -> Connection:
        return self.get_connection(self.denodo_scheduler_conn_id)

    @cached_property
    def settings(self) -> Settings:
        """The connection's extra, checked. Keys that mean nothing here are named in a warning."""
        extra = self._connection.extra
        try:
            settings, unknown = parse_extra(self.denodo_scheduler_conn_id, extra)
            settings = settings.of_server(self.scheduler_uri or settings.scheduler_uri)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if unknown:
            self.log.warning(
                "Connection %r: unknown keys in its extra are ignored: %s. Correct or remove them. Known are: %s.",
                self.denodo_scheduler_conn_id,
                ", ".join(unknown),
                ", ".join(Settings.model_fields),
            )
        if self._connection.password and not masked(self._connection.password):
            self.log.warning(
                "Connection %r: Airflow does not mask its password in logs, because it has less than 5 characters "
                "or is the word airflow. Choose another one.",
                self.denodo_scheduler_conn_id,
            )
        for secret in settings.secrets:
            for form in {secret, quote(secret, safe=""), quote_plus(secret)}:
                mask_secret(form)
        return settings

    @cached_property
    def scripts(self) -> Scripts | None:
        """The vendor's scripts, for a connection with the transport ``scripts``."""
        if self.settings.transport == "rest":
            return None
        if not self._connection.login:
            raise ConfigurationError(f"Connection {self.denodo_scheduler_conn_id!r}: the scripts need a login.")
        return Scripts(self.denodo_scheduler_conn_id, self.settings, self._connection.login, self.place.tool)

    def get_conn(self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None) -> Session:
        """
        Make a session with login and TLS settings. No key of the connection's extra becomes a header.

        :param headers: more headers.
        :param extra_options: options of a single :meth:`run`, over those of the connection.
        """
        settings = self.settings
        self._set_base_url(self._connection)
        session = Session()
        if self._connection.login:
            # Bytes, because ``requests`` would encode text as Latin-1.
            session.auth = HTTPBasicAuth(self._connection.login.encode(), (self._connection.password or "").encode())
        else:
            session.auth = _no_login
        session.verify = settings.verify
        session.cert = settings.cert
        session.headers.update(headers or {})
        self.merged_extra = {"timeout": settings.timeout, "allow_redirects": False, **(extra_options or {})}
        if settings.verify is False and self.base_url.startswith("https:"):
            self.log.warning(
                "Connection %r: TLS certificates are not verified (verify is false), so anybody in between can read "
                "the password. Set verify to the path of the CA certificate instead.",
                self.denodo_scheduler_conn_id,
            )
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return self._configure_session_from_mount_adapters(session)

    def _set_base_url(self, connection: Connection) -> None:
        """Compose the web tool's address; refuse what could not work or would carry credentials into logs."""
        super()._set_base_url(connection)
        address = urlsplit(self.base_url)
        if address.scheme not in {"http", "https"} or not address.hostname or address.username or address.path:
            raise ConfigurationError(
                f"Connection {self.denodo_scheduler_conn_id!r}: schema must be http or https and host only the name or "
                "address of the web tool's machine. Port, login and base_path have fields of their own."
            )

    @property
    def address(self) -> str:
        """Web tool and Scheduler server behind it, as text without credentials: equal for two names of one server."""
        self._set_base_url(self._connection)
        return f"{self.base_url}{self.settings.base_path} {self.server}".casefold()

    @property
    def server(self) -> str:
        """The Scheduler server, ``//host:port`` as the web tool reaches it."""
        return self.settings.scheduler_uri

    @property
    def place(self) -> Place:
        """The web tool's machine, and the Scheduler server as it reaches that."""
        server = self.server  # first, because what HttpHook says of the same extra does not help
        self._set_base_url(self._connection)
        return Place(urlsplit(self.base_url).hostname or "", server)

    @cached_property
    def _session(self) -> Session:
        return self.get_conn()

    def _call(
        self,
        method: str,
        path: str,
        read: Callable[[Call, Response], T],
        *,
        params: Mapping[str, Any] | None = None,
        idempotent: bool = True,
        transfer: float | None = None,
        upload: bool = False,
        **request: Any,
    ) -> T:
        """
        Send one request and ``read`` its answer; only an idempotent one is tried again.

        :param transfer: the answer is streamed, and either side may be silent for so many seconds.
        :param upload: a file is sent. Then a connection of its own is used, because while a body is sent the socket has
            the timeout of connecting, or of the last request on it.
        """
        settings = self.settings
        call = Call(self.denodo_scheduler_conn_id, self.server, method, settings.base_path + path)
        query = params if path == _API_DOCS else {**(params or {}), "uri": self.server}
        silence = settings.timeout if transfer is None else (transfer if upload else settings.timeout[0], transfer)
        session = self.get_conn() if upload else self._session

        def attempt() -> T:
            with (
                call.translating(),
                session.request(
                    method,
                    self.base_url + call.path,
                    params=query,
                    timeout=silence,
                    stream=transfer is not None,
                    allow_redirects=False,
                    # Said again, because for a session's own value an environment variable would go first.
                    verify=settings.verify,
                    **request,
                ) as response,
            ):
                call.check(response)
                return read(call, response)

        return retrying(attempt, self.log.warning) if idempotent else attempt()

    def _json(self, method: str, path: str, read: Callable[[Any], T], **request: Any) -> T:
        """Send one request and ``read`` the JSON of its answer."""
        return self._call(method, _API + path, lambda call, response: read(call.json(response)), **request)

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

        def read(call: Call, response: Response) -> Statuses:
            jobs = answers.read_statuses(call.json(response), projects=self.projects, jobs=self.jobs)
            return Statuses(tuple(jobs), server_time(response))

        return self._call("GET", f"{_API}/jobs/status", read)

    def set_jobs_status(self, action: JobAction, keys: Collection[JobKey], *, statuses: Statuses | None = None) -> int:
        """
        Start, stop, enable or disable jobs, with one request per project.

        :param action: what to do; ``disable`` stops a running job first [D].
        :param keys: the jobs, a sequence in its order within each project; none is fine and sends nothing.
        :param statuses: statuses of the same server, if the caller has them: they give the jobs' ids.
        :return: the number of requests that changed something.
        :raises RequestError: before any request, naming the jobs that the server does not have.
        """
        if action not in get_args(JobAction):
            raise ValueError(f"Unknown action {action!r}. Known are: {', '.join(get_args(JobAction))}.")
        ids: dict[int, list[int]] = defaultdict(list)
        for status in self.find(keys, statuses):
            ids[status.project_id].append(status.job_id)
        for project_id, job_ids in ids.items():
            self._call(
                "PUT",
                f"{_API}/projects/{project_id}/jobs/status",
                _nothing,
                idempotent=action in {"enable", "disable"},
                json={"action": action, "IDs": ",".join(map(str, job_ids))},
            )
        return len(ids)

    def delete_jobs(self, keys: Collection[JobKey]) -> None:
        """
        Delete jobs; jobs that depend on them become DISABLED [D].

        :raises RequestError: before any request, naming the jobs that the server does not have.
        """
        for status in self.find(keys):
            path = f"{_API}/projects/{status.project_id}/jobs/{status.job_id}"
            self._call("DELETE", path, _nothing, idempotent=False)

    def find(self, keys: Collection[JobKey], statuses: Statuses | None = None) -> list[JobStatus]:
        """
        Return the statuses of these jobs, a sequence of them in its order; of none without asking.

        :raises RequestError: naming the jobs that the server does not have.
        """
        if not keys:
            return []
        known = (statuses or self.statuses()).by_key
        wanted = dict.fromkeys(keys if isinstance(keys, Sequence) else sorted(keys))
        if missing := wanted.keys() - known.keys():
            raise RequestError(
                f"The server does not have {listed(sorted(missing), 10)}, or the user may not see them (connection "
                f"{self.denodo_scheduler_conn_id!r}). Nothing was changed. Check the names and the user's roles."
            )
        return [known[key] for key in wanted]

    @cached_property
    def _api_document(self) -> dict[str, Any]:
        document = self._call("GET", _API_DOCS, Call.json)
        return document if isinstance(document, dict) else {}

    def _bound(self, direction: Direction, options: Mapping[str, Any]) -> BoundRequest:
        optional = {METADATA_PASSWORD} if direction == "import" else ()
        try:
            return bind(self._api_document, direction, options, optional=optional)
        except OptionsError as error:
            raise ConfigurationError(str(error)) from None

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
            partial(save, destination=destination),
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
        :param timeout: seconds to wait for the answer; the connection's ``transfer_timeout`` if not given.
        :param options: overrides for this call, in the form that :mod:`denodo_ha.server.options` describes.
        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        seconds = timeout or self.settings.transfer_timeout
        wanted = self.settings.options("import", options)
        if self.scripts:
            return self.scripts.import_(source, wanted, seconds)
        bound = self._bound("import", wanted)
        with on_disk(source) as file:
            return self._call(
                "POST",
                bound.path,
                _import_result,
                params=bound.query,
                idempotent=False,
                transfer=seconds,
                upload=True,
                **body(bound, file),
            )

    def check_import(self) -> None:
        """
        Bind the import's options without importing anything; with scripts, try them by ``ping.sh`` too.

        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        wanted = self.settings.options("import")
        if self.scripts:
            self.scripts.check_import(wanted)
        else:
            self._bound("import", wanted)

    def validate_cron(self, expressions: Iterable[str]) -> list[str]:
        """Ask the server about Quartz cron expressions: one text each, empty for a valid one, else what is wrong."""
        wanted = list(expressions)
        if not wanted:
            return []
        read = partial(answers.read_texts, count=len(wanted))
        return self._json("POST", "/projects/jobs/validateCronExpressions", read, json=wanted)

    def reports(self, key: JobKey, start: int = 0, count: int = 100) -> list[Report]:
        """Return ``count`` reports of finished runs of a job, newest first, beginning with number ``start``."""
        (status,) = self.find([key])
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


def _no_login(request: PreparedRequest) -> PreparedRequest:
    """Leave a request as it is: without any ``auth``, ``requests`` would take one from a netrc file."""
    return request


def _nothing(call: Call, response: Response) -> None:
    call.refuse_html(response, response.content[:64])


def _import_result(call: Call, response: Response) -> ImportResult:
    call.refuse_html(response, response.content[:64])
    try:
        raw = response.json()
    except ValueError:
        raw = response.text.strip()
    return ImportResult(answers.import_warnings(raw))
