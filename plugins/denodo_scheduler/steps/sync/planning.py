"""What a sync has to deliver, and how: both servers are compared, and each changed element gets channel and moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from denodo_ha.checks import verify
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.changes import Changes, changes
from denodo_ha.delivery.definition import Ids
from denodo_ha.delivery.moments import possible_zones
from denodo_ha.delivery.plan import DeliveryPlan, plan_delivery
from denodo_ha.jobs import DataSource, Job, JobKey
from denodo_ha.record import Record
from denodo_ha.snapshot.archive import ArchiveContents
from denodo_ha.snapshot.contents import Element
from denodo_ha.snapshot.manifest import Manifest
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext

Identity = tuple[str, str, str]


@dataclass(frozen=True)
class Source:
    """A snapshot of the active server, and the definitions that it was made from.

    :param committed: the contents that the target was verified to have last; None where they are not known.
    """

    contents: ArchiveContents
    manifest: Manifest
    jobs: Mapping[JobKey, Job]
    data_sources: Collection[DataSource]
    committed: ArchiveContents | None

    @property
    def ids(self) -> Ids:
        return Ids(
            {job.id: key for key, job in self.jobs.items()}, {source.id: source.key for source in self.data_sources}
        )


@dataclass(frozen=True)
class Target:
    """The passive server as it was read."""

    jobs: tuple[Job, ...]
    data_sources: tuple[DataSource, ...]
    statuses: Statuses

    @classmethod
    def read(cls, hook: DenodoSchedulerHook) -> Target:
        return cls(tuple(hook.jobs()), tuple(hook.data_sources()), hook.statuses())
