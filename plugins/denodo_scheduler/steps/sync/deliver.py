"""The pieces of one sync, one after the other: each is planned from what the target is after the one before."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import ObjectStoragePath

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.plan import LARGEST_BATCH, DeliveryPlan, Pending, Piece
from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.jobs import Job, JobKey
from denodo_ha.properties import rewrite_element
from denodo_ha.snapshot.archive import cut_archive
from denodo_ha.snapshot.contents import Element, Identity
from denodo_ha.sync_results import Imported
from denodo_ha.text import counted, listed
from denodo_ha.transitions import learned
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.state.files import new_file
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.servers import enabled_in
from denodo_scheduler.steps.sync.planning import Differences, Planner, Server
from denodo_scheduler.steps.sync.send import Answered, Sender
from denodo_scheduler.steps.sync.write import Writer

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=60)
"""How long moments are waited for in all, while the pair's slot is held; later ones are left to the next run."""
MISSED = timedelta(seconds=10)
"""What a moment that passed while its archive was made costs of that patience, so that it is not tried for ever."""
SENDINGS = 2
"""How often an element is sent in one run."""
REFUSALS = 2
"""So many jobs of a type must be refused over REST, and none be written, before it is the type that is refused."""


@dataclass(frozen=True)
class _Look:
    """The target as it was read, at ``now`` by its own clock, and what is still to be delivered to it."""

    there: Server
    now: datetime
    plan: DeliveryPlan


