"""What a readiness check has read of a pair: each fact is either there, or says why it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from denodo_ha.jobs import DataSource, ServerInfo, Statuses
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import other
from denodo_ha.record import Record, Role
from denodo_ha.snapshot.contents import ArchiveContents
from denodo_ha.snapshot.manifest import Manifest

T = TypeVar("T")

CHECK_AGAIN = "repair what keeps it from being read, then check again"


@dataclass(frozen=True)
class Unread:
    """A fact that could not be read. :param why: one clause. :param next_step: what a person can do about it."""

    why: str
    next_step: str = CHECK_AGAIN


class NotReadError(LookupError):
    """A check needs a fact that could not be read."""

    def __init__(self, fact: Unread) -> None:
        super().__init__(fact.why)
        self.fact = fact


def known(fact: T | Unread) -> T:
    """Return a fact that was read.

    :raises NotReadError: it could not be read.
    """
    if isinstance(fact, Unread):
        raise NotReadError(fact)
    return fact


@dataclass(frozen=True)
class ServerFacts:
    """One server.

    :param connection: the connection id. :param machine: the host of its web tool.
    :param binding: what is assumed where an export (of the active server) or an import (of the passive one) is bound.
    :param ahead: how far its clock is ahead of the worker's.
    :param seconds: how long the request for all statuses took.
    """

    connection: str
    machine: str | Unread
    info: ServerInfo | Unread
    binding: tuple[str, ...] | Unread
    statuses: Statuses | Unread
    ahead: timedelta | Unread
    seconds: float | Unread
    manifest: Manifest | Unread
    data_sources: tuple[DataSource, ...] | Unread


@dataclass(frozen=True)
class Room:
    """The storage of the snapshots, after a file was written and deleted there.

    :param free: bytes; None where the storage tells no limit. :param needed: bytes of the snapshots that are kept.
    """

    place: str
    free: int | None
    needed: int


@dataclass(frozen=True)
class ReadyFacts:
    """All that was read of a pair at one moment.

    :param crons_refused: what the passive server says against crons of the active one, by cron.
    :param second_path: the name that both paths to the master use, so that it may fail for both; empty: none.
    :param tokens: the token endpoint that both connections need; empty: none.
    :param contents: what the committed snapshot holds.
    :param held: the drivers and plugins that the passive server has, by their paths in an export.
    :param exports_resources: whether the export is told to hold drivers and plugins.
    :param passwords: whether the two connections have a ``metadata_password``: ``none``, ``same`` or ``different``.
    :param looked: when the failover DAG last looked at the pair; None: never.
    :param notifiers: how many notifiers were built.
    """

    pair: Pair
    now: datetime
    record: Record | Unread
    servers: Mapping[Role, ServerFacts]
    crons_refused: Mapping[str, str] | Unread
    second_path: str | Unread
    tokens: str | Unread
    contents: ArchiveContents | Unread
    held: frozenset[str] | Unread
    exports_resources: bool | Unread
    passwords: str | Unread
    storage: Room | Unread
    looked: datetime | Unread | None
    notifiers: int | Unread

    @property
    def active(self) -> Role:
        """The server that is taken for the active one: the master, where there is no record that says otherwise."""
        return Role.MASTER if isinstance(self.record, Unread) else self.record.active

    @property
    def passive(self) -> Role:
        return other(self.active)


def resources(contents: ArchiveContents) -> frozenset[str]:
    """Return the drivers and plugins of an export, by their paths in it."""
    return frozenset(element.entry for element in contents.elements if element.kind == "resource")
