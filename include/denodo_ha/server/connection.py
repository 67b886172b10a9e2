"""The extra field of a Denodo Scheduler connection: read once and checked, and what its form says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)

from denodo_ha.server.address import server_uri
from denodo_ha.server.bodies import ANSWER_LIMIT, ERROR_LIMIT
from denodo_ha.server.flags import ENCRYPTED, HOW_TO_ENCRYPT
from denodo_ha.server.options import EXPORT_OPTIONS, IMPORT_OPTIONS, METADATA_PASSWORD, Direction, merged
from denodo_ha.server.tokens import Auth, ClientCredentials, read_auth

_LOCAL = "//localhost:8000"
_BASE_PATH = "/webadmin/denodo-scheduler-admin"
FOR_SCRIPTS = ("transport", "denodo_home", "script_password", "script_server", "vdpauth", "ssh_conn_id")
"""The options that only concern the transport ``scripts``."""
_LONGEST = 7 * 86400.0
"""Seconds that a timeout or deadline may have."""


def masked(secret: str) -> bool:
    """Whether Airflow hides ``secret`` in logs, as far as it is told to."""
    return len(secret) >= 5 and secret.lower() != "airflow"


def _json(text: str) -> Any:
    """Read JSON; raise ValueError for what is none, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _from_text(value: Any) -> Any:
    """Extras of a connection given as a URI, and some form fields, arrive as text: ``false``, ``10``, ``[5, 10]``."""
    if not isinstance(value, str):
        return value
    try:
        return _json(value)
    except ValueError:
        return value


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a path
        return False


def _seconds(value: Any) -> Any:
    value = _from_text(value)
    pair = value if isinstance(value, list) else [5, value]
    if len(pair) != 2 or not all(type(part) in {int, float} and 0 < part <= _LONGEST for part in pair):
        raise ValueError(
            f"expected a number of seconds to wait for an answer, or [connect, read] in seconds, {_LONGEST:g} at most"
        )
    return tuple(pair)


def _verify(value: Any) -> Any:
    value = _from_text(value.lower() if value in ("True", "False") else value)
    if isinstance(value, bool) or (isinstance(value, str) and _exists(value)):
        return value
    raise ValueError("expected true, false, or the path of a file with CA certificates that this machine can read")


def _cert(value: Any) -> Any:
    value = _from_text(value)
    paths = value if isinstance(value, list) else [value]
    if len(paths) not in {1, 2} or not all(
        isinstance(path, str) and _exists(path) and Path(path).is_file() for path in paths
    ):
        raise ValueError("expected the path of a PEM file with certificate and key, or [certificate, key]")
    return value if isinstance(value, str) else tuple(paths)


def _object(value: Any) -> Any:
    value = _from_text(value)
    if not isinstance(value, dict):
        raise ValueError('expected a JSON object, for example {"permissions": true}')
    return value


def _auth(value: Any) -> Any:
    return read_auth(_from_text(value))


def _base_path(value: str) -> str:
    if "://" in value or "?" in value or not value.isprintable():
        raise ValueError(f"expected only a path, for example {_BASE_PATH}")
    return "/" + value.strip("/") if value.strip("/") else ""


def _masked(value: SecretStr) -> SecretStr:
    if not masked(value.get_secret_value()):
        raise ValueError("expected at least 5 characters: Airflow does not mask what is shorter, nor its own name")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("expected the absolute path of a Denodo installation, for example /opt/denodo")
    return value.rstrip("/")


def _encrypted(value: SecretStr) -> SecretStr:
    if not re.fullmatch(rf"{ENCRYPTED}\S+", value.get_secret_value()):
        raise ValueError(
            f"expected {ENCRYPTED}…, because everybody on the machine of the scripts sees it in the process list. "
            f"{HOW_TO_ENCRYPT}"
        )
    return value


def _field(default: Any, label: str, description: str, /, **schema: str) -> Any:
    """Describe a field and how the form shows it; there it may stay empty."""
    return Field(default, title=label, description=description, json_schema_extra=dict(schema))


