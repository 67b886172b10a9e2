"""Whatever can go wrong with a request: what proves nothing about the server is no vote for its being down.

The classes of errors are asked of the libraries themselves, so that one that is new there is met here.
"""

from __future__ import annotations

import errno
import http
import json
import os
import socket
import ssl
from collections.abc import Iterator
from itertools import product
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.errors import is_silence
from denodo_ha.server.liveness import PROOF, NotProven, check_body, check_status
from denodo_ha.verdict import Answer, Verdict, verdict
from denodo_scheduler.client.endpoint import classified

VOTES = (Answer.FAILED, Answer.NO_ANSWER)
SILENT_NUMBERS = {
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTDOWN,
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETRESET,
}  # fmt: skip
SILENT_OF_HTTPX = {
    httpx.ConnectTimeout, httpx.ReadTimeout, httpx.WriteTimeout, httpx.TimeoutException, httpx.NetworkError,
    httpx.ConnectError, httpx.ReadError, httpx.WriteError,
}  # fmt: skip
SILENT_OF_SYSTEM = (ConnectionError, TimeoutError)
CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""A peer that closes in the midst of TLS has cut the connection."""


def below(base: type[BaseException]) -> Iterator[type[BaseException]]:
    yield base
    for each in base.__subclasses__():
        yield from below(each)


def made(kind: type[BaseException]) -> Exception:
    """An error of this class, however its constructor wants to be called."""
    error = kind.__new__(kind)
    BaseException.__init__(error, "it failed")
    assert isinstance(error, Exception)
    return error


def of_httpx() -> list[type[BaseException]]:
    own = [each for each in vars(httpx).values() if isinstance(each, type) and issubclass(each, Exception)]
    return sorted({kind for base in own for kind in below(base)}, key=lambda kind: kind.__qualname__)


STANDARD = {"builtins", "socket", "ssl", "http.client", "gzip", "io", "shutil", "httpx", "httpcore"}
OF_SYSTEM = sorted(
    {kind for kind in below(OSError) if kind.__module__ in STANDARD},
    key=lambda kind: f"{kind.__module__}.{kind.__qualname__}",
)


def wrapped(inner: BaseException) -> Iterator[Exception]:
    """As httpx gives it: by itself, below an error of connecting, and with another library in between."""
    assert isinstance(inner, Exception)
    yield inner
    outer: Exception = httpx.ConnectError("All connection attempts failed")
    outer.__cause__ = inner
    yield outer
    between = OSError("All connection attempts failed")
    between.__cause__ = inner
    outer = httpx.ConnectError("All connection attempts failed")
    outer.__cause__ = between
    yield outer


@pytest.mark.parametrize("kind", of_httpx(), ids=lambda kind: kind.__qualname__)
def test_of_the_errors_of_the_library_only_silence_is_a_vote(kind: type[BaseException]) -> None:
    error = made(kind)
    answer, said = classified(error, proxied=False)
    assert (answer in VOTES) is (kind in SILENT_OF_HTTPX), said
    assert answer is not Answer.UP


def test_the_library_has_errors_of_each_sort() -> None:
    assert set(of_httpx()) > SILENT_OF_HTTPX
    assert {httpx.PoolTimeout, httpx.DecodingError, httpx.TooManyRedirects, httpx.InvalidURL} <= set(of_httpx())


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError])
def test_a_proxy_that_cannot_be_reached_is_no_vote(kind: type[Exception]) -> None:
    assert classified(made(kind), proxied=True)[0] is Answer.MISCONFIGURED


@pytest.mark.parametrize("said", ["Server disconnected without sending a response.", "illegal header line"])
def test_only_a_cut_of_http_is_silence(said: str) -> None:
    expected = Answer.NO_ANSWER if "disconnected" in said else Answer.MISCONFIGURED
    assert classified(httpx.RemoteProtocolError(said), proxied=False)[0] is expected


@pytest.mark.parametrize("kind", OF_SYSTEM, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_of_the_errors_of_the_system_only_silence_is_a_vote(kind: type[BaseException]) -> None:
    """Without a number, by its class alone."""
    wanted = issubclass(kind, (*SILENT_OF_SYSTEM, *CUT))
    inner = made(kind)
    assert (classified(inner, proxied=False)[0] in VOTES) is wanted
    outer = httpx.ConnectError("it failed")
    outer.__cause__ = inner
    assert (classified(outer, proxied=False)[0] in VOTES) is wanted


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=lambda number: errno.errorcode[number])
def test_of_the_numbers_of_the_system_only_silence_is_a_vote(number: int) -> None:
    for error in wrapped(OSError(number, os.strerror(number))):
        assert (classified(error, proxied=False)[0] in VOTES) is (number in SILENT_NUMBERS)


CODES = [getattr(socket, name) for name in dir(socket) if name.startswith("EAI_")]


@pytest.mark.parametrize("kind", [socket.gaierror, socket.herror])
def test_no_failure_of_a_name_server_is_a_vote_whatever_its_number(kind: type[OSError]) -> None:
    """On some machines these numbers are those of other errors."""
    for number in (*CODES, *SILENT_NUMBERS):
        for error in wrapped(kind(number, "Name or service not known")):
            assert classified(error, proxied=False)[0] is Answer.MISCONFIGURED
            assert not is_silence(error)


def tls_errors() -> Iterator[ssl.SSLError]:
    reasons = ["CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD"]
    for kind, reason, number in product(below(ssl.SSLError), reasons, [1, errno.ECONNRESET, errno.EPIPE]):
        if kind.__module__ == "ssl" and not issubclass(kind, CUT):
            assert issubclass(kind, ssl.SSLError)
            yield kind(number, f"[SSL: {reason}] it failed (_ssl.c:1000)")


def test_no_failure_of_tls_is_a_vote() -> None:
    assert {type(error) for error in tls_errors()} >= {ssl.SSLError, ssl.SSLCertVerificationError}
    for inner in tls_errors():
        for error in wrapped(inner):
            answer, said = classified(error, proxied=False)
            assert (answer, said.startswith("TLS failed")) == (Answer.MISCONFIGURED, True)


def answer_of(status: int) -> Answer:
    try:
        check_status("/me", status)
    except NotProven as found:
        return found.answer
    return Answer.UP


NO_VOTE = {
    http.HTTPStatus.NOT_IMPLEMENTED, http.HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    http.HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED,
}  # fmt: skip


@pytest.mark.parametrize("status", range(200, 1000))
def test_only_a_server_error_is_a_vote(status: int) -> None:
    """Whatever a redirect, a refusal, a captive portal or a status that nobody has defined means."""
    assert (answer_of(status) is Answer.FAILED) is (500 <= status < 600 and status not in NO_VOTE)
    assert (answer_of(status) is Answer.UP) is (status < 300 and status not in (204, 205))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(["text/html", "text/html;charset=UTF-8", "text/plain", "application/xml", "image/png"])


def said_by(path: str, kind: str, body: bytes) -> Answer:
    try:
        check_body(path, kind, body)
    except NotProven as found:
        return found.answer
    return Answer.UP


@given(st.sampled_from(sorted(PROOF)), st.binary(max_size=80), KINDS)
def test_no_body_of_another_application_is_a_vote(path: str, body: bytes, kind: str) -> None:
    assert said_by(path, kind, body) in (Answer.UP, Answer.MISCONFIGURED)


@given(st.sampled_from(sorted(PROOF)), JSON)
def test_no_whole_json_is_a_vote(path: str, content: Any) -> None:
    """Of another application, of an error page, or of a version that nobody knows."""
    said = said_by(path, "application/json", json.dumps(content).encode())
    assert said is (Answer.UP if PROOF[path](content) else Answer.MISCONFIGURED)


@given(st.tuples(*[st.sampled_from(Answer)] * 3))
def test_what_is_no_vote_on_either_path_makes_nobody_down(said: tuple[Answer, Answer, Answer]) -> None:
    if verdict(*said) is Verdict.DOWN:
        assert said[0] in VOTES
        assert said[1] in VOTES
        assert said[2] is Answer.UP
