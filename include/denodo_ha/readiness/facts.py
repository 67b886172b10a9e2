"""What a readiness check has read of a pair: each fact is either there, or says why it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from denodo_ha.jobs import DataSource, ServerInfo, Statuses
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import other
from denodo_ha.reason import Reason
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

    :param connection: the connection id. :param machines: the hosts of its web tool and of its Scheduler.
    :param binding: what is assumed where an export (of the active server) or an import (of the passive one) is bound.
    :param ahead: how far its clock is ahead of the worker's.
    :param seconds: how long the request for all statuses took.
    """

    connection: str
    machines: frozenset[str] | Unread
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
    :param missing: the committed snapshot, where it is not there; empty: it is, or there is none.
    """

    place: str
    free: int | None
    needed: int
    missing: str = ""


class Parameter(NamedTuple):
    """A parameter of a data source that may be an address. Its value is never told, since it may hold a password."""

    project: str
    type: str
    source: str
    name: str
    value: str


@dataclass(frozen=True)
class Deadline:
    """Whether the deadline of the failover DAG, which tells that nothing watches any more, can reach people.

    :param notifiers: how many are meant for it. :param missing: the connections of these that only Airflow's database
        has, if any; a callback of a deadline cannot read them.
    """

    notifiers: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadyFacts:
    """All that was read of a pair at one moment.

    :param addresses: the addresses of master and slave, to which their connections lead.
    :param held_elsewhere: why another pair is taken to hold one of the servers; None: none does.
    :param crons_refused: what the passive server says against crons of the active one, by cron.
    :param second_path: the name that both paths to the master use, so that it may fail for both; empty: none.
    :param tokens: the token endpoint that both connections need; empty: none.
    :param contents: what the committed snapshot holds.
    :param exported: the addresses in its data sources, as they are on the passive server.
    :param resolved: the addresses to which hosts of data sources and of servers lead, as this worker sees it; none: a
        host leads nowhere. What could not be found out in time is left out.
    :param held: the drivers and plugins that the passive server has, by their paths in an export.
    :param exports_resources: whether the export is told to hold drivers and plugins.
    :param passwords: whether the two connections have a ``metadata_password``: ``none``, ``same`` or ``different``.
    :param looked: when the failover DAG last looked at the pair; None: never.
    :param notifiers: how many notifiers were built.
    :param test_message: why each notifier has not sent a test message, empty where it has; None: none was asked for.
    """

    pair: Pair
    now: datetime
    record: Record | Unread
    servers: Mapping[Role, ServerFacts]
    addresses: tuple[str, str] | Unread
    held_elsewhere: Reason | Unread | None
    crons_refused: Mapping[str, str] | Unread
    second_path: str | Unread
    tokens: str | Unread
    contents: ArchiveContents | Unread
    exported: tuple[Parameter, ...] | Unread
    resolved: Mapping[str, frozenset[str]] | Unread
    held: frozenset[str] | Unread
    exports_resources: bool | Unread
    passwords: str | Unread
    storage: Room | Unread
    looked: datetime | Unread | None
    notifiers: int | Unread
    deadline: Deadline | Unread
    test_message: Mapping[str, str] | Unread | None

    @property
    def active(self) -> Role:
        """The server that is taken for the active one: the master, where there is no record that says otherwise."""
        return Role.MASTER if isinstance(self.record, Unread) else self.record.active

    @property
    def passive(self) -> Role:
        return other(self.active)


_SETTINGS = {"config", "config-dbstored", "permissions"}
"""Folders of an export with what is set on its server; every other one is taken to hold drivers or plugins [S]."""


def resources(contents: ArchiveContents) -> frozenset[str]:
    """Return the drivers and plugins of an export, by their paths in it, such as ``data/resources/drivers/x.jar``."""
    paths = (each.entry for each in contents.elements if each.entry.startswith("data/resources/"))
    return frozenset(path for path in paths if path.split("/")[2].casefold() not in _SETTINGS)
