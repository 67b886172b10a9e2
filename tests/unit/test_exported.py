from __future__ import annotations

import base64
import json
import os
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.server.bodies import BodyError, TooLargeError
from denodo_ha.server.exported import unasked, unwrapped
from denodo_ha.server.options import EXPORT_OPTIONS, merged

FILE = b"PK\x03\x04" + os.urandom(1000)
TEXT = base64.b64encode(FILE).decode()


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def read(body: bytes, size: int = 100, limit: int = 10_000) -> bytes:
    return b"".join(unwrapped(pieces(body, size), limit))


@given(
    st.binary(max_size=300), st.integers(1, 50), st.sampled_from(["", "\r\n"]), st.sampled_from(["/", "\\/", "\\u002f"])
)
def test_base64_in_json_is_decoded_however_it_is_cut_and_escaped(rest: bytes, size: int, end: str, slash: str) -> None:
    content = b"PK\x03\x04" + rest
    text = base64.b64encode(content).decode()
    lines = end.join(text[start : start + 76] for start in range(0, len(text), 76))
    quoted = json.dumps(lines)[1:-1].replace("/", slash).replace("=", "\\u003d")
    for body in (f'{{"name": "x", "data": {{"file": "{quoted}"}}, "done": true}}', f'"{quoted}"', f'[ "{quoted}" ]\n'):
        assert read(body.encode(), size) == content


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"content": "data:application/zip;base64," + TEXT}),
        json.dumps({"content": TEXT.rstrip("=")}),
        json.dumps({"content": base64.urlsafe_b64encode(FILE).decode()}),
        "\ufeff" + json.dumps({"content": TEXT}),
        json.dumps({"log": "x" * 60_000, "content": TEXT}),
    ],
)
def test_other_ways_of_writing_it(body: str) -> None:
    assert read(body.encode()) == FILE


@pytest.mark.parametrize("body", [FILE, b"", b"PK", b"<html>", b'{"message": "no"}', b'{"UEsDBAAA": 1}', b"[1, 2]"])
def test_anything_else_is_given_as_it_is(body: bytes) -> None:
    assert read(body, 3) == body


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (json.dumps({"content": TEXT})[:-300], "ends in the middle"),
        (json.dumps({"content": TEXT})[:-1], "cut or damaged"),
        (json.dumps({"content": TEXT[:400] + "*" + TEXT[401:]}), "base64 is damaged"),
        (json.dumps({"content": TEXT[:401].rstrip("=")}), "base64 is damaged"),
        (json.dumps({"one": TEXT, "two": TEXT}), "carries two files"),
        ('{"content": ' + json.dumps(TEXT) + ' "more": 1}', "cut or damaged"),
        (json.dumps({"content": TEXT, "log": "x" * 70_000}), "JSON after the file"),
    ],
)
def test_what_is_cut_or_damaged_is_an_error(body: str, what: str) -> None:
    with pytest.raises(BodyError, match=what) as caught:
        read(body.encode())
    assert TEXT[:20] not in str(caught.value)


@pytest.mark.parametrize("body", [FILE, json.dumps({"content": TEXT}).encode()])
def test_the_limit_is_that_of_the_file(body: bytes) -> None:
    assert read(body, limit=len(FILE)) == FILE
    with pytest.raises(TooLargeError, match=f"larger than {len(FILE) - 1} bytes"):
        read(body, limit=len(FILE) - 1)


def test_memory_does_not_grow_with_the_file() -> None:
    def body() -> Iterator[bytes]:
        yield b'{"content": "UEsDBA'
        for _ in range(400):
            yield b"A" * 65536
        yield b'=="}'

    tracemalloc.start()
    size = sum(len(piece) for piece in unwrapped(body(), 1 << 30))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 19_000_000
    assert peak < 2_000_000


PLACE = {"in": "query", "name": "exportConfiguration"}


@pytest.mark.parametrize("option", ["config", "permissions"])
@pytest.mark.parametrize(
    ("wish", "delivered"),
    [
        (False, False),
        (None, False),
        ("false", False),
        ("NONE", False),
        (0, False),
        ({"value": False}, False),
        (PLACE, False),
        ({**PLACE, "value": False}, False),
        ({**PLACE, "value": "false"}, False),
        ({**PLACE, "value": None}, False),
        (True, True),
        ("true", True),
        ({"value": True}, True),
        ({**PLACE, "value": True}, True),
        ({**PLACE, "value": "TRUE"}, True),
    ],
)
def test_what_belongs_to_a_host_is_delivered_only_where_it_is_wanted(option: str, wish: Any, delivered: bool) -> None:
    options = merged(EXPORT_OPTIONS, {option: wish})
    assert unasked(f"data/resources/{option}/of-the-master.txt", options) is not delivered
    assert not unasked(f"data/projects/{option}/job/load.xml", options)
    assert not unasked("data/resources/drivers/x.jar", options)


def test_an_option_that_is_not_there_asks_for_nothing() -> None:
    assert unasked("data/resources/config-dbStored/x", {})
    assert not unasked("data/resources/config/x", merged({"config": True}, {"config": PLACE}))
