"""The two servers of a pair, each over any path that answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from denodo_ha.checks import enabled_by_definition
from denodo_ha.jobs import DataSource, JobKey, JobStatus
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import other
from denodo_ha.record import Role
from denodo_ha.scope import Scope
from denodo_scheduler.client.probe import over_second_path
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    RequestError,
    UnexpectedAnswerError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, JobAction, Statuses

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """One server of the pair over one path: its own web tool, or the other one's.

    :param label: how messages name it.
    """

    label: str
    hook: DenodoSchedulerHook

    def statuses(self) -> Statuses:
        return self.hook.statuses()

    def set_jobs_status(self, action: JobAction, keys: Sequence[JobKey], statuses: Statuses) -> int:
        return self.hook.set_jobs_status(action, keys, statuses=statuses)


@dataclass(frozen=True)
class Servers:
    """Both servers of a pair. They are built anew in each task."""

    pair: Pair
    master: DenodoSchedulerHook
    slave: DenodoSchedulerHook

    def hook(self, role: Role) -> DenodoSchedulerHook:
        return self.master if role is Role.MASTER else self.slave

    @property
    def connections(self) -> tuple[str, str]:
        return self.pair.master, self.pair.slave

    @property
    def addresses(self) -> tuple[str, str]:
        return self.master.address, self.slave.address

    def own_path(self, role: Role) -> Server:
        """The server through its own web tool."""
        return Server(str(role), self.hook(role))

    def _paths(self, role: Role) -> Iterator[Server]:
        """The ways to a server, its own web tool first."""
        yield self.own_path(role)
        wanted = self.pair.watch.second_path if role is Role.MASTER or self.pair.watch.second_path == "none" else "auto"
        if hook := over_second_path(wanted, self.hook(role), self.hook(other(role))):
            yield Server(str(role), hook)

    def answering(self, role: Role) -> tuple[Server, Statuses]:
        """The first path over which the server's statuses can be read, and what it said.

        :raises DenodoSchedulerError: there is none; it is the error of the server's own web tool.
        """
        first: DenodoSchedulerError | None = None
        for server in self._paths(role):
            try:
                return server, server.statuses()
            except DenodoSchedulerError as error:
                first = first or error
        assert first is not None
        raise first


def data_sources(hook: DenodoSchedulerHook, label: str) -> list[DataSource] | None:
    """Every data source of a server; None, with a warning, where it refuses to tell or its answer is not understood."""
    try:
        return hook.data_sources()
    except (ConfigurationError, RequestError, UnexpectedAnswerError) as error:
        log.warning(
            "The data sources of the %s cannot be read, so they are not compared, nor which of them a job uses: %s",
            label,
            error,
        )
        return None


def flagged_in(scope: Scope, server: Server, statuses: Statuses) -> list[JobKey]:
    """Read the definitions: the jobs whose own say that they are enabled, among those that the pair synchronises."""
    return list(enabled_by_definition(server.hook.jobs(), statuses.jobs, scope))


def enabled_in(scope: Scope, statuses: Statuses) -> list[JobStatus]:
    """The enabled jobs among those that the pair synchronises."""
    return [job for job in statuses.jobs if job.state.is_enabled and scope.matches(job.key)]


def would_run(scope: Scope, server: Server, statuses: Statuses) -> list[JobKey]:
    """The enabled jobs among those that the pair synchronises, also of a server that is paused.

    That one shows every job DISABLED [D], but the jobs' own definitions say otherwise.
    """
    return [job.key for job in enabled_in(scope, statuses)] or flagged_in(scope, server, statuses)
