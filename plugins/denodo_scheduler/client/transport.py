"""One HTTP exchange with a web tool: every way it can fail becomes an exception that a person understands."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from requests import Response
from urllib3.exceptions import NewConnectionError

from denodo_ha.errors import causes, redacted, tls_next_step
from denodo_ha.server.answers import REFUSALS, AnswerError, is_html
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    ServerBusyError,
    UnexpectedAnswerError,
    UnreachableError,
)

T = TypeVar("T")

RETRY_WAIT = tenacity.wait_exponential_jitter(multiplier=0.5, max=4, jitter=0.5)
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
    """

    conn_id: str
    server: str
    method: str
    path: str

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
        except requests.exceptions.ChunkedEncodingError as error:
            raise self._cut(error) from None
        except requests.exceptions.ContentDecodingError:
            raise self.error(UnexpectedAnswerError, "the answer's compression is damaged. Try again") from None
        except requests.exceptions.RequestException as error:
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
            target = urlsplit(response.headers.get("Location", ""))
            place = f"{target.scheme}://{target.hostname}{target.path}" if target.hostname else target.path
            raise self.error(
                ConfigurationError,
                f"the web tool redirects to {place.partition(';')[0] or 'nowhere'} ({status}). "
                "Put the address it redirects to into the connection (schema, host, port, base_path)",
                status=status,
            )
        what = REFUSALS.get(status, "the server failed" if status > 504 else "the server refused the request")
        kind = _KINDS.get(status, RequestError)
        raise self.error(kind, f"{status}: {what}", status=status, server_message=_server_message(response))

    def json(self, response: Response) -> Any:
        """Return the answer's JSON."""
        self.refuse_html(response, response.content[:64])
        try:
            return response.json()
        except ValueError:
            content = "is empty" if not response.content else f"({len(response.content)} bytes) is cut or damaged"
            raise self.error(
                UnexpectedAnswerError, f"the answer {content}: it is not JSON. Try again", status=response.status_code
            ) from None

    def refuse_html(self, response: Response, head: bytes) -> None:
        """Raise if the answer is a page for people, such as a login page."""
        if is_html(response.headers.get("Content-Type", ""), head):
            raise self.error(
                ConfigurationError,
                f"the answer ({response.status_code}) is an HTML page: a login page or another application. "
                "Check host, port and base_path of the connection",
                status=response.status_code,
            )


def retrying(attempt: Callable[[], T], warn: Callable[[str], None]) -> T:
    """Run an idempotent ``attempt`` up to three times while connections fail or the server is busy."""

    def before_sleep(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        warn(f"Try {state.attempt_number} of {_TRIES} failed, trying again: {state.outcome.exception()}")

    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=RETRY_WAIT,
        retry=tenacity.retry_if_exception_type(_WORTH_A_RETRY),
        before_sleep=before_sleep,
        reraise=True,
    )(attempt)


def server_time(response: Response) -> datetime:
    """Return the moment of the answer by the clock of the machine that gave it, UTC."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _reason(error: BaseException) -> BaseException | str:
    """What ``requests`` wrapped: the argument of its exception, or that argument's own reason."""
    wrapped = error.args[0] if error.args else error
    return getattr(wrapped, "reason", wrapped)


def _detail(error: BaseException) -> str:
    reason = _reason(error)
    text = str(reason.args[-1]) if isinstance(reason, Exception) and reason.args else str(reason)
    return redacted(text.rstrip("."))


def _server_message(response: Response) -> str | None:
    """What an error body says: Denodo's ``message`` with its ``subErrors``, or short plain text."""
    body = next(response.iter_content(65536), b"")
    try:
        error = json.loads(body)
    except ValueError:
        is_text = response.headers.get("Content-Type", "").startswith("text/plain")
        return " ".join(body.decode(errors="replace").split())[:_LONGEST_MESSAGE] if is_text else None
    if not isinstance(error, dict) or not error.get("message"):
        return None
    details = f" {error['subErrors']}" if error.get("subErrors") else ""
    return f"{error['message']}{details}"[:_LONGEST_MESSAGE]