@dataclass
class Delivery:
    """What became of the pieces of one sync.

    :param snapshot_id: the snapshot that is delivered. :param version: the target's version.
    :param sent: how often each element was sent. :param by_archive: jobs that REST did not write as they are.
    :param refused: how many jobs of a type were refused.
    :param proving: jobs that REST has written and that are not read back yet.
    :param answers: the imports that have enabled jobs. :param warnings: those of all imports.
    :param unlisted: how many more of these there are.
    :param pieces: what was sent, as the event tells it. :param pending: what was not.
    :param first_different: jobs that the target had otherwise before anything was sent.
    :param rescued: the export of the target that was kept before that, and what it holds otherwise.
    """

    context: PairContext
    ticket: SyncTicket
    snapshot_id: str
    planner: Planner
    sender: Sender
    version: str
    sent: Counter[Identity] = field(default_factory=Counter)
    by_archive: set[JobKey] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    proving: dict[JobKey, Job] = field(default_factory=dict)
    answers: list[Answered] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unlisted: int = 0
    pieces: list[dict[str, Any]] = field(default_factory=list)
    pending: tuple[Pending, ...] = ()
    all_secrets: bool = False
    first_different: frozenset[JobKey] = frozenset()
    rescued: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.planner.record.capabilities.get(self.ticket.target, Capabilities())
        self._known = known.for_version(self.version)

    @property
    def _target(self) -> DenodoSchedulerHook:
        return self.context.servers.hook(self.ticket.target)

    def run(self) -> None:
        """Send what can be sent within :data:`PATIENCE`.

        :raises Blocked: an import was sent and its end is unknown.
        """
        patience = PATIENCE
        while True:
            look = self._look(patience)
            piece = next(iter(look.plan.pieces), None)
            if piece is None:
                break
            if piece.moment and piece.moment > look.now:
                self.sender.renew()
                time.sleep((piece.moment - look.now).total_seconds())
                patience -= piece.moment - look.now
            elif piece.channel == "rest":
                self._write(piece, look)
            elif not self._import(piece):
                patience -= MISSED
        self.pending = look.plan.pending
        secrets = {each.identity for each in self.planner.snapshot.contents.elements if each.secrets}
        self.all_secrets = secrets <= self.sent.keys()
        if self.pieces:
            self.sender.close()

    def _look(self, ahead: timedelta) -> _Look:
        there = Server.read(self._target, self.ticket.target)
        statuses = self._target.statuses()
        if self.pieces:
            self._ensure_written_disabled(there, statuses)
        found = self.planner.differences(there)
        if not self.pieces:
            self.first_different = found.different
        self._prove(found, there)
        given_up = [identity for identity, number in self.sent.items() if number >= SENDINGS]
        wanted = self.planner.changes(found, sent=self.sent, given_up=given_up)
        now = statuses.server_time
        plan = self.planner.plan(
            wanted, found, there, now=now, until=now + ahead, capabilities=self._known, by_archive=self.by_archive
        )
        return _Look(there, now, plan)

    # -- over REST

    def _write(self, piece: Piece, look: _Look) -> None:
        """Write jobs disabled, of a type that is not proven yet only one until that one was read back."""
        source = self.planner.source
        jobs: list[Job] = []
        unproven: set[str] = set()
        for job in map(source.jobs.__getitem__, piece.jobs):
            if job.type in unproven:
                break
            if job.type not in self._known.faithful:
                unproven.add(job.type)
            jobs.append(job)
        writer = Writer(
            source.names,
            self._target,
            {key: job.id for key, job in look.there.jobs.items()},
            {each.key: each.id for each in look.there.data_sources},
            self._target.projects(),
            self.sender.before_writing,
        )
        writer.write(jobs)
        by_key = self.planner.snapshot.by_key
        self.sent.update(by_key[job.key] for job in jobs)
        self.proving = {job.key: job for job in jobs if job.key in writer.written}
        self.by_archive |= writer.refused
        self.refused.update(job.type for job in jobs if job.key in writer.refused)
        for kind, number in self.refused.items():
            if number >= REFUSALS and kind not in self._known.faithful:
                self._learn(self._known.learned_unfaithful(kind))
        self._tell(piece, writer.written, 0.0)

    def _ensure_written_disabled(self, there: Server, statuses: Statuses) -> None:
        """A server that does not honour ``disabled`` is not written to any more; what it has enabled is disabled."""
        woken = {job.key for job in enabled_in(self.context.pair.scope, statuses)}
        woken |= {key for key in self.proving if key in there.jobs and there.jobs[key].is_flagged_enabled}
        if not woken:
            return
        log.error("Written as disabled, and enabled on the %s: %s", self.ticket.target, listed(sorted(woken)))
        self.sender.disable(sorted(woken))
        for key in woken & self.proving.keys():
            self._learn(self._known.learned_unfaithful(self.proving.pop(key).type))

    def _prove(self, found: Differences, there: Server) -> None:
        """Learn of the types of the jobs that were written whether REST writes them as they are."""
        known = self._known
        for key, job in self.proving.items():
            if key in there.jobs and key not in found.unlike:
                known = known.learned_faithful(job.type)
            else:
                self.by_archive.add(key)
                if job.type not in known.faithful:
                    known = known.learned_unfaithful(job.type)
        self.proving = {}
        self._learn(known)

    def _learn(self, known: Capabilities) -> None:
        if known != self._known:
            log.info("Learned of the %s: %s", self.ticket.target, " ".join(known.lines()))
            self.sender.own.save(lambda record: learned(record, self.ticket.target, known))
        self._known = known

    # -- archives

    def _import(self, piece: Piece) -> bool:
        """Import an archive of these elements.

        :return: whether it was sent; not if the moment has passed while the archive was made.
        """
        with self._archive(piece) as archive:
            before = self._target.statuses()
            if piece.moment and not self.planner.is_free(piece, before.server_time, self._known):
                return False
            answer = self.sender.send(archive, piece.jobs, before)
        self.warnings += answer.result.warnings
        self.unlisted += answer.result.unlisted
        if piece.jobs:
            self.answers.append(answer)
        there = {key for key in before.by_key if not is_scratch(key.project)}
        gone = there - answer.rest.statuses.by_key.keys()
        if gone:
            log.error("The import deleted what it did not hold: %s. All is delivered anew.", listed(sorted(gone)))
        others = there - set(piece.jobs)
        cut_down = piece.channel != "whole" and bool(others)
        exposed = answer.exposure.total_seconds() if piece.jobs else None
        # What many jobs take that rest for long tells nothing of the small pieces of those that do not.
        large = piece.channel == "archive" and len(piece.jobs) > LARGEST_BATCH
        known = self._known.learned_import(
            replaces=bool(gone) if cut_down else None, seconds=None if large else exposed
        )
        self._learn(known)
        if piece.channel == "whole":
            self.sent.update(each.identity for each in self.planner.snapshot.contents.elements)
        else:
            self.sent.update(piece.elements)
        if gone:
            self.sent.clear()
        self._tell(piece, piece.jobs, exposed or 0.0)
        return True

    @contextmanager
    def _archive(self, piece: Piece) -> Iterator[ObjectStoragePath]:
        """The export, or a part of it, with the site properties of the target."""
        snapshots, contents = self.context.snapshots, self.planner.snapshot.contents
        whole, site = snapshots.export_path(self.snapshot_id), self.context.pair.properties_of(self.ticket.target)
        if piece.channel == "whole" and not site:
            yield whole
            return
        kept = set(piece.elements)

        def keep(element: Element) -> bool:
            return piece.channel == "whole" or element.identity in kept

        def rewrite(element: Element, xml: bytes) -> bytes:
            return rewrite_element(xml, element.project or "", site)

        path = snapshots.piece_path(self.snapshot_id)
        with new_file(path) as destination:
            cut_archive(whole, contents, destination, keep, rewrite if site else None)
        try:
            yield path
        finally:
            path.unlink()

    # -- what is told

    def _tell(self, piece: Piece, jobs: Collection[JobKey], exposed: float) -> None:
        moment = piece.moment.isoformat() if piece.moment else None
        self.pieces.append(
            {
                "channel": piece.channel,
                "elements": len(jobs) if piece.channel == "rest" else len(piece.elements),
                "delivered": counted(jobs),
                "why": piece.why + (f"; {len(jobs)} of these {of}" if len(jobs) < (of := len(piece.jobs)) else ""),
                "moment": moment,
                "exposure_seconds": round(exposed, 3),
            }
        )

    def result(self, operation: str, began: datetime, before: Statuses) -> Imported:
        """What the task hands on.

        :param began: when this task began to change the target. :param before: the target before that.
        """
        exposed = max(self.answers, key=lambda each: each.exposure, default=None)
        now = self.context.now()
        return Imported(
            operation=operation,
            snapshot=self.snapshot_id,
            began=(exposed.began if exposed else began).isoformat(),
            answered=(exposed.answered if exposed else now).isoformat(),
            clean_at=(exposed.rest.clean_at if exposed else now).isoformat(),
            warnings=self.warnings,
            others=[
                [job.project, job.name]
                for job in before.jobs
                if not self.context.pair.scope.matches(job.key) and not is_scratch(job.project)
            ],
            pieces=self.pieces,
            pending=DeliveryPlan(pending=self.pending).to_json()["pending"],
            all_secrets=self.all_secrets,
            rescued=self.rescued,
            unlisted=self.unlisted,
        )
