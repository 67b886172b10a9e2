"""Logins that a server refuses: asked again and again, they would lock the account, for people too."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import httpx

from denodo_ha.server.liveness import NotProven
from denodo_ha.verdict import Answer

if TYPE_CHECKING:
    from denodo_scheduler.client.endpoint import Endpoint

LIMIT = 3
"""So many refused logins in a row are sent at the pace of the probe; one more where two paths are asked at once."""
PAUSE = 300.0
"""Seconds between two logins after that."""
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)

_Login = tuple[str, str, object]


class Logins:
    """How often the login of each connection was refused in a row, over all paths on which it is used.

    A connection that has changed in login, password or address is another login, which is asked at once. Silence is no
    refusal: a server that dies meanwhile is noticed at the pace of the probe as soon as the pause is over.

    :param limit: how many are sent before the first pause.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._refused: dict[_Login, tuple[int, float]] = {}

    def guard(self, endpoint: Endpoint, client: httpx.AsyncClient) -> None:
        """Count what ``client`` is answered, and send nothing while a pause lasts."""
        client.event_hooks = {
            "request": [partial(self._before, endpoint)],
            "response": [partial(self._after, endpoint)],
        }

    async def _before(self, endpoint: Endpoint, request: httpx.Request) -> None:
        count, last = self._refused.get(_login(endpoint, request), (0, 0.0))
        left = last + PAUSE - monotonic()
        if count >= self._limit and left > 0:
            raise NotProven(
                Answer.MISCONFIGURED,
                f"the login was refused {count} times in a row, and so as not to lock the account it is tried again in "
                f"{left:.0f} s only, or when the connection has been corrected",
            )

    async def _after(self, endpoint: Endpoint, response: httpx.Response) -> None:
        login = _login(endpoint, response.request)
        if response.status_code in _REFUSED:
            count, _ = self._refused.get(login, (0, 0.0))
            self._refused[login] = count + 1, monotonic()
        elif response.is_success:
            self._refused.pop(login, None)


def _login(endpoint: Endpoint, request: httpx.Request) -> _Login:
    login = endpoint.tokens.login if endpoint.tokens else request.headers.get("Authorization", "")
    return endpoint.conn_id, endpoint.url, login
