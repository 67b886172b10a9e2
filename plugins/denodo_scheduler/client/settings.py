"""The extra field of a Denodo Scheduler connection, read once and checked."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from denodo_scheduler.exceptions import ConfigurationError

_SERVER_URI = re.compile(r"//([^/:@\s]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")

ENCRYPTED = "encrypted:"
HOW_TO_ENCRYPT = (
    f"Encrypt it on the machine of the scripts with <DENODO_HOME>/bin/encrypt_password.sh, and put {ENCRYPTED} before "
    "what that prints"
)


def server_uri(value: str) -> str:
    """Return ``value`` if it names a Scheduler server as Denodo's parameter ``uri`` does, ``//host:port`` [D]."""
    if not _SERVER_URI.fullmatch(value):
        raise ConfigurationError(
            f"The Scheduler server {value!r} is not of the form //host:port. Give the host as the web tool reaches it "
            "and the server's own port, for example //localhost:8000."
        )
    return value


def is_loopback(host: str) -> bool:
    """Whether a host, or that of ``//host:port``, is the machine itself."""
    host = host.removeprefix("//").rpartition(":")[0] if host.startswith("//") else host
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return host.casefold().rstrip(".") == "localhost"


def same_machine(one: str, other: str) -> bool:
    """Whether two hosts are one machine for certain."""
    return one.casefold() == other.casefold() or (is_loopback(one) and is_loopback(other))


def masked(secret: str) -> bool:
    """Whether Airflow hides ``secret`` in logs, as far as it is told to."""
    return len(secret) >= 5 and secret.lower() != "airflow"


