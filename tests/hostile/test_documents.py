"""Whatever /v3/api-docs says of itself: the request, or one error that names the document, in bounded time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from denodo_ha.server.bodies import BodyError, parse_json
from denodo_ha.server.options import EXPORT_OPTIONS, IMPORT_OPTIONS, OptionsError, bind
from denodo_scheduler.exceptions import ConfigurationError
from support.hostile_server import DOCUMENT, HostileServer, documents, whole

DOCUMENTS = dict(documents())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_odd_document_is_an_options_error(name: str) -> None:
    document = DOCUMENTS[name]
    for direction, options in (("export", EXPORT_OPTIONS), ("import", IMPORT_OPTIONS)):
        with pytest.raises(OptionsError) as caught:
            bind(document if isinstance(document, dict) else {}, direction, options)  # type: ignore[arg-type]
        assert "/v3/api-docs" in str(caught.value)
        assert len(str(caught.value)) < 50_000


def test_the_good_one_binds() -> None:
    assert bind(DOCUMENT, "export", EXPORT_OPTIONS).query["drivers"] == "true"
    assert bind(DOCUMENT, "import", IMPORT_OPTIONS).file is not None


@pytest.mark.parametrize("name", ["a reference to itself", "allOf in a circle", "paths 7", "a document None"])
def test_the_hook_says_so(name: str, server: HostileServer, connect: Any) -> None:
    server.hostile, server.answer = "/v3/api-docs", whole(json.dumps(DOCUMENTS[name]).encode())
    with pytest.raises(ConfigurationError, match="/v3/api-docs"):
        connect().check_import()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "is empty"),
        (b"[" * 5000, "nested too deep"),
        (b"[" * 300 + b"]" * 300, "nested too deep"),
        (b"[1", "cut or damaged"),
        (b"[NaN]", "cut or damaged"),
        (b"[" + b"1" * 5000 + b"]", "cut or damaged"),
        ("[]".encode("utf-16"), "cut or damaged"),
        (b'["\\ud800"]', "cut or damaged"),
    ],
)
def test_json_that_is_none(body: bytes, what: str) -> None:
    with pytest.raises(BodyError, match=what):
        parse_json(body)


def test_json_of_more_values_than_its_limit_allows() -> None:
    with pytest.raises(BodyError, match="more values than are believed"):
        parse_json(b"[" + b"0," * 4000 + b"0]", 100_000)


def test_json_that_is_some() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2.5, null, "\xc3\xa9"]}') == {"a": [1, 2.5, None, "é"]}
    assert parse_json(b"[" * 199 + b"]" * 199)
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}
