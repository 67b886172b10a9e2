"""The two servers of a pair, each over any path that answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from denodo_ha.jobs import JobKey
from denodo_ha.record import Role
from denodo_scheduler.client.probe import second_uri
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Action, DenodoSchedulerHook, Statuses
from denodo_scheduler.steps.context import PairRun


@dataclass(frozen=True)
class Server:
    """One server of the pair over one path: its own web tool, or the other one's with ``uri``."""

    role: Role
    hook: DenodoSchedulerHook
    uri: str | None = None

    def statuses(self) -> Statuses:
        return self.hook.statuses(uri=self.uri)

    def set_jobs_status(self, action: Action, keys: Collection[JobKey], statuses: Statuses) -> int:
        return self.hook.set_jobs_status(action, keys, statuses=statuses, uri=self.uri)


def own_path(run: PairRun, role: Role) -> Server:
    """The server through its own web tool."""
    return Server(role, run.master if role is Role.MASTER else run.slave)


def paths(run: PairRun, role: Role) -> Iterator[Server]:
    """The ways to a server, its own web tool first."""
    yield own_path(run, role)
    own, other = (run.master, run.slave) if role is Role.MASTER else (run.slave, run.master)
    wanted = run.pair.watch.second_path if role is Role.MASTER or run.pair.watch.second_path == "none" else "auto"
    if uri := second_uri(wanted, own, other):
        yield Server(role, other, uri)


def answering(run: PairRun, role: Role) -> tuple[Server, Statuses]:
    """The first path over which the server's statuses can be read, and what it said.

    :raises DenodoSchedulerError: none; it is the error of the server's own web tool.
    """
    first: DenodoSchedulerError | None = None
    for server in paths(run, role):
        try:
            return server, server.statuses()
        except DenodoSchedulerError as error:
            first = first or error
    assert first is not None
    raise first
