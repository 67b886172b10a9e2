from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from denodo_ha.server.address import server_uri
from denodo_ha.server.connection import Settings, parse_extra


def _parse(**extra: Any) -> Settings:
    return parse_extra("web", json.dumps(extra))[0]


@pytest.mark.parametrize("extra", [None, "", "{}", '{"verify": "", "timeout": null}'])
def test_an_empty_extra_means_the_defaults(extra: str | None) -> None:
    settings, unknown = parse_extra("web", extra)

    assert unknown == []
    assert settings.scheduler_uri == "//localhost:8000"
    assert settings.base_path == "/webadmin/denodo-scheduler-admin"
    assert settings.verify is True
    assert settings.cert is None
    assert settings.timeout == (5, 10)
    assert settings.transfer_timeout == 600
    assert settings.export_options == settings.import_options == {}
    assert settings.metadata_password is None


@pytest.mark.parametrize(
    ("given", "timeout"),
    [(30, (5, 30)), ("30", (5, 30)), (0.5, (5, 0.5)), ([2, 60], (2, 60)), ("[2, 60]", (2, 60))],
)
def test_timeout_is_the_wait_for_an_answer_or_both(given: Any, timeout: tuple[float, float]) -> None:
    assert _parse(timeout=given).timeout == timeout


def test_text_of_a_connection_given_as_uri_is_understood(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()

    settings = _parse(verify="false", transfer_timeout="60", export_options='{"permissions": true}')

    assert settings.verify is False
    assert settings.transfer_timeout == 60
    assert settings.export_options == {"permissions": True}
    assert _parse(verify="False").verify is False
    assert _parse(verify=str(ca)).verify == str(ca)


def test_a_client_certificate_is_one_file_or_a_pair(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    key.touch()

    assert _parse(cert=str(cert)).cert == str(cert)
    assert _parse(cert=[str(cert), str(key)]).cert == (str(cert), str(key))


@pytest.mark.parametrize(("given", "path"), [("/", ""), ("scheduler", "/scheduler"), ("/a/b/", "/a/b")])
def test_base_path_begins_with_a_slash_and_ends_without(given: str, path: str) -> None:
    assert _parse(base_path=given).base_path == path


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("scheduler_uri", "localhost:8000", "//host:port"),
        ("scheduler_uri", "//localhost", "//host:port"),
        ("base_path", "http://host/path", "only a path"),
        ("verify", "/no/such/ca.pem", "path of a file with CA certificates"),
        ("verify", 1, "path of a file with CA certificates"),
        ("cert", "/no/such/cert.pem", "path of a PEM file"),
        ("timeout", "soon", "number of seconds"),
        ("timeout", True, "number of seconds"),
        ("timeout", -1, "number of seconds"),
        ("timeout", [1, 2, 3], "[connect, read]"),
        ("transfer_timeout", 0, "greater than 0"),
        ("transfer_timeout", "Infinity", "finite number"),
        ("timeout", [5, 1e12], "number of seconds"),
        ("deadline", -1, "greater than 0"),
        ("deadline", 1e12, "less than or equal to 604800"),
        ("transfer_deadline", "soon", "valid number"),
        ("answer_limit", 0, "greater than 0"),
        ("error_limit", 1.5, "integer"),
        ("transfer_limit", "64 MB", "integer"),
        ("export_options", "drivers", "JSON object"),
        ("import_options", ["drivers"], "JSON object"),
    ],
)
def test_a_bad_value_names_its_key_and_what_is_expected(key: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match="Connection 'web'") as caught:
        _parse(**{key: value})

    assert repr(key) in str(caught.value)
    assert expected in str(caught.value)


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"'timeout'.*'export_options'"):
        _parse(timeout="x", export_options="y")


def test_a_deadline_follows_from_the_timeout() -> None:
    assert (_parse().deadline, _parse().transfer_deadline) == (60, 3600)
    assert (_parse(timeout=[1, 2]).deadline, _parse(transfer_timeout=10).transfer_deadline) == (12, 60)
    assert _parse(transfer_timeout=604800).transfer_deadline == 604800
    assert (_parse(deadline="30").deadline, _parse(transfer_deadline=5).transfer_deadline) == (30, 5)


def test_what_follows_from_a_mistake_is_not_one_itself() -> None:
    with pytest.raises(ValueError, match="Connection 'web'") as caught:
        _parse(timeout="x", transfer_timeout=0)
    assert "deadline" not in str(caught.value)


@pytest.mark.parametrize("extra", ["{", "[]", '"text"', "7", "[" * 100_000])
def test_an_extra_that_is_no_object_is_refused(extra: str) -> None:
    with pytest.raises(ValueError, match="Connection 'web': the extra field is not a JSON object"):
        parse_extra("web", extra)


def test_unknown_keys_are_reported_and_harm_nothing() -> None:
    settings, unknown = parse_extra("web", '{"X-Token": "a", "tiemout": 3}')

    assert unknown == ["X-Token", "tiemout"]
    assert settings.timeout == (5, 10)


@pytest.mark.parametrize("password", ["x&y/", "Airflow"])
def test_a_metadata_password_that_airflow_would_not_mask_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match=r"'metadata_password': expected at least 5 characters") as error:
        _parse(metadata_password=password)
    assert password not in str(error.value).replace("Airflow does not", "")


def test_the_metadata_password_is_not_shown() -> None:
    assert "hush-hush" not in repr(_parse(metadata_password="hush-hush"))


@pytest.mark.parametrize("uri", ["//localhost:8000", "//10.0.0.1:1", "//[::1]:8000", "//scheduler-1.example.org:8000"])
def test_server_uri_accepts_host_and_port(uri: str) -> None:
    assert server_uri(uri) == uri


@pytest.mark.parametrize("uri", ["", "//:8000", "http://h:8000", "//h:port", "//u:p@h:8000", "//h:8000/x", "// h:8000"])
def test_server_uri_refuses_anything_else(uri: str) -> None:
    with pytest.raises(ValueError, match="not of the form //host:port"):
        server_uri(uri)
