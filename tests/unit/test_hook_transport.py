from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from denodo_ha.jobs import JobKey
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    ServerBusyError,
    UnexpectedAnswerError,
    UnreachableError,
    WrongConnectionError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

ME = {"serverData": {"version": {"full": "9.1.0"}}}
LOGIN_PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
TEXT_HTML = {"Content-Type": "text/html;charset=UTF-8"}
STATUS = {"jobID": 1, "jobName": "load", "projectID": 7, "projectName": "sales", "state": "NOT_RUNNING"}
JOB = JobKey(project="sales", name="load")

Connect = Callable[..., DenodoSchedulerHook]


def _failure(hook: DenodoSchedulerHook) -> DenodoSchedulerError:
    with pytest.raises(DenodoSchedulerError) as caught:
        hook.me()
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "tries", "hint"),
    [
        (400, RequestError, 1, "refused"),
        (401, ConfigurationError, 1, "Check login and password"),
        (403, ConfigurationError, 1, "scheduler_admin"),
        (404, ConfigurationError, 1, "base_path"),
        (405, RequestError, 1, "refused"),
        (407, ConfigurationError, 1, "proxy"),
        (413, RequestError, 1, "upload limit"),
        (422, RequestError, 1, "refused"),
        (500, RequestError, 1, "its uri is right"),
        (502, ServerBusyError, 3, "Check that the web tool runs"),
        (503, ServerBusyError, 3, "Try again later"),
        (504, ServerBusyError, 3, "Try again later"),
        (507, RequestError, 1, "the server failed"),
    ],
)
def test_every_error_status_has_its_exception(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, status: int, kind: type, tries: int, hint: str
) -> None:
    webtool.on("GET", "/me", answer({"status": str(status), "message": "Because", "subErrors": []}, status))

    error = _failure(hook)

    assert type(error) is kind
    assert (error.status, error.server_message) == (status, "Because")
    assert (error.method, error.path) == ("GET", "/webadmin/denodo-scheduler-admin/public/api/me")
    for part in (str(status), hint, "Because", "connection 'web'", "//localhost:8000", "GET /webadmin"):
        assert part in str(error)
    assert len(webtool.requests) == tries


def test_sub_errors_are_part_of_the_servers_message(webtool: Any, hook: DenodoSchedulerHook, answer: Any) -> None:
    webtool.on("GET", "/me", answer({"message": "Validation error", "subErrors": [{"field": "filter"}]}, 400))

    assert _failure(hook).server_message == "Validation error [{'field': 'filter'}]"


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"", {}, None),
        (LOGIN_PAGE, TEXT_HTML, None),
        (b"Bad Request\nThis port needs TLS.", {"Content-Type": "text/plain"}, "Bad Request This port needs TLS."),
        (b'["unexpected"]', {}, None),
        (b"\xff\xfe{", {}, None),
    ],
)
def test_an_error_body_of_any_form_is_borne(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, body: bytes, headers: dict[str, str], message: str | None
) -> None:
    webtool.on("GET", "/me", answer(body, 401, headers))

    error = _failure(hook)

    assert isinstance(error, ConfigurationError)
    assert error.server_message == message
    assert "Please log in" not in str(error)


@pytest.mark.parametrize(
    ("body", "headers"), [(LOGIN_PAGE, TEXT_HTML), (LOGIN_PAGE, {}), (b"Please log in", TEXT_HTML)]
)
def test_html_with_200_is_a_configuration_error(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, body: bytes, headers: dict[str, str]
) -> None:
    webtool.on("GET", "/me", answer(body, headers=headers))

    error = _failure(hook)

    assert type(error) is ConfigurationError
    assert "HTML page" in str(error)
    assert "base_path" in str(error)


def test_a_redirect_is_not_followed(webtool: Any, hook: DenodoSchedulerHook, answer: Any) -> None:
    location = "https://sso.example.org/login;jsessionid=SECRET?token=SECRET"
    webtool.on("GET", "/me", answer(None, 302, {"Location": location}))

    error = _failure(hook)

    assert type(error) is ConfigurationError
    assert "redirects to https://sso.example.org/login (302)" in str(error)
    assert "SECRET" not in str(error)
    assert len(webtool.requests) == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [(b"", "is empty"), (b'{"serverData": {"ver', "cut or damaged"), (b"\x00\x01", "cut or damaged")],
)
def test_an_answer_that_is_not_json_is_unexpected(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, body: bytes, what: str
) -> None:
    webtool.on("GET", "/me", answer(body))

    error = _failure(hook)

    assert type(error) is UnexpectedAnswerError
    assert what in str(error)


@pytest.mark.parametrize("fault", ["cut", "truncate"])
def test_a_cut_connection_leaves_the_effect_unknown(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, fault: Any
) -> None:
    webtool.on("GET", "/me", answer(ME, fault=fault))

    error = _failure(hook)

    assert type(error) is NoAnswerError
    assert "cut before the whole answer came" in str(error)
    assert len(webtool.requests) == 3


def test_silence_ends_at_the_timeout(webtool: Any, connect: Connect, answer: Any) -> None:
    webtool.on("GET", "/me", answer(fault="hang"))

    error = _failure(connect({"timeout": 0.1}, port=webtool.port))

    assert type(error) is NoAnswerError
    assert "raise timeout" in str(error)


