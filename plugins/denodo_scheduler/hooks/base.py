"""What every request of the hook has in common: the connection, the session, and one exchange with a web tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, urlsplit

import urllib3
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret
from requests import PreparedRequest, Response, Session, codes
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_environ_proxies, select_proxy

from denodo_ha.server.address import Place, proxy_url
from denodo_ha.server.connection import Settings, masked, parse_extra
from denodo_ha.server.tokens import ClientCredentials, usable
from denodo_scheduler.client.exchange import BoundedAdapter, BoundedSession, within
from denodo_scheduler.client.scripts.commands import Scripts
from denodo_scheduler.client.tokens import BearerAuth, StaticToken, TokenEndpoint, tokens_of
from denodo_scheduler.client.transport import Call, retrying, server_time
from denodo_scheduler.exceptions import ConfigurationError, WrongConnectionError

T = TypeVar("T")

API = "/public/api"
API_DOCS = "/v3/api-docs"


def _allowed(seconds: float) -> None:
    """Let every request be sent, as a caller without an HA record does."""


class ConnectedHook(HttpHook):
    """
    A web tool and the Scheduler server behind it, as the connection names them.

    ``answered`` is the moment of the last answer, by the clock of the machine that gave it; by ours where it told none,
    as ``tells_time`` says.
    """

    answered: datetime
    tells_time = False
    permit: Callable[[float], None] = staticmethod(_allowed)
    """Called right before each try of a request that may change the server is sent, with the seconds that the try may
    take; raises where it must not be sent any more."""

    conn_name_attr = "denodo_scheduler_conn_id"
    default_conn_name = "denodo_scheduler_default"
    conn_type = "denodo_scheduler"
    hook_name = "Denodo Scheduler"

    def __init__(self, denodo_scheduler_conn_id: str = default_conn_name, *, scheduler_uri: str | None = None) -> None:
        adapter = BoundedAdapter(idle=120, count=20, interval=30)  # the values of HttpHook
        super().__init__(method="GET", http_conn_id=denodo_scheduler_conn_id, adapter=adapter)
        self.denodo_scheduler_conn_id = denodo_scheduler_conn_id
        self.scheduler_uri = scheduler_uri

    @cached_property
    def _connection(self) -> Connection:
        try:
            return self.get_connection(self.denodo_scheduler_conn_id)
        except AirflowNotFoundException:
            raise WrongConnectionError(
                f"Connection {self.denodo_scheduler_conn_id!r}: Airflow has no such connection, or this machine may "
                "not read it. Create it, or correct its name where it is used."
            ) from None

    @cached_property
    def settings(self) -> Settings:
        """The connection's extra, checked. Keys that mean nothing here are named in a warning."""
        extra = self._connection.extra
        try:
            settings, unknown = parse_extra(self.denodo_scheduler_conn_id, extra)
            settings = settings.of_server(self.scheduler_uri or settings.scheduler_uri)
        except ValueError as error:
            raise WrongConnectionError(str(error)) from None
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
            raise WrongConnectionError(f"Connection {self.denodo_scheduler_conn_id!r}: the scripts need a login.")
        return Scripts(self.denodo_scheduler_conn_id, self.settings, self._connection.login, self.place.tool)

    def get_conn(self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None) -> Session:
        """
        Make a session with login and TLS settings. No key of the connection's extra becomes a header.

        :param headers: more headers.
        :param extra_options: options of a single :meth:`run`, over those of the connection.
        """
        settings = self.settings
        self._set_base_url(self._connection)
        session = BoundedSession()
        session.auth = self._auth
        session.verify = settings.verify
        session.cert = settings.cert
        session.headers.update({"Accept-Encoding": "gzip", **(headers or {})})
        self.merged_extra = {"timeout": settings.timeout, "allow_redirects": False, **(extra_options or {})}
        asked = [self.base_url, settings.auth.token_url if isinstance(settings.auth, ClientCredentials) else ""]
        if settings.verify is False and any(url.startswith("https:") for url in asked):
            self.log.warning(
                "Connection %r: TLS certificates are not verified (verify is false), so anybody in between can read "
                "the password. Set verify to the path of the CA certificate instead.",
                self.denodo_scheduler_conn_id,
            )
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return self._configure_session_from_mount_adapters(session)

    @cached_property
    def _auth(self) -> AuthBase | Callable[[PreparedRequest], PreparedRequest]:
        """The login of each request.

        :raises WrongConnectionError: the connection lacks what it takes.
        """
        settings, login, password = self.settings, self._connection.login, self._connection.password or ""
        if isinstance(settings.auth, ClientCredentials):
            if not login or not password:
                raise self._lacks("client_credentials: login must be the client id and password the client secret")
            of = (self.denodo_scheduler_conn_id, settings.auth, login, password)
            return BearerAuth(tokens_of(TokenEndpoint(*of, settings.timeout, settings.verify, settings.cert)))
        if settings.auth == "bearer":
            if not usable(password):
                raise self._lacks("bearer: password must be the token, of 5 to 16384 characters without spaces")
            return BearerAuth(StaticToken(password))
        # Bytes, because ``requests`` would encode text as Latin-1.
        return HTTPBasicAuth(login.encode(), password.encode()) if login else _no_login

    def _renewing(self, send: Callable[[], T]) -> T:
        """Send a request; once more where its token was refused, so that it had no effect, and there are others."""
        try:
            return send()
        except ConfigurationError as error:
            renewable = isinstance(self._auth, BearerAuth) and self._auth.tokens.renewable
            if error.status != codes.unauthorized or not renewable:
                raise
        return send()

    def _lacks(self, what: str) -> WrongConnectionError:
        return WrongConnectionError(f"Connection {self.denodo_scheduler_conn_id!r}: its extra says auth {what}.")

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request of the caller's own, see :meth:`HttpHook.run`, within the connection's ``deadline``."""
        with within(self.settings.deadline):
            return super().run(*args, **kwargs)

    def _set_base_url(self, connection: Connection) -> None:
        """Compose the web tool's address; refuse what could not work or would carry credentials into logs."""
        super()._set_base_url(connection)
        address = urlsplit(self.base_url)
        if address.scheme not in {"http", "https"} or not address.hostname or address.username or address.path:
            raise WrongConnectionError(
                f"Connection {self.denodo_scheduler_conn_id!r}: schema must be http or https and host only the name or "
                "address of the web tool's machine. Port, login and base_path have fields of their own."
            )

    @property
    def address(self) -> str:
        """Web tool and Scheduler server behind it, as text without credentials: equal for two names of one server."""
        self._set_base_url(self._connection)
        return f"{self.base_url}{self.settings.base_path} {self.server}".casefold()

    @property
    def secrets(self) -> set[str]:
        """What must be seen nowhere: the password, and those of the extra."""
        password = self._connection.password
        return self.settings.secrets | ({password} if password else set())

    @property
    def user(self) -> str:
        """The login."""
        return self._connection.login or ""

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
    def _proxies(self) -> dict[str, str]:
        """The proxy on the way to the web tool that this machine's environment names, by the schema of the address.

        :raises ConfigurationError: it is none.
        """
        self._set_base_url(self._connection)
        proxy = select_proxy(self.base_url, get_environ_proxies(self.base_url))
        try:
            return {urlsplit(self.base_url).scheme: proxy_url(proxy)} if proxy else {}
        except ValueError as error:
            raise ConfigurationError(f"Connection {self.denodo_scheduler_conn_id!r}: {error}") from None

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
        deadline: float | None = None,
        body: Callable[[], dict[str, Any]] | None = None,
        **request: Any,
    ) -> T:
        """
        Send one request and ``read`` its answer; only an idempotent one is tried again.

        :param transfer: a file is sent or received, and either side may be silent for so many seconds.
        :param upload: a file is sent. Then a connection of its own is used, because while a body is sent the socket has
            the timeout of connecting, or of the last request on it.
        :param deadline: seconds for everything together, tries included; by default those of the connection.
        :param body: makes the body anew each time that the request is sent, where it can be read only once.
        """
        settings, call = self.settings, self._asked(method, path)
        query = params if path == API_DOCS else {**(params or {}), "uri": self.server}
        silence = settings.timeout if transfer is None else (transfer if upload else settings.timeout[0], transfer)
        setting = "deadline" if transfer is None else "transfer_deadline (import_timeout of the pair for its imports)"
        seconds = deadline or (settings.deadline if transfer is None else settings.transfer_deadline)
        session = self.get_conn() if upload else self._session

        def sent() -> T:
            if isinstance(self._auth, BearerAuth):
                self._auth.tokens.get()  # before the permit, which holds for a few seconds only
            with (
                call.translating(),
                exchange.permitted(self.permit if method != "GET" else None),
                session.request(
                    method,
                    self.base_url + call.path,
                    params=query,
                    timeout=silence,
                    stream=True,
                    allow_redirects=False,
                    # Said again, because for a session's own value an environment variable would go first.
                    verify=settings.verify,
                    proxies=self._proxies,
                    **(body() if body else request),
                ) as response,
            ):
                call.check(response)
                told = server_time(response)
                self.answered, self.tells_time = told or datetime.now(UTC), told is not None
                return read(call, response)

        def attempt() -> T:
            return self._renewing(sent)

        with call.within(seconds, setting) as exchange:
            return retrying(attempt, self.log.warning, exchange) if idempotent else attempt()

    def _json(self, method: str, path: str, read: Callable[[Any], T], **request: Any) -> T:
        """Send one request and ``read`` the JSON of its answer."""
        raw = self._call(method, API + path, Call.json, **request)
        with self._asked(method, API + path).translating():
            return read(raw)

    def _asked(self, method: str, path: str) -> Call:
        settings = self.settings
        where = settings.base_path + path
        return Call(
            self.denodo_scheduler_conn_id, self.server, method, where, settings.answer_limit, settings.error_limit
        )


def _no_login(request: PreparedRequest) -> PreparedRequest:
    """Leave a request as it is: without any ``auth``, ``requests`` would take one from a netrc file."""
    return request