_ServerUri = Annotated[str, AfterValidator(server_uri)]
_Seconds = Annotated[float, Field(gt=0, le=_LONGEST, allow_inf_nan=False)]
_Options = Annotated[dict[str, Any], BeforeValidator(_object)]


class Settings(BaseModel):
    """What the connection's extra may hold."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    scheduler_uri: _ServerUri = _field(
        _LOCAL, "Scheduler server", f"As its own web tool reaches it, //host:port. Empty: {_LOCAL}.", default=_LOCAL
    )
    base_path: Annotated[str, AfterValidator(_base_path)] = _field(
        _BASE_PATH, "Base path", f"Path of the web tool. Empty: {_BASE_PATH}."
    )
    auth: Annotated[Auth, BeforeValidator(_auth)] = _field(
        "basic",
        "Authentication",
        "How to log in: basic; bearer, where the password is a token; or a JSON object, "
        '{"type": "client_credentials", "token_url": "https://…", "scope": "…", "method": "…"}. Empty: basic.',
    )
    verify: Annotated[bool | str, BeforeValidator(_verify)] = _field(
        True,
        "Verify TLS",
        "true; the path of a file with CA certificates; or false, which logs a warning, because the password can be "
        "intercepted. Empty: true.",
    )
    cert: Annotated[str | tuple[str, str] | None, BeforeValidator(_cert)] = _field(
        None, "Client certificate", "Path of one PEM file with the client's certificate and its key."
    )
    timeout: Annotated[tuple[float, float], BeforeValidator(_seconds)] = _field(
        (5.0, 10.0),
        "Timeout",
        "Seconds to wait for an answer, or [connect, read]. For the scripts: seconds for SSH to connect and to log in, "
        "whose sum is the deadline of a ping. Empty: [5, 10].",
    )
    transfer_timeout: _Seconds = _field(
        600.0,
        "Transfer timeout",
        "Seconds without a byte that end an export or import. For the scripts: seconds for a whole export with its "
        "file. Empty: 600.",
    )
    deadline: _Seconds = Field(
        default_factory=lambda given: 4.0 * sum(given["timeout"]),
        title="Deadline",
        description="Seconds for a whole request, from the connection to the last byte, with its tries, however slowly "
        "bytes come. For REST only. Empty: 4 times the sum of timeout.",
    )
    transfer_deadline: _Seconds = Field(
        default_factory=lambda given: min(6 * given["transfer_timeout"], _LONGEST),
        title="Transfer deadline",
        description="The same for an export or import with its file; the imports of a sync have the pair's "
        "import_timeout instead. For REST only. Empty: 6 times transfer_timeout.",
    )
    answer_limit: PositiveInt = _field(
        ANSWER_LIMIT,
        "Answer limit",
        "Bytes of an answer that are believed, unpacked. For every 32 of them an answer may hold one value. "
        "Empty: 67108864 (64 MB).",
    )
    error_limit: PositiveInt = _field(
        ERROR_LIMIT, "Error limit", "Bytes that are read of a refusal. Empty: 65536 (64 kB)."
    )
    transfer_limit: PositiveInt = _field(
        512 * 1024**2,
        "Transfer limit",
        "Bytes of an export that are believed; of a script's console the first megabyte is read. "
        "Empty: 536870912 (512 MB).",
    )
    export_options: _Options = _field(
        {},
        "Export options",
        'JSON object: other values or places of the export\'s options, for example {"permissions": true}. For the '
        "scripts: true, false or null, and no places.",
        format="multiline",
    )
    import_options: _Options = _field(
        {},
        "Import options",
        'JSON object: the same of the import\'s options, for example {"replaceDrivers": false}.',
        format="multiline",
    )
    metadata_password: Annotated[SecretStr, AfterValidator(_masked)] | None = _field(
        None,
        "Metadata password",
        "Protects the secrets inside an export file (9.x), with at least 5 characters. Needed for a server of another "
        "installation.",
        format="password",
    )
    transport: Literal["rest", "scripts"] = _field(
        "rest", "Transport", "rest or scripts: how export, import and ping reach the server. Empty: rest."
    )
    denodo_home: Annotated[str, AfterValidator(_absolute)] | None = _field(
        None, "Denodo home", "Required: the installation with tools/scheduler/export.sh."
    )
    script_password: Annotated[SecretStr, AfterValidator(_encrypted)] | None = _field(
        None,
        "Password for the scripts",
        "Required: the password of the login, encrypted:… as Denodo's encrypt_password makes it.",
        format="password",
    )
    script_server: _ServerUri | None = _field(
        None,
        "Scheduler server for the scripts",
        "As the scripts reach it, //host:port, where the web tool knows it by another name. Empty: scheduler_uri.",
    )
    vdpauth: bool = _field(
        False,
        "Log in through VDP",
        "true: the scripts log in through Virtual DataPort, as most accounts need; false: with a local account of the "
        "Scheduler. Empty: false.",
    )
    ssh_conn_id: str | None = _field(
        None, "SSH connection", "Airflow's connection to the machine of the scripts. Empty: they run on the worker."
    )

    @model_validator(mode="after")
    def _has_what_scripts_need(self) -> Self:
        missing = [name for name in ("denodo_home", "script_password") if getattr(self, name) is None]
        if self.transport == "scripts" and missing:
            raise ValueError(f"'transport': scripts needs {' and '.join(missing)} as well")
        if self.transport == "scripts" and isinstance(self.auth, ClientCredentials):
            raise ValueError("'transport': scripts logs in with the login, which is the client id with this 'auth'")
        return self

    @property
    def secrets(self) -> set[str]:
        """Everything that must never be seen, the encrypted parts of encrypted passwords too."""
        given = [each.get_secret_value() for each in (self.metadata_password, self.script_password) if each]
        return {part for each in given for part in (each, each.removeprefix(ENCRYPTED)) if part}

    def options(self, direction: Direction, override: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the options of an export or import: the defaults, under the connection's, under those of this call."""
        defaults, own = EXPORT_OPTIONS, self.export_options
        if direction == "import":
            defaults, own = IMPORT_OPTIONS, self.import_options
        password = self.metadata_password
        protected = {METADATA_PASSWORD: password.get_secret_value()} if password else {}
        return merged({**defaults, **protected}, own, override or {})

    def of_server(self, uri: str) -> Self:
        """Return the same for another Scheduler server behind the web tool, of which ``script_server`` says nothing.

        :raises ValueError: ``uri`` names none.
        """
        if uri == self.scheduler_uri:
            return self
        return self.model_copy(update={"scheduler_uri": server_uri(uri), "script_server": None})


