"""What a sync has to deliver, and how: both servers are compared, and each changed element gets channel and moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import cached_property

from denodo_ha.checks import different_data_sources
from denodo_ha.definitions import Fields, Names, compare, digest, fields
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.changes import ChangedElement, Changes, changes, job_key
from denodo_ha.delivery.definition import LackingError, UntranslatableError, for_target
from denodo_ha.delivery.moments import budget, next_moment, possible_zones, zones_of_offsets
from denodo_ha.delivery.plan import DeliveryPlan, Piece, plan_delivery
from denodo_ha.jobs import DataSource, Job, JobKey
from denodo_ha.reason import Reason
from denodo_ha.record import LEFT_BEHIND, Record, Role
from denodo_ha.snapshot.archive import ArchiveContents
from denodo_ha.snapshot.contents import Identity
from denodo_ha.snapshot.manifest import Manifest
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.servers import data_sources

_EDITED = Reason(
    "edited", "it was edited or deleted on the active server after the export", "the next sync delivers what it is then"
)


@dataclass(frozen=True)
class Server:
    """The definitions of one server, as they were read."""

    jobs: Mapping[JobKey, Job]
    data_sources: tuple[DataSource, ...]

    @classmethod
    def read(cls, hook: DenodoSchedulerHook, role: Role) -> Server:
        return cls.of(hook.jobs(), data_sources(hook, role) or ())

    @classmethod
    def of(cls, jobs: Collection[Job], sources: Collection[DataSource]) -> Server:
        return cls({job.key: job for job in jobs}, tuple(sources))

    @property
    def names(self) -> Names:
        return Names.of(self.jobs.values(), self.data_sources)


@dataclass(frozen=True)
class Snapshot:
    """What was exported from the active server.

    :param committed: what the passive server was verified to have last of the same server; None if nothing is known.
    """

    contents: ArchiveContents
    manifest: Manifest
    committed: ArchiveContents | None

    @property
    def by_key(self) -> dict[JobKey, Identity]:
        return {job_key(each): each.identity for each in self.contents.elements if each.kind == "job"}


@dataclass(frozen=True)
class Differences:
    """Where the passive server is not as the snapshot says, as far as REST shows it.

    :param different: jobs with another definition, where the pair compares them.
    :param unlike: the same, whether or not it does: what tells whether REST writes a job as it is.
    :param edited: jobs that were edited or deleted on the active server since the export.
    """

    different: frozenset[JobKey]
    unlike: frozenset[JobKey]
    missing: frozenset[JobKey]
    data_sources: frozenset[JobKey]
    edited: frozenset[JobKey]


@dataclass(frozen=True)
class Planner:
    """Makes the delivery plan of one sync from what both servers are at the moment.

    :param target: the role of the passive server. :param source: the definitions of the active one.
    :param deliver_now: a person accepts that jobs which have no safe moment may run once.
    """

    context: PairContext
    record: Record
    target: Role
    snapshot: Snapshot
    source: Server
    deliver_now: bool = False

    def _zones(self, known: Capabilities, now: datetime) -> tuple[tzinfo, ...]:
        """The time zones that the target's clock may have."""
        found = zones_of_offsets(known.offsets, now.date()) if known.offsets else None
        return possible_zones(self.context.pair.timezone_of(self.target), found)

    @property
    def overdue(self) -> list[JobKey]:
        """The jobs that earlier syncs have left pending, the oldest first."""
        return [job.key for job in self.record.pending if job.code != LEFT_BEHIND]

    @cached_property
    def _wanted(self) -> dict[JobKey, Fields]:
        """What the jobs of the snapshot are on the source."""
        names = self.source.names
        return {
            key: fields(job, names) for key, job in self.source.jobs.items() if key in self.snapshot.manifest.by_key
        }

    @cached_property
    def _edited(self) -> frozenset[JobKey]:
        """Those that were edited there since the export."""
        manifest, names = self.snapshot.manifest, self.source.names
        return frozenset(
            key
            for key in self._wanted
            if digest(self.source.jobs[key], names, manifest.noise) != manifest.by_key[key].definition_hash
        )

    def differences(self, there: Server) -> Differences:
        manifest, names, edited = self.snapshot.manifest, there.names, self._edited
        compared = compare(
            self._wanted,
            {key: fields(job, names) for key, job in there.jobs.items()},
            known=manifest.noise,
            parameters=self.snapshot.contents.parameters,
        )
        apart = compared.different.keys() - edited
        apart |= {
            key
            for key in edited & there.jobs.keys()
            if digest(there.jobs[key], names, manifest.noise) != manifest.by_key[key].definition_hash
        }
        pair = self.context.pair
        sources = different_data_sources(
            manifest,
            there.data_sources,
            pair.scope,
            pair.properties_of(self.target),
            values=pair.sync.verify_definitions,
        )
        return Differences(
            unlike=frozenset(apart),
            different=frozenset(apart) if pair.sync.verify_definitions else frozenset(),
            missing=frozenset(manifest.by_key.keys() - there.jobs.keys()),
            data_sources=frozenset(sources),
            edited=frozenset(edited | (manifest.by_key.keys() - self.source.jobs.keys())),
        )

    def changes(
        self, found: Differences, *, sent: Collection[Identity] = (), given_up: Collection[Identity] = ()
    ) -> Changes:
        """What is still to be delivered: what has changed, and what earlier syncs have left pending.

        :param sent: elements that this run has sent; they are sent again only if REST shows that they differ.
        :param given_up: elements that are not sent again.
        """
        record, sync, contents = self.record, self.context.pair.sync, self.snapshot.contents
        of_same_source = record.snapshot is not None and record.snapshot.source is not self.target
        wanted = changes(
            committed=self.snapshot.committed,
            now=contents,
            different_on_target=found.different | {key for key in found.unlike if self.snapshot.by_key[key] in sent},
            missing_on_target=found.missing,
            sources_different=[(key.project, key.name) for key in found.data_sources],
            dirty=record.dirty is not None,
            last_import_age=self.context.now() - record.snapshot.imported
            if record.snapshot and of_same_source
            else None,
            secrets_refresh=sync.secrets_refresh,
        )
        by_identity = {change.element.identity: change for change in wanted.items}
        forced = set(self.overdue)
        for element in contents.elements:
            if element.kind == "job" and job_key(element) in forced:
                by_identity.setdefault(element.identity, ChangedElement(element, "pending since an earlier sync"))
        apart = found.unlike | found.missing

        def open_(identity: Identity, change: ChangedElement) -> bool:
            again = change.key in apart if change.key else _source_key(change) in found.data_sources
            return identity not in given_up and (identity not in sent or again)

        return Changes(tuple(change for identity, change in sorted(by_identity.items()) if open_(identity, change)))

    def plan(
        self,
        wanted: Changes,
        found: Differences,
        there: Server,
        *,
        now: datetime,
        until: datetime,
        capabilities: Capabilities,
        by_archive: Collection[JobKey] = (),
    ) -> DeliveryPlan:
        """Give each changed element its channel and its moment. What was edited since the export is left out.

        :param now: the time on the target's clock. :param until: no moment after this is waited for.
        :param by_archive: jobs that REST does not write.
        """
        sync, elements = self.context.pair.sync, self.snapshot.contents.by_identity
        jobs = {key: job for key, job in self.source.jobs.items() if key in self.snapshot.manifest.by_key}
        drafts = {key for key, job in jobs.items() if job.definition.get("draft") is True}
        measured = capabilities.longest_import is not None
        untranslatable, lacking = self._untranslatable(wanted, there)
        return plan_delivery(
            wanted,
            capabilities=capabilities,
            rest=True,
            cut_down=True,
            jobs=jobs,
            target=there.jobs.keys(),
            secrets={key for key, identity in self.snapshot.by_key.items() if elements[identity].secrets},
            drafts=drafts,
            now=now,
            zones=self._zones(capabilities, now),
            until=until,
            deliver_now=self.deliver_now,
            untranslatable=untranslatable | set(by_archive),
            overdue=self.overdue,
            left_out={**lacking, **dict.fromkeys(found.edited, _EDITED)},
            whole_window=timedelta(0) if measured else sync.quiet_window + sync.quiet_margin,
        )

    def is_free(self, piece: Piece, now: datetime, capabilities: Capabilities) -> bool:
        """Whether a piece can still be sent: the moment may have passed while it was made."""
        if self.deliver_now:
            return True
        jobs = [self.source.jobs[key] for key in piece.jobs if key in self.source.jobs]
        length, until = budget(capabilities.longest_import), now + timedelta(seconds=1)
        fires = capabilities.past_start_fires is not False
        zones = self._zones(capabilities, now)
        found = next_moment(jobs, now=now, zones=zones, budget=length, until=until, past_start_fires=fires)
        return found is not None

    def _untranslatable(self, wanted: Changes, there: Server) -> tuple[set[JobKey], dict[JobKey, Reason]]:
        """Jobs with an id that cannot be translated; and those that name what neither the target has nor this sync
        brings, with the reason why they cannot be delivered."""
        coming = {change.key: 0 for change in wanted.items if change.key}
        jobs = {**coming, **{key: job.id for key, job in there.jobs.items()}}
        sources = {
            **{_source_key(change): 0 for change in wanted.items if change.element.kind == "dataSource"},
            **{source.key: source.id for source in there.data_sources},
        }
        names = self.source.names
        untranslatable: set[JobKey] = set()
        lacking: dict[JobKey, Reason] = {}
        for key in coming.keys() & self.source.jobs.keys():
            try:
                for_target(self.source.jobs[key], names, jobs, sources)
            except LackingError as error:
                lacking[key] = Reason(
                    "lacks_reference",
                    f"{error}, and which is out of the pair's scope",
                    "make that on the target, or take it into the scope of the pair",
                )
            except UntranslatableError:
                untranslatable.add(key)
        return untranslatable, lacking


def _source_key(change: ChangedElement) -> JobKey:
    return JobKey(project=change.element.project or "", name=change.element.name)
