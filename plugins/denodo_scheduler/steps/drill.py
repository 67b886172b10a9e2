"""The drill: enable harmless jobs on the passive server, one after the other, run each, and disable it again.

A failover does not wait for it: its claim ends the drill, whose job is one of those that it enables. What a drill that
was interrupted has left is disabled by whoever comes first: its own retry, the next drill, the next sync, or the next
look of the failover DAG.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from denodo_ha.delivery.moments import possible_zones
from denodo_ha.drill import AGAIN, GAVE_WAY, RAN, Drilled, at_rest, chosen, due, unfit
from denodo_ha.drill import Drill as Drilling
from denodo_ha.durations import format_duration
from denodo_ha.jobs import Job, JobKey, JobState, Statuses
from denodo_ha.preconditions import (
    OPERATIONS_DAG,
    drill_may_begin,
    not_halted,
    reason_given,
    same_servers,
    two_addresses,
)
from denodo_ha.reason import Reason
from denodo_ha.record import Record, Role, Step
from denodo_ha.runs import ENDED_WELL, Baseline, Run, described, own_run
from denodo_ha.snapshot.manifest import Manifest, ManifestError
from denodo_ha.transitions import (
    advanced,
    drill_begun,
    drill_enables,
    drill_ended,
    drill_resumed,
    drill_saw,
    renewed,
)
from denodo_ha.watching import PASSIVE_INTERVAL
from denodo_scheduler.exceptions import DenodoSchedulerError, NoAnswerError, ServerBusyError, UnknownJobError
from denodo_scheduler.steps.claim import LEASE, Claim, OperationClaim, unchanged
from denodo_scheduler.steps.context import Event, PairContext
from denodo_scheduler.steps.holding import another_pair
from denodo_scheduler.steps.jobs import change_jobs
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet, require
from denodo_scheduler.steps.passive import ROUNDS, ensure_passive, ensure_two_servers
from denodo_scheduler.steps.servers import Server, enabled_in
from denodo_scheduler.triggers.job_run import UNREPORTED, read_reports
from denodo_scheduler.triggers.quiet_window import TRANSIENT

log = logging.getLogger(__name__)

POLL = 2.0
"""Seconds from one look at a job that runs to the next."""
BEGINS_WITHIN = timedelta(minutes=1)
"""How long a run may take to be seen after its start."""
CLEANED_WITHIN = LEASE + PASSIVE_INTERVAL + timedelta(minutes=1)
"""How long a job may stay enabled after the last sign of life of its drill: when the lease is over, the failover DAG
disables it by its next look at the slave, whose tasks have to start first."""


def drill(context: PairContext, *, cleared: datetime | None = None) -> Event:
    """Drill the jobs that the pair's ``drill`` names, and return the event that tells of it, also of one that failed.

    A retry goes on with the jobs that are left, the one that was interrupted included.

    :param cleared: when a person had the run begin again; what it had come to before does not count.
    :raises Blocked: a rule does not hold, and nothing was changed; or the pair was halted in the middle.
    :raises NothingToDo: a failover has begun, for which it gave way.
    :raises NotYet: a job could not be disabled; a retry does it.
    """
    record, now = context.usable_record(), context.now()
    operation, last = record.operation, record.drill
    counts = last and last.ended and not (cleared and last.ended < cleared)
    if last and counts and context.is_of_this_run(last.id):  # by an earlier try, or after that one had died
        if last.code == GAVE_WAY:
            raise NothingToDo(last.code, last.what, last.next_step)
        return {"kind": "drill", **last.told()}
    if operation and operation.kind == "drill" and context.is_of_this_run(operation.id):
        require(not_halted(record))
        return _Drill(context, _taken_over(context, record)).run()
    require(
        reason_given(context.reason)
        or drill_may_begin(record, now)
        or same_servers(record, context.servers.addresses)
        or two_addresses(context.servers.connections, context.servers.addresses)
        or another_pair(context)
    )
    if operation is not None:
        end_interrupted(context, record)
    return _Drill(context, _begun(context)).run()


def end_interrupted(context: PairContext, record: Record) -> Event:
    """Disable the job that an interrupted drill may have left enabled, close it, and return the event that tells of it.

    :param record: as it was judged: the lease of the drill is over.
    :raises NothingToDo: the record has changed since. :raises NotYet: the job stays enabled.
    """
    claim = unchanged(context, record)
    _rest(context, claim, record.drilled)
    what = "its task has died" + (
        f" while {record.drilled} was enabled; that job is disabled now" * bool(record.drilled)
    )
    ended = partial(drill_ended, now=context.now(), reason=Reason("drill_interrupted", what, AGAIN))
    return _told(context, claim, ended)


def _told(context: PairContext, claim: Claim, ended: Any) -> Event:
    """Close the drill, and save the event that tells of it; a failed one is an alert."""
    record = ended(claim.check())
    assert record.drill is not None
    failed = {"alert": "drill"} if record.drill.problem else {}
    event = context.event("drill", record, **record.drill.told(), **failed)
    claim.save(ended, event)
    return event


def _rest(context: PairContext, claim: Claim, key: JobKey | None) -> datetime:
    """Disable the one job that a drill may have enabled, and read back; return when that was.

    :raises NotYet: it is still enabled, or the slave cannot be read.
    :raises Blocked: other jobs are enabled there too, or the record may not be readable, and the master is not seen to
        be the active server.
    """
    if key is None:
        return context.now()
    server = context.servers.own_path(Role.SLAVE)

    def wrong(statuses: Statuses) -> list[JobKey]:
        found = statuses.by_key.get(key)
        return [key] if found and found.state.is_enabled else []

    def pieces(statuses: Statuses, left: Sequence[JobKey], _: int) -> Iterator[Sequence[JobKey]]:
        others = [job.key for job in enabled_in(context.pair.scope, statuses) if job.key != key]
        if others or claim.trusted_until:
            ensure_passive(context, Role.SLAVE, statuses, others or left)
        claim.ensure()
        yield left

    how = f"a retry disables it, or else the failover DAG within minutes; or disable {key} in the slave's web tool"
    try:
        done = change_jobs(server, "disable", wrong, pieces, enough=lambda number: number == ROUNDS, now=context.now)
    except DenodoSchedulerError as error:
        raise NotYet("not_disabled", f"whether {key} is enabled on the slave is not known: {error}", how) from None
    if done.left:
        why = f" ({done.refused})" if done.refused else ""
        raise NotYet("not_disabled", f"{key} is still enabled on the slave after {ROUNDS} tries{why}", how)
    return done.verified


def _taken_over(context: PairContext, record: Record) -> Record:
    """Go on with the drill of this run, under a new id, so that the try that died changes nothing any more."""
    taken = partial(drill_resumed, operation_id=context.new_operation(), now=context.now(), lease=LEASE)
    return unchanged(context, record, NotYet).save(taken)


def _begun(context: PairContext) -> Record:
    """Look at both servers, choose the jobs and write the intent."""
    record = context.usable_record()
    claim = unchanged(context, record, NotYet)
    server = context.servers.own_path(Role.SLAVE)
    try:
        statuses = server.statuses()
        _, active = context.servers.answering(Role.MASTER)
    except DenodoSchedulerError as error:
        how = "wait until both servers answer; a drill is nothing for an emergency"
        raise Blocked("unreachable", f"a server of the pair cannot be read: {error}", how) from None
    ensure_two_servers(context, active, statuses)
    keys = chosen(context.pair.drill, context.pair.scope, [job.key for job in statuses.jobs])
    if isinstance(keys, Reason):
        raise Blocked(*keys)
    require(drill_may_begin(record, context.now()) or at_rest(statuses, context.pair.scope))
    begun = Drilling(id=context.new_operation(), by=context.actor, at=context.now(), left=keys)
    return claim.save(partial(drill_begun, drill=begun, target=context.slave.address, lease=LEASE))


class _Unproven(Exception):
    """A job is no proof that the slave can run."""

    def __init__(self, code: str, what: str, next_step: str = AGAIN) -> None:
        super().__init__(what)
        self.reason = Reason(code, what, next_step)


class _Early(Exception):
    """The drill must not go on; its job is disabled first."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.what)
        self.reason = reason