def form() -> dict[str, dict[str, Any]]:
    """Return the fields of the connection's form, as Airflow's provider information has them."""
    return {
        name: {
            "label": field.title,
            "description": field.description,
            "schema": {"type": ["string", "null"], **dict(field.json_schema_extra or {})},  # type: ignore[arg-type]
        }
        for name, field in Settings.model_fields.items()
    }


def _is_plain(text: str) -> bool:
    """Whether a text can be sent and shown: control characters but those of white space, and halves of characters,
    cannot be."""
    return not re.search(r"[^\t\r\n\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]", text)


def parse_extra(conn_id: str, extra: str | None) -> tuple[Settings, list[str]]:
    """
    Read the extra field of connection ``conn_id``. Empty values count as not given.

    :return: the settings, and the names of the keys that mean nothing here.
    :raises ValueError: naming every key with a bad value and what is expected of it.
    """
    try:
        fields = _json(extra or "{}")
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise ValueError(f"Connection {conn_id!r}: the extra field is not a JSON object. Correct it.")
    given = {key: value for key, value in fields.items() if value not in (None, "")}
    if odd := [key for key, value in given.items() if isinstance(value, str) and not _is_plain(value)]:
        names = ", ".join(map(repr, odd[:5]))
        raise ValueError(f"Connection {conn_id!r}: correct its extra field. {names}: expected no control characters.")
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(
            "".join(f"{name!r}: " for name in problem["loc"][:1]) + problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_url=False, include_input=False)
            if problem["type"] != "default_factory_not_called"  # it follows from another mistake
        )
        raise ValueError(f"Connection {conn_id!r}: correct its extra field. {problems}.") from None
    return settings, sorted(given.keys() - Settings.model_fields.keys())
