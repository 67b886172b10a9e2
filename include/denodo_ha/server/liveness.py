"""What one answer of a web tool proves about the Scheduler server behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from denodo_ha.server.answers import REFUSALS, is_html, version
from denodo_ha.server.bodies import ANSWER_LIMIT, BodyError, TooLargeError, parse_json
from denodo_ha.verdict import Answer

PROOF: dict[str, Callable[[Any], bool]] = {
    "/me": lambda content: version(content) is not None,
    "/projects": lambda content: isinstance(content, list),
}
"""What a living server answers to both of these requests."""


_OF_OTHERS = (501, 505, 511)
"""These say that a question cannot be served, or that the network wants a login, and nothing of a server behind."""
_WITHOUT_BODY = (204, 205)


class NotProven(Exception):
    """An answer that does not prove a living server."""

    def __init__(self, answer: Answer, what: str) -> None:
        super().__init__(what)
        self.answer = answer


def check_status(path: str, status: int) -> None:
    """Check the status of the answer to GET ``path``.

    :raises NotProven: it is none of success.
    """
    if 500 <= status < 600 and status not in _OF_OTHERS:
        raise NotProven(Answer.FAILED, f"{status} to GET {path}")
    if status >= 300 or status in _WITHOUT_BODY:
        meaning = REFUSALS.get(status, "no answer" if status < 300 else "a redirect" if status < 400 else "refused")
        raise NotProven(Answer.MISCONFIGURED, f"{status} to GET {path}: {meaning}")


def unreadable(path: str, error: BodyError) -> NotProven:
    """What a body proves that cannot be read; one that is too large may be that of a living server."""
    if isinstance(error, TooLargeError):
        what = f"the answer to GET {path} {error}; raise answer_limit in the connection's extra if it is meant to be"
        return NotProven(Answer.MISCONFIGURED, what)
    return NotProven(Answer.FAILED, f"the answer to GET {path} {error}")


def check_body(path: str, content_type: str, body: bytes, limit: int = ANSWER_LIMIT) -> Any:
    """Check the body of the answer to GET ``path``, one of :data:`PROOF`, and return what it says.

    :param limit: the limit of the body in bytes.
    :raises NotProven: it is not that of a living server.
    """
    if is_html(content_type, body[:64]):
        raise NotProven(Answer.MISCONFIGURED, f"an HTML page to GET {path}: a login page or another application")
    try:
        content = parse_json(body, limit)
    except BodyError as error:
        if content_type and "json" not in content_type.casefold():
            what = (
                f"the answer to GET {path} is of the kind {content_type[:40]!r}: it is another application that answers"
            )
            raise NotProven(Answer.MISCONFIGURED, what) from None
        raise unreadable(path, error) from None
    if not PROOF[path](content):
        raise NotProven(
            Answer.MISCONFIGURED, f"the answer to GET {path} is not that of Denodo Scheduler; check host and base_path"
        )
    return content


def fingerprint(projects: Any) -> frozenset[tuple[str, str]]:
    """Return the ids and names in the answer to ``/projects``: equal where one server has answered twice."""
    each = (element for element in projects if isinstance(element, dict))
    return frozenset((str(element.get("id")), str(element.get("name"))) for element in each)
