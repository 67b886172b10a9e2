"""One HTTP exchange with a web tool: every way it can fail becomes an exception that a person understands."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from requests import Response
from urllib3.exceptions import HTTPError, NewConnectionError

from denodo_ha.errors import causes, redacted, tls_next_step
from denodo_ha.server.answers import REFUSALS, AnswerError, is_html
from denodo_ha.server.bodies import ANSWER_LIMIT, CHUNK, ERROR_LIMIT, BodyError, Unpacker, parse_json
from denodo_scheduler.client.exchange import Exchange, ensure_in_time, within
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    ServerBusyError,
    TokenRefusedError,
    UnexpectedAnswerError,
    UnreachableError,
)

T = TypeVar("T")

RETRY_WAIT = tenacity.wait_exponential(multiplier=0.5, max=3.5) + tenacity.wait_random(0, 0.5)
"""Pause between the tries of an idempotent request, in seconds."""

_TRIES = 3
_WORTH_A_RETRY = (UnreachableError, NoAnswerError, ServerBusyError)
_LONGEST_MESSAGE = 400
_KINDS: dict[int, type[DenodoSchedulerError]] = {
    **dict.fromkeys((401, 403, 404, 407), ConfigurationError),
    **dict.fromkeys((502, 503, 504), ServerBusyError),
}


@dataclass(frozen=True)
class Call:
    """
    Who is asked for what. It knows how to say what went wrong.

    :param conn_id: the Airflow connection.
    :param server: the Scheduler server behind the web tool, ``//host:port``.
    :param method: HTTP method, or ``export``, ``import`` or ``ping`` for the vendor's script.
    :param path: path without query, or that of the script.
    :param answer_limit: bytes that an answer may have, unpacked. :param error_limit: bytes that are read of an error.
    """

    conn_id: str
    server: str
    method: str
    path: str
    answer_limit: int = ANSWER_LIMIT
    error_limit: int = ERROR_LIMIT

    def error(
        self,
        kind: type[DenodoSchedulerError],
        what: str,
        *,
        status: int | None = None,
        server_message: str | None = None,
    ) -> DenodoSchedulerError:
        """Make an exception of ``what``, a sentence without full stop, and of the place where it happened."""
        said = f'. The server says: "{server_message}"' if server_message else ""
        where = f"connection {self.conn_id!r}, server {self.server}, {self.method} {self.path}"
        return kind(
            " ".join(f"{what[0].upper()}{what[1:]}{said} ({where})".split()),
            status=status,
            server_message=server_message,
            method=self.method,
            path=self.path,
        )

    @property
    def unknown_effect(self) -> str:
        """What to add to a message that tells of no answer; empty where there is no effect."""
        harmless = self.method in {"GET", "export", "ping"}
        return "" if harmless else ". Its effect is unknown: read the server before a retry"

    @contextmanager
    def within(self, seconds: float, setting: str) -> Iterator[Exchange]:
        """Give the block so many ``seconds``, tries and pauses included.

        :param setting: what a person raises in the connection's extra to give it more.
        :raises NoAnswerError: they are over, whatever the request met with then.
        :raises UnreachableError: nothing was sent, because it would have been too late.
        """
        with within(seconds) as exchange:
            try:
                yield exchange
            except (NoAnswerError, UnexpectedAnswerError, ConfigurationError) as error:
                if exchange.withheld:
                    raise self.error(
                        UnreachableError,
                        "nothing was sent, because it would have been too late: this process was stopped meanwhile, or "
                        "is very slow. Try again, and look at the load of its machine if it stays so",
                    ) from None
                if not exchange.over or error.status is not None or isinstance(error, TokenRefusedError):
                    raise
                raise self._no_answer(
                    f"no whole answer within the deadline of {seconds:g} s. Look why the web tool or the network is "
                    f"so slow, or raise {setting} in the connection's extra"
                ) from None

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn what ``requests`` raises while a request is sent or its answer read into our exceptions."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            if any(isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) for cause in causes(error)):
                raise self._cut(error) from None
            said = _detail(error)
            raise self.error(ConfigurationError, f"TLS failed: {said}. {tls_next_step(said)}") from None
        except (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError) as error:
            raise self._unreachable(error) from None
        except requests.exceptions.ReadTimeout:
            raise self._no_answer(
                "no answer in time. Check the server's load, or raise timeout (transfer_timeout for export and import) "
                "in the connection's extra"
            ) from None
        except requests.exceptions.ConnectionError as error:
            not_connected = isinstance(_reason(error), NewConnectionError)
            raise (self._unreachable(error) if not_connected else self._cut(error)) from None
        except (requests.exceptions.ChunkedEncodingError, HTTPError) as error:
            raise self._cut(error) from None
        except BodyError as error:
            raise self.error(
                UnexpectedAnswerError,
                f"the answer {error}. Try again; look into the web tool's log if it stays, or raise answer_limit "
                "(transfer_limit for export) in the connection's extra where it is meant to be that large",
            ) from None
        except (requests.exceptions.RequestException, UnicodeError) as error:
            raise self.error(
                ConfigurationError,
                f"no such request can be sent ({redacted(str(error))}). Check host, port and schema of the connection",
            ) from None
        except AnswerError as error:
            raise self.error(
                UnexpectedAnswerError,
                f"the answer is not what this version understands, field {error}. "
                "Compare the web tool's version with those that are supported, and check base_path of the connection",
            ) from None

    def _unreachable(self, error: Exception) -> DenodoSchedulerError:
        detail = _detail(error).rsplit(": ", 1)[-1]
        return self.error(
            UnreachableError,
            f"the web tool cannot be reached: {detail}. Check that it runs, and host and port of the connection",
        )

    def _cut(self, error: Exception) -> DenodoSchedulerError:
        return self._no_answer(
            f"the connection was cut before the whole answer came: {_detail(error)}. Check the web tool's log"
        )

    def _no_answer(self, what: str) -> DenodoSchedulerError:
        return self.error(NoAnswerError, what + self.unknown_effect)

    def check(self, response: Response) -> None:
        """Raise the exception that belongs to the answer's status; 2xx passes."""
        status = response.status_code
        if status < 300:
            return
        if status < 400:
            raise self.error(
                ConfigurationError,
                f"the web tool redirects to {_place(response.headers.get('Location', ''))} ({status}). "
                "Put the address it redirects to into the connection (schema, host, port, base_path)",
                status=status,
            )
        what = REFUSALS.get(status, "the server failed" if status > 504 else "the server refused the request")
        kind = _KINDS.get(status, RequestError)
        raise self.error(kind, f"{status}: {what}", status=status, server_message=self._server_message(response))

    def chunks(self, response: Response, limit: int) -> Iterator[bytes]:
        """
        Give the body of an answer a piece at a time, unpacked.

        :raises BodyError: it has more than ``limit`` bytes, or its compression is damaged.
        """
        # Taken away from urllib3, whose decoders may hold any amount of memory.
        unpacker = Unpacker(response.raw.headers.pop("Content-Encoding", ""), limit)
        for packed in _packed(response):
            yield from unpacker.feed(packed)
        unpacker.end()
        ensure_in_time()

    def body(self, response: Response) -> bytes:
        """Return the body of an answer."""
        body = bytearray()
        for chunk in self.chunks(response, self.answer_limit):
            body += chunk
        return bytes(body)

    def json(self, response: Response) -> Any:
        """Return the answer's JSON."""
        body = self.body(response)
        self.refuse_html(response, body[:64])
        return parse_json(body, self.answer_limit)

    def refuse_html(self, response: Response, head: bytes) -> None:
        """Raise if the answer is a page for people, such as a login page."""
        if is_html(response.headers.get("Content-Type", ""), head):
            raise self.error(
                ConfigurationError,
                f"the answer ({response.status_code}) is an HTML page: a login page or another application. "
                "Check host, port and base_path of the connection",
                status=response.status_code,
            )

    def _server_message(self, response: Response) -> str | None:
        """What an error body says: Denodo's ``message`` with its ``subErrors``, or short plain text.

        One that is late, damaged or too long says nothing; the status counts all the same.
        """
        body = bytearray()
        with suppress(BodyError, DenodoSchedulerError), self.translating():
            for chunk in self.chunks(response, self.error_limit):
                body += chunk
        try:
            error = parse_json(body)
        except BodyError:
            is_text = response.headers.get("Content-Type", "").startswith("text/plain")
            return " ".join(body.decode(errors="replace").split())[:_LONGEST_MESSAGE] if is_text else None
        if not isinstance(error, dict) or not error.get("message"):
            return None
        details = f" {error['subErrors']}" if error.get("subErrors") else ""
        return f"{error['message']}{details}"[:_LONGEST_MESSAGE]