def test_a_refused_connection_had_no_effect(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    error = _failure(connect(port=port))

    assert type(error) is UnreachableError
    assert "Connection refused" in str(error)


def test_an_unknown_host_had_no_effect(connect: Connect) -> None:
    error = _failure(connect(host="no-such-host.invalid", port=80))

    assert type(error) is UnreachableError
    assert "host and port of the connection" in str(error)


@pytest.mark.parametrize("fault", ["cut", "truncate", None])
def test_an_idempotent_request_succeeds_after_a_hiccup(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, fault: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    webtool.on("GET", "/me", *[answer(ME, fault=fault) if fault else answer(status=503)] * 2, answer(ME))

    assert hook.me().version == "9.1.0"

    assert len(webtool.requests) == 3
    assert "Try 2 of 3 failed" in "".join(capfd.readouterr())


@pytest.mark.parametrize(("action", "tries"), [("disable", 3), ("enable", 3), ("start", 1), ("stop", 1)])
def test_only_idempotent_actions_are_tried_again(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, action: Any, tries: int
) -> None:
    webtool.on("GET", "/jobs/status", [STATUS])
    webtool.on("PUT", "/projects/7/jobs/status", answer(fault="cut"))

    with pytest.raises(NoAnswerError):
        hook.set_jobs_status(action, [JOB])

    assert len(webtool.asked("PUT", "/projects/7/jobs/status")) == tries


def test_no_key_of_the_extra_becomes_a_header(
    webtool: Any, connect: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    webtool.on("GET", "/me", ME)
    hook = connect({"X-Custom": "leak", "scheduler_uri": "//h:8000", "Authorization": "Bearer leak"}, port=webtool.port)

    hook.me()

    (request,) = webtool.requests
    assert "x-custom" not in request.headers
    assert request.headers.keys() <= {"host", "user-agent", "accept", "accept-encoding", "connection", "authorization"}
    assert "leak" not in "".join(request.headers.values())
    log = "".join(capfd.readouterr())
    assert "unknown keys in its extra are ignored: Authorization, X-Custom" in log
    assert "leak" not in log


def test_login_and_password_travel_as_utf_8(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/me", ME)

    hook.me()

    kind, token = webtool.requests[0].headers["authorization"].split()
    assert kind == "Basic"
    assert base64.b64decode(token).decode() == "öperator:s3cret-pässword-€"


def test_the_connection_is_kept_alive(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/me", ME)

    for _ in range(5):
        hook.me()

    assert len({request.client for request in webtool.requests}) == 1


def test_credentials_are_in_no_log_exception_or_repr(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    webtool.on("GET", "/me", answer(status=503), answer({"message": "no"}, 401))

    error = _failure(hook)

    token = base64.b64encode("öperator:s3cret-pässword-€".encode()).decode()
    seen = "".join([*capfd.readouterr(), str(error), repr(error), repr(vars(error)), repr(hook), repr(hook.settings)])
    assert "Try 1 of 3" in seen
    for secret in ("s3cret", token, "Basic ", "Authorization"):
        assert secret not in seen


@pytest.mark.parametrize(
    "fields",
    [{"host": ""}, {"schema": "ftp"}, {"host": "http://h/path"}, {"host": "http://u:p4ssw0rd@h"}],
)
def test_an_address_that_cannot_work_is_refused(connect: Connect, fields: dict[str, Any]) -> None:
    error = _failure(connect(**fields))

    assert type(error) is WrongConnectionError
    assert "schema must be http or https" in str(error)
    assert "p4ssw0rd" not in str(error)


def test_inherited_run_has_the_timeouts_too(webtool: Any, connect: Connect, answer: Any) -> None:
    webtool.on("GET", "//Ping", answer(fault="hang"))

    with pytest.raises(requests.exceptions.ReadTimeout):
        connect({"timeout": 0.1}, port=webtool.port).run("/webadmin/denodo-scheduler-admin/Ping")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One PEM file with the certificate of ``localhost``, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "localhost.pem"
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(certificate.public_bytes(encoding) + secret)
    return pem


@pytest.fixture
def tls_webtool(webtool: Any, certificate: Path) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    webtool.socket = context.wrap_socket(webtool.socket, server_side=True)
    webtool.on("GET", "/me", ME)
    return webtool


def test_an_unknown_certificate_is_a_configuration_error(tls_webtool: Any, connect: Connect) -> None:
    error = _failure(connect(schema="https", host="localhost", port=tls_webtool.port))

    assert type(error) is ConfigurationError
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert "set verify in its extra to the path of the CA certificate" in str(error)
    assert tls_webtool.requests == []


def test_a_private_ca_is_trusted_when_named(
    tls_webtool: Any, connect: Connect, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/hostname")
    hook = connect({"verify": str(certificate)}, schema="https", host="localhost", port=tls_webtool.port)

    assert hook.me().version == "9.1.0"


def test_unverified_tls_works_and_warns(
    tls_webtool: Any, connect: Connect, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    hook = connect({"verify": False}, schema="https", host="localhost", port=tls_webtool.port)

    assert hook.me().version == "9.1.0"
    hook.me()

    assert len(re.findall("TLS certificates are not verified", "".join(capfd.readouterr()))) == 1
    assert not [warning for warning in recwarn if "Unverified HTTPS" in str(warning.message)]


def test_https_to_a_port_that_speaks_http_is_a_configuration_error(webtool: Any, connect: Connect) -> None:
    error = _failure(connect(schema="https", host="localhost", port=webtool.port))

    assert type(error) is ConfigurationError
    assert "TLS failed" in str(error)
