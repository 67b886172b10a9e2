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

from denodo_ha.jobs import Job, JobKey, JobStatus, Project, Report, ServerInfo
from denodo_ha.text import listed
from denodo_scheduler.client import answers
from denodo_scheduler.client.answers import ExportResult, ImportResult, Statuses
from denodo_scheduler.client.binding import EXPORT_OPTIONS, IMPORT_OPTIONS, BoundRequest, bind, merged
from denodo_scheduler.client.scripts.commands import METADATA_PASSWORD, Scripts
from denodo_scheduler.client.settings import Settings, masked, parse_extra, server_uri
from denodo_scheduler.client.transfer import body, save
from denodo_scheduler.client.transport import Call, retrying
from denodo_scheduler.exceptions import ConfigurationError, RequestError
from denodo_scheduler.state.files import upload

__all__ = ["DenodoSchedulerHook", "ExportResult", "ImportResult", "Statuses", "listed"]

T = TypeVar("T")

Action = Literal["start", "stop", "enable", "disable", "start_with_state", "start_with_dependencies"]
ADMIN_ROLE = "scheduler_admin"

_API = "/public/api"
_API_DOCS = "/v3/api-docs"


class DenodoSchedulerHook(HttpHook):
    """
    Talk to a Denodo Scheduler server through a web administration tool.

    The connection names the web tool (schema, host, port, login, password); its extra is described by
    :class:`denodo_scheduler.client.settings.Settings`. One web tool reaches every Scheduler server [D]: each method
    takes the ``uri`` (``//host:port``) of another one. What goes wrong is a
    :class:`~denodo_scheduler.exceptions.DenodoSchedulerError`.

    :param denodo_scheduler_conn_id: connection id of the web tool.
    :param scheduler_uri: the Scheduler server, instead of the connection's ``scheduler_uri``.
    """

    conn_name_attr = "denodo_scheduler_conn_id"
    default_conn_name = "denodo_scheduler_default"
    conn_type = "denodo_scheduler"
    hook_name = "Denodo Scheduler"

    def __init__(self, denodo_scheduler_conn_id: str = default_conn_name, *, scheduler_uri: str | None = None) -> None:
        super().__init__(method="GET", http_conn_id=denodo_scheduler_conn_id)
        self.denodo_scheduler_conn_id = denodo_scheduler_conn_id
        self._scheduler_uri = scheduler_uri

    @cached_property
    def _connection(self) -> Connection:
        return self.get_connection(self.denodo_scheduler_conn_id)

    @cached_property
    def settings(self) -> Settings:
        """The connection's extra, checked. Keys that mean nothing here are named in a warning."""
        settings, unknown = parse_extra(self.denodo_scheduler_conn_id, self._connection.extra)
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
        return Scripts(self.denodo_scheduler_conn_id, self.settings, login=self._connection.login, web_tool=self.host)

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
    def host(self) -> str:
        """The web tool's machine."""
        self._set_base_url(self._connection)
        return urlsplit(self.base_url).hostname or ""

    @property
    def server(self) -> str:
        """The Scheduler server, ``//host:port`` as the web tool reaches it."""
        return server_uri(self._scheduler_uri or self.settings.scheduler_uri)

    def _target(self, uri: str | None) -> str:
        return server_uri(uri) if uri else self.server

    @cached_property
    def _session(self) -> Session:
        return self.get_conn()

    def _call(
        self,
        method: str,
        path: str,
        read: Callable[[Call, Response], T],
        *,
        uri: str | None = None,
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
        server = self._target(uri)
        call = Call(self.denodo_scheduler_conn_id, server, method, settings.base_path + path)
        query = params if path == _API_DOCS else {**(params or {}), "uri": server}

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

    def me(self, *, uri: str | None = None) -> ServerInfo:
        """Return which version answers and the user's roles. Only a living Scheduler server answers this."""
        return self._call("GET", f"{_API}/me", answers.parse_me, uri=uri)

    def ping(self, *, uri: str | None = None) -> ServerInfo:
        """Return what :meth:`me` does; with the transport ``scripts``, only if ``ping.sh`` hears the server too."""
        if self.scripts:
            self.scripts.ping(self._target(uri))
        return self.me(uri=uri)

    def projects(self, *, uri: str | None = None) -> list[Project]:
        """Return every project that the user may see."""
        return self._call("GET", f"{_API}/projects", answers.parse_projects, uri=uri)

    def project(self, name: str, *, uri: str | None = None) -> Project | None:
        """Return the project of that name, compared without case, or ``None``."""
        return next((found for found in self.projects(uri=uri) if found.name.casefold() == name.casefold()), None)

    def jobs(self, *, uri: str | None = None) -> list[Job]:
        """Return the whole definition of every job of every project."""
        read = partial(answers.parse_jobs, projects=lambda: self.projects(uri=uri))
        return self._call("GET", f"{_API}/jobs", read, uri=uri)

    def statuses(self, *, uri: str | None = None) -> Statuses:
        """Return the state of every job, in one cheap request."""
        read = partial(answers.parse_statuses, projects=lambda: self.projects(uri=uri), jobs=lambda: self.jobs(uri=uri))
        return self._call("GET", f"{_API}/jobs/status", read, uri=uri)

    def set_jobs_status(
        self, action: Action, keys: Collection[JobKey], *, statuses: Statuses | None = None, uri: str | None = None
    ) -> int:
        """
        Start, stop, enable or disable jobs, with one request per project.

        :param action: what to do; ``disable`` stops a running job first [D].
        :param keys: the jobs, a sequence in its order within each project; none is fine and sends nothing.
        :param statuses: statuses of the same server, if the caller has them: they give the jobs' ids.
        :return: the number of requests that changed something.
        :raises RequestError: before any request, naming the jobs that the server does not have.
        """
        if action not in get_args(Action):
            raise ValueError(f"Unknown action {action!r}. Known are: {', '.join(get_args(Action))}.")
        if not keys:
            return 0
        ids: dict[int, list[int]] = defaultdict(list)
        for status in self.find(keys, statuses, uri=uri):
            ids[status.project_id].append(status.job_id)
        for project_id, job_ids in ids.items():
            self._call(
                "PUT",
                f"{_API}/projects/{project_id}/jobs/status",
                _nothing,
                uri=uri,
                idempotent=action in {"enable", "disable"},
                json={"action": action, "IDs": ",".join(map(str, job_ids))},
            )
        return len(ids)

    def delete_jobs(self, keys: Collection[JobKey], *, uri: str | None = None) -> None:
        """
        Delete jobs; jobs that depend on them become DISABLED [D].

        :raises RequestError: before any request, naming the jobs that the server does not have.
        """
        for status in self.find(keys, uri=uri) if keys else []:
            path = f"{_API}/projects/{status.project_id}/jobs/{status.job_id}"
            self._call("DELETE", path, _nothing, uri=uri, idempotent=False)

    def find(
        self, keys: Iterable[JobKey], statuses: Statuses | None = None, *, uri: str | None = None
    ) -> list[JobStatus]:
        """
        Return the statuses of these jobs, a sequence of them in its order.

        :raises RequestError: naming the jobs that the server does not have.
        """
        known = (statuses or self.statuses(uri=uri)).by_key
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

    def _options(self, defaults: Mapping[str, Any], *overrides: Mapping[str, Any] | None) -> dict[str, Any]:
        password = self.settings.metadata_password
        protected = {METADATA_PASSWORD: password.get_secret_value()} if password else {}
        return merged({**defaults, **protected}, *(override for override in overrides if override))

    def export_metadata(
        self, destination: ObjectStoragePath, *, uri: str | None = None, options: Mapping[str, Any] | None = None
    ) -> ExportResult:
        """
        Export the server's metadata to a new file, which appears whole or not at all.

        :param destination: the file; its folder is made. On a local disk only the owner can read it.
        :param options: overrides for this call, in the form that :mod:`denodo_scheduler.client.binding` describes.
        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        wanted = self._options(EXPORT_OPTIONS, self.settings.export_options, options)
        if self.scripts:
            export = partial(self.scripts.export, self._target(uri), destination, wanted)
            return retrying(export, self.log.warning)
        bound = bind(self._api_document, "export", wanted)
        return self._call(
            "POST",
            bound.path,
            partial(save, destination=destination),
            uri=uri,
            params=bound.query,
            transfer=self.settings.transfer_timeout,
            **body(bound),
        )

    def import_metadata(
        self,
        source: ObjectStoragePath,
        *,
        timeout: float | None = None,
        uri: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ImportResult:
        """
        Import a file. Every imported job is enabled on the server afterwards, whatever it was before [KB].

        Never tried again by itself: after a :class:`~denodo_scheduler.exceptions.NoAnswerError` the import may have
        happened, may still go on, or may not have begun.

        :param source: an export file.
        :param timeout: seconds to wait for the answer; the connection's ``transfer_timeout`` if not given.
        :param options: overrides for this call, in the form that :mod:`denodo_scheduler.client.binding` describes.
        :raises ConfigurationError: an option could not be bound; the message lists all of them.
        """
        seconds = timeout or self.settings.transfer_timeout
        if self.scripts:
            return self.scripts.import_(self._target(uri), source, self._import_options(options), seconds)
        bound = self._bind_import(options)
        with upload(source) as file:
            return self._call(
                "POST",
                bound.path,
                answers.parse_import,
                uri=uri,
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
        if self.scripts:
            self.scripts.check_import(self.server, self._import_options(None))
        else:
            self._bind_import(None)

    def _import_options(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        return self._options(IMPORT_OPTIONS, self.settings.import_options, options)

    def _bind_import(self, options: Mapping[str, Any] | None) -> BoundRequest:
        return bind(self._api_document, "import", self._import_options(options), optional={METADATA_PASSWORD})

    def validate_cron(self, expressions: Iterable[str], *, uri: str | None = None) -> list[str]:
        """Ask the server about Quartz cron expressions: one text each, empty for a valid one, else what is wrong."""
        wanted = list(expressions)
        if not wanted:
            return []
        read = partial(answers.parse_texts, count=len(wanted))
        return self._call("POST", f"{_API}/projects/jobs/validateCronExpressions", read, uri=uri, json=wanted)

    def reports(self, key: JobKey, start: int = 0, count: int = 100, *, uri: str | None = None) -> list[Report]:
        """Return ``count`` reports of finished runs of a job, newest first, beginning with number ``start``."""
        (status,) = self.find([key], uri=uri)
        path = f"{_API}/projects/{status.project_id}/jobs/{status.job_id}/reports"
        return self._call("GET", path, answers.parse_reports, uri=uri, params={"start": start, "count": count})

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