def _packed(response: Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK)
    except ValueError as error:  # a negative length of a chunk gets that far
        raise requests.exceptions.ChunkedEncodingError(error) from None


def retrying(attempt: Callable[[], T], warn: Callable[[str], None], exchange: Exchange | None = None) -> T:
    """Run an idempotent ``attempt`` up to three times while connections fail or the server is busy.

    :param exchange: there is no other try when its deadline comes before.
    """

    def late(state: tenacity.RetryCallState) -> bool:
        return exchange is not None and exchange.left() <= state.upcoming_sleep

    def before_sleep(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        warn(f"Try {state.attempt_number} of {_TRIES} failed, trying again: {state.outcome.exception()}")

    return tenacity.Retrying(
        stop=lambda state: state.attempt_number >= _TRIES or late(state),
        wait=RETRY_WAIT,
        retry=tenacity.retry_if_exception_type(_WORTH_A_RETRY),
        before_sleep=before_sleep,
        reraise=True,
    )(attempt)


def server_time(response: Response) -> datetime | None:
    """Return the moment of the answer by the clock of the machine that gave it, UTC; None where it does not tell it."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def _place(location: str) -> str:
    """Where a redirect leads, without what may be secret in it."""
    try:
        target = urlsplit(location)
        host = target.hostname
    except ValueError:
        return "an address that is none"
    place = f"{target.scheme}://{host}{target.path}" if host else target.path
    return place.partition(";")[0][:_LONGEST_MESSAGE] or "nowhere"


def _reason(error: BaseException) -> BaseException | str:
    """What ``requests`` wrapped: the argument of its exception, or that argument's own reason."""
    wrapped = error.args[0] if error.args else error
    return getattr(wrapped, "reason", wrapped)


def _detail(error: BaseException) -> str:
    reason = _reason(error)
    text = str(reason.args[-1]) if isinstance(reason, Exception) and reason.args else str(reason)
    return redacted(text.rstrip("."))[:_LONGEST_MESSAGE]
