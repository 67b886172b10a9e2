"""Find out whether two pairs have jobs of one server in common: which servers each of them holds, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, TypeAdapter
from pydantic.types import StringConstraints

from denodo_ha.reason import Reason
from denodo_ha.scope import Scope

HOLDS_FOR = timedelta(days=1)
"""How long after it was last seen a pair still holds its servers."""
RENEWED = timedelta(hours=1)
"""How old what a pair says of itself becomes before it says so again."""

_Text = Annotated[str, StringConstraints(min_length=1)]


@dataclass(frozen=True)
class Holding:
    """What a pair says of itself, beside its snapshots.

    :param names: the servers' machines and ports as its connections name them, such as ``master-host:8000``.
    :param addresses: the same by the addresses that these names led to.
    :param since: since when it holds these. :param seen: when it said so last.
    """

    pair: str
    names: frozenset[_Text]
    addresses: frozenset[_Text]
    scope: Scope
    since: AwareDatetime
    seen: AwareDatetime

    @classmethod
    def from_json(cls, content: bytes) -> Holding:
        """:raises ValueError: it is damaged."""
        return _HOLDING.validate_json(content)

    @property
    def servers(self) -> frozenset[str]:
        return self.names | self.addresses

    def to_json(self) -> bytes:
        return _HOLDING.dump_json(self)

    def stands(self, now: datetime) -> bool:
        return abs(now - self.seen) <= HOLDS_FOR

    def said_again(self, before: Holding | None, now: datetime) -> Holding:
        """Return this holding with the beginning of the one ``before``, where it is the same and has not run out."""
        if before is None or (before.names, before.scope) != (self.names, self.scope) or not before.stands(now):
            return self
        known = self.addresses <= before.addresses and abs(now - before.seen) < RENEWED
        return before if known else replace(self, addresses=self.addresses or before.addresses, since=before.since)


_HOLDING = TypeAdapter(Holding)


def held_by_another(
    mine: Holding, before: Holding | None, others: Iterable[Holding], now: datetime, folder: str
) -> Reason | None:
    """No other pair has held a server before, with jobs that may be in the scope of both.

    The later one is refused, so that a slip in a new pair does not stop one that works.

    :param before: what this pair has said of itself until now. :param folder: where the pairs' folders are.
    """
    new = before is None or mine.since != before.since
    for other in others:
        common = sorted(mine.servers & other.servers)
        earlier = new or (other.since, other.pair) < (mine.since, mine.pair)
        if common and earlier and other.stands(now) and mine.scope.may_share_a_job(other.scope):
            return Reason(
                "shared_server",
                f"the pair {other.pair} holds the server {common[0]} since "
                f"{other.since.isoformat(timespec='seconds')}, and may have jobs in common with the pair {mine.pair}: "
                "each of the two would disable what the other one has enabled",
                "give this pair its own master and slave, or give the two different projects or jobs; if the pair "
                f"{other.pair} exists no more, delete {folder}/{other.pair}/servers.json",
            )
    return None