@dataclass
class _Drill:
    """One try of a drill."""

    context: PairContext
    record: Record
    claim: OperationClaim = field(init=False)

    def __post_init__(self) -> None:
        self.claim = OperationClaim(self.context, self.record)

    def run(self) -> Event:
        try:
            self._each()
        except _Early as early:
            return self._end(early.reason)
        except NothingToDo:
            raise self._gave_way() from None
        except DenodoSchedulerError as error:
            how = "repair the slave or its connection; a retry goes on"
            raise NotYet("interrupted", f"the drill could not go on: {error}", how) from None
        return self._end(None)

    def _each(self) -> None:
        try:
            if self.record.drilled:
                self._disable(None)
            while key := self._next():
                self._drill(key)
        except (_Early, Blocked, NothingToDo, NotYet, DenodoSchedulerError):
            raise
        except Exception as error:
            if self.record.drilled:
                log.warning("After an error %s is disabled first; a retry goes on: %s", self.record.drilled, error)
                self._rest_at_once(self.record.drilled)
            raise

    def _rest_at_once(self, key: JobKey) -> None:
        """Disable the job, also where the record cannot be read or saved; a retry notes it."""
        assert self.record.operation is not None
        try:
            self._advance(Step.DISABLING, key)
        except (Blocked, NothingToDo, NotYet):
            raise
        except Exception:
            self.claim.trusted_until = self.record.operation.lease_until
        _rest(self.context, self.claim, key)

    def _end(self, reason: Reason | None) -> Event:
        return _told(self.context, self.claim, partial(drill_ended, now=self.context.now(), reason=reason))

    def _gave_way(self) -> NothingToDo:
        """Tell that the drill was ended by something that does not wait for it."""
        record = self.context.record()
        if not (record.drill and record.drill.ended and record.drill.id == self._drilling.id):
            return NothingToDo("superseded", "another task has taken this drill over, or ended it")
        told = record.drill.told()
        if record.drill.code == GAVE_WAY:
            self.context.save(lambda latest: (latest, self.context.event("drill", latest, **told)))
        return NothingToDo(told["code"], told["what"], told["next_step"])

    @property
    def _drilling(self) -> Drilling:
        assert self.record.drill is not None
        return self.record.drill

    @property
    def _server(self) -> Server:
        return self.context.servers.own_path(Role.SLAVE)

    @cached_property
    def _jobs(self) -> Sequence[Job]:
        return self._server.hook.jobs()

    @cached_property
    def _wanted(self) -> frozenset[JobKey]:
        """The jobs that a failover would enable."""
        assert self.record.snapshot is not None
        try:
            return frozenset(Manifest.from_json(self.context.snapshots.read(self.record.snapshot.id)[1]).enabled)
        except (OSError, ManifestError) as error:
            what = f"the manifest of the snapshot {self.record.snapshot.id} cannot be read: {error}"
            raise _Early(Reason("snapshot_missing", what, "run the sync DAG, then drill again")) from None

    @property
    def _window(self) -> timedelta:
        """How long a job may be enabled, also where the task dies and others have to disable it."""
        return self.context.pair.drill_timeout + BEGINS_WITHIN + CLEANED_WITHIN

    def _next(self) -> JobKey | None:
        self._go_on()
        return next(iter(self._drilling.left), None)

    def _go_on(self) -> None:
        """Look at the record, keep the operation, and end the drill where automation was paused meanwhile."""
        now = self.context.now()
        self.record = self.claim.check()
        if self.record.is_paused(now):
            how = f"resume the pair with {OPERATIONS_DAG}, then drill again"
            raise _Early(Reason("paused", "automation was paused in the middle of the drill", how))
        assert self.record.operation is not None
        if self.record.operation.lease_until - now < LEASE / 2:
            self.record = self.claim.renew()

    def _advance(self, step: Step, key: JobKey) -> None:
        """Note right before a request what is coming."""
        until = self.context.now() + LEASE
        self.record = self.claim.save(lambda record: drill_enables(advanced(renewed(record, until), step), key))

    # -- one job

    def _drill(self, key: JobKey) -> None:
        """Drill one job. Whatever happens once it may be enabled, it is disabled and read back."""
        statuses = self._server.statuses()
        if drift := at_rest(statuses, self.context.pair.scope):
            raise _Early(drift)
        zones = possible_zones(self.context.pair.timezone_of(Role.SLAVE), None)
        if reason := unfit(key, statuses, self._jobs, self._wanted, zones=zones, window=self._window):
            self._saw(Drilled(key=key, **reason.to_json()))
            return
        reports = self._server.hook.reports(key, count=50, statuses=statuses)
        before = Baseline.of(statuses.by_key[key], reports, statuses.server_time)
        self._advance(Step.ENABLING, key)
        enabled = self.context.now()
        early = None
        try:
            seen = self._ran(key, self._run(key, statuses, before))
        except _Unproven as error:
            seen = Drilled(key=key, **error.reason.to_json())
        except _Early as error:
            early, seen = error, Drilled(key=key, **error.reason.to_json())
        except DenodoSchedulerError as error:
            how = f"look at the slave's web tool, then {AGAIN.removeprefix('see to it, then ')}"
            seen = Drilled(key=key, **Reason("request_failed", str(error), how).to_json())
        self._disable(seen.model_copy(update={"enabled": enabled}))
        if early:
            raise early

    def _disable(self, seen: Drilled | None) -> None:
        """Disable the job and note what was seen of it; None: nothing, it is to be drilled again."""
        key = self._drilling.job
        assert key is not None
        self._advance(Step.DISABLING, key)
        at = _rest(self.context, self.claim, key)
        if seen:
            seen = seen.model_copy(update={"disabled": at})
        self._saw(seen)

    def _saw(self, seen: Drilled | None) -> None:
        if seen:
            log.log(logging.INFO if seen.ok else logging.ERROR, "%s: [%s] %s.", seen.key, seen.code, seen.what)
        self.record = self.claim.save(partial(drill_saw, seen=seen))

    def _ran(self, key: JobKey, run: Run) -> Drilled:
        said = f"it ended as {run.result}{'' if run.reported else ', says its status; there is no report'}"
        reason = Reason(RAN, said)
        if run.result not in ENDED_WELL:
            how = f"repair what its report in the slave's web tool names, then {AGAIN.removeprefix('see to it, then ')}"
            reason = Reason("ended_badly", f"it {described(run.to_json())}", how)
        return Drilled(key=key, **reason.to_json(), result=run.result, started=run.started, ended=run.ended)

    def _run(self, key: JobKey, statuses: Statuses, before: Baseline) -> Run:
        """Enable the job, start it unless that has started it, and wait for the end of its run."""
        server = self._server
        server.set_jobs_status("enable", [key], statuses)
        now = server.hook.status(key)
        reports = read_reports(server.hook, now)
        if not now.state.is_enabled:
            what = f"the slave accepted to enable it, and shows it {now.state}"
            raise _Unproven("not_enabled", what, "look whether the slave's Scheduler is paused, and resume it")
        if not own_run(before, now, reports).begun:  # an overdue trigger may fire as soon as it is enabled [Q]
            if late := due(now, server.hook.answered, self._window):
                raise _Unproven(*late)
            self.claim.check()
            self._start(server, key, statuses)
        return self._ended(server, key, before)

    def _start(self, server: Server, key: JobKey, statuses: Statuses) -> None:
        try:
            server.set_jobs_status("start", [key], statuses)
        except (NoAnswerError, ServerBusyError) as error:
            log.warning("Whether %s was started is not known; its run is looked for: %s", key, error)

    def _ended(self, server: Server, key: JobKey, before: Baseline) -> Run:
        began = self.context.now()
        end, begin_by = began + self.context.pair.drill_timeout, began + BEGINS_WITHIN
        running, unreported, said = False, 0, "nothing was seen"
        while True:
            begun = False
            try:
                status = server.hook.status(key)
                sight = own_run(before, status, read_reports(server.hook, status), seen_running=running)
            except UnknownJobError:
                raise
            except TRANSIENT as error:
                said = f"the last request failed: {error}"
            else:
                running = running or status.state is JobState.RUNNING
                begun, said = sight.begun, f"the job is {status.state}"
                unreported = unreported + 1 if sight.run and not sight.run.reported else 0
                if sight.run and (sight.run.reported or unreported == UNREPORTED):
                    return sight.run
                if not status.state.is_enabled and not begun:
                    raise _Unproven("disabled_meanwhile", "something else disabled it during the drill")
            now = self.context.now()
            if now >= end:
                waited = format_duration(self.context.pair.drill_timeout)
                how = "look why it takes so long there, or raise 'drill_timeout'"
                raise _Unproven("not_ended", f"its run did not end within {waited}; at last {said}", how)
            if now >= begin_by and not begun and not running:
                how = "look at the slave's web tool and at its Scheduler's log"
                raise _Unproven("not_begun", f"it was started, and no run of it was seen; at last {said}", how)
            time.sleep(POLL)
            self._go_on()