def _from_text(value: Any) -> Any:
    """Extras of a connection given as a URI, and some form fields, arrive as text: ``false``, ``10``, ``[5, 10]``."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _seconds(value: Any) -> Any:
    value = _from_text(value)
    pair = value if isinstance(value, list) else [5, value]
    if len(pair) != 2 or not all(type(part) in {int, float} and part > 0 for part in pair):
        raise ValueError("expected a number of seconds to wait for an answer, or [connect, read] in seconds")
    return tuple(pair)


def _verify(value: Any) -> Any:
    value = _from_text(value.lower() if value in ("True", "False") else value)
    if isinstance(value, bool) or (isinstance(value, str) and Path(value).exists()):
        return value
    raise ValueError("expected true, false, or the path of a file with CA certificates that this machine can read")


def _cert(value: Any) -> Any:
    value = _from_text(value)
    paths = value if isinstance(value, list) else [value]
    if len(paths) not in {1, 2} or not all(isinstance(path, str) and Path(path).is_file() for path in paths):
        raise ValueError("expected the path of a PEM file with certificate and key, or [certificate, key]")
    return value if isinstance(value, str) else tuple(paths)


def _options(value: Any) -> Any:
    value = _from_text(value)
    if not isinstance(value, dict):
        raise ValueError('expected a JSON object, for example {"permissions": true}')
    return value


class Settings(BaseModel):
    """
    What the connection's extra may hold.

    :param scheduler_uri: Scheduler server as the web tool reaches it, ``//host:port``.
    :param base_path: path of the web tool's application.
    :param verify: ``True``, ``False``, or the path of a file or folder with CA certificates.
    :param cert: PEM file with certificate and key, or the pair of both.
    :param timeout: seconds to connect and to wait for an answer; a single number is the second one.
    :param transfer_timeout: seconds without a byte after which an export or import counts as unanswered.
    :param export_options: overrides of the export's run-time binding, see :mod:`denodo_scheduler.client.binding`.
    :param import_options: the same for the import.
    :param metadata_password: password that protects the secrets inside an export file (9.x).
    :param transport: how export, import and ping reach the server: ``rest``, or the vendor's ``scripts``
        (:mod:`denodo_scheduler.client.scripts.commands`). All else is REST.
    :param denodo_home: installation whose scripts run, on the worker or on the machine of ``ssh_conn_id``.
    :param script_password: the login's password as the scripts take it, ``encrypted:…``.
    :param script_server: Scheduler server as the scripts reach it, where that is not ``scheduler_uri``.
    :param vdpauth: the scripts log in through Virtual DataPort; if false, with a local account [D].
    :param ssh_conn_id: Airflow's SSH connection to the machine of the scripts; None: they run on the worker.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    scheduler_uri: str = "//localhost:8000"
    base_path: str = "/webadmin/denodo-scheduler-admin"
    verify: Annotated[bool | str, BeforeValidator(_verify)] = True
    cert: Annotated[str | tuple[str, str] | None, BeforeValidator(_cert)] = None
    timeout: Annotated[tuple[float, float], BeforeValidator(_seconds)] = (5.0, 10.0)
    transfer_timeout: float = 600.0
    export_options: Annotated[dict[str, Any], BeforeValidator(_options)] = {}
    import_options: Annotated[dict[str, Any], BeforeValidator(_options)] = {}
    metadata_password: SecretStr | None = None
    transport: Literal["rest", "scripts"] = "rest"
    denodo_home: str | None = None
    script_password: SecretStr | None = None
    script_server: str | None = None
    vdpauth: bool = False
    ssh_conn_id: str | None = None

    @field_validator("scheduler_uri", "script_server")
    @classmethod
    def _is_server_uri(cls, value: str) -> str:
        try:
            return server_uri(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

    @field_validator("base_path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        if "://" in value or "?" in value:
            raise ValueError("expected only a path, for example /webadmin/denodo-scheduler-admin")
        return "/" + value.strip("/") if value.strip("/") else ""

    @field_validator("transfer_timeout")
    @classmethod
    def _is_positive(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("expected a number of seconds greater than 0")
        return value

    @field_validator("metadata_password")
    @classmethod
    def _is_masked(cls, value: SecretStr) -> SecretStr:
        if not masked(value.get_secret_value()):
            raise ValueError("expected at least 5 characters: Airflow does not mask what is shorter, nor its own name")
        return value

    @field_validator("denodo_home")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError("expected the absolute path of a Denodo installation, for example /opt/denodo")
        return value.rstrip("/")

    @field_validator("script_password")
    @classmethod
    def _is_encrypted(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(rf"{ENCRYPTED}\S+", value.get_secret_value()):
            raise ValueError(
                f"expected {ENCRYPTED}…, because everybody on the machine of the scripts sees it in the process list. "
                f"{HOW_TO_ENCRYPT}"
            )
        return value

    @model_validator(mode="after")
    def _has_what_scripts_need(self) -> Self:
        missing = [name for name in ("denodo_home", "script_password") if getattr(self, name) is None]
        if self.transport == "scripts" and missing:
            raise ValueError(f"'transport': scripts needs {' and '.join(missing)} as well")
        return self

    @property
    def secrets(self) -> set[str]:
        """Everything that must never be seen, the encrypted parts of encrypted passwords too."""
        given = [each.get_secret_value() for each in (self.metadata_password, self.script_password) if each]
        return {part for each in given for part in (each, each.removeprefix(ENCRYPTED)) if part}


def parse_extra(conn_id: str, extra: str | None) -> tuple[Settings, list[str]]:
    """
    Read the extra field of connection ``conn_id``. Empty values count as not given.

    :return: the settings, and the names of the keys that mean nothing here.
    :raises ConfigurationError: naming every key with a bad value and what is expected of it.
    """
    try:
        fields = json.loads(extra or "{}")
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise ConfigurationError(f"Connection {conn_id!r}: the extra field is not a JSON object. Correct it.")
    given = {key: value for key, value in fields.items() if value not in (None, "")}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(
            "".join(f"{name!r}: " for name in problem["loc"][:1]) + problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(f"Connection {conn_id!r}: correct its extra field. {problems}.") from None
    return settings, sorted(given.keys() - Settings.model_fields.keys())
