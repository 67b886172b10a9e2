"""May a switchover begin? The rules about the pair's record, and about its two servers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_ha.quiet_window import assess
from denodo_ha.record import Phase, Record, RecordError, Role
from denodo_ha.snapshot.manifest import Manifest, ManifestError, build_manifest
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.outcome import Blocked, NotYet
from denodo_scheduler.steps.passive import ensure_distinct
from denodo_scheduler.steps.servers import Server, answering

LISTED = 200
"""How many jobs of a kind a plan or an event names; it always tells how many there are."""
OPERATIONS = "the operations DAG"
SWITCHOVER = "the switchover DAG"


@dataclass(frozen=True)
class SwitchRun(PairRun):
    """What a switchover needs besides.

    :param to: the server that becomes active.
    :param accept_differences: a person knows that some jobs have another definition there, and wants those.
    """

    to: Role = Role.SLAVE
    accept_differences: bool = False


def other(role: Role) -> Role:
    return Role.SLAVE if role is Role.MASTER else Role.MASTER


def usable_record(run: SwitchRun) -> Record:
    try:
        return run.record()
    except RecordError as error:
        raise Blocked("record_unusable", error.what, error.next_step) from None


def ensure_may_begin(run: SwitchRun, record: Record) -> None:
    ensure_not_stopped(run, record)
    _ensure_no_operation(record)
    _ensure_direction(run, record)
    _ensure_known(run, record)
    if run.to is Role.SLAVE and (record.snapshot is None or record.dirty is not None):
        why = f"the slave is dirty ({record.dirty.reason})" if record.dirty else "there is no committed snapshot"
        raise Blocked("sync_first", f"{why}, so nobody knows what the slave would run", "run the sync DAG first")
    promotion = record.last_promotion
    if run.to is Role.MASTER and promotion is not None and not promotion.complete:
        raise Blocked(
            "promotion_incomplete",
            "not all jobs of the last failover could be enabled on the slave yet, so its enabled jobs are not all that "
            "are to run",
            "wait until the failover DAG has completed it, or mend or delete these jobs on the slave",
        )


def ensure_not_stopped(run: SwitchRun, record: Record) -> None:
    if record.phase is Phase.HALTED:
        why = record.halted.reason if record.halted else "see the pair's asset events"
        raise Blocked("halted", f"the pair is halted: {why}", f"see to it, then release the pair with {OPERATIONS}")
    if record.paused and record.is_paused(run.now()):
        raise Blocked(
            "paused",
            f"the pair is paused: {record.paused.reason}",
            f"resume the pair with {OPERATIONS}, then try again",
        )


def _ensure_no_operation(record: Record) -> None:
    if record.operation is None:
        return
    if record.operation.kind == "sync":
        raise NotYet(
            "operation_open",
            f"the sync {record.operation.id} is not at its end",
            "wait for it; one that was interrupted is closed by the next run of the sync DAG",
        )
    raise Blocked(
        "operation_open",
        f"the {record.operation.kind} {record.operation.id} is not at its end",
        "wait for it; one that was interrupted is resumed by the failover DAG",
    )


def _ensure_direction(run: SwitchRun, record: Record) -> None:
    wanted = Phase.NORMAL if run.to is Role.SLAVE else Phase.FAILED_OVER
    if record.active is run.to:
        raise Blocked("already_active", f"the {run.to} is the active server already", "nothing is to be done")
    if record.phase is not wanted:
        raise Blocked(
            record.phase.value, f"the pair is in phase {record.phase}", f"look at the pair's history and {OPERATIONS}"
        )


def _ensure_known(run: SwitchRun, record: Record) -> None:
    """The record fits its witness, and the connections lead to two servers, the same ones as so far."""
    witness = run.snapshots.witness()
    if witness and witness.contradicts(record):
        raise Blocked(
            "record_contradicted",
            f"the HA record says epoch {record.epoch} and active server {record.active}, and its witness beside the "
            f"snapshots epoch {witness.epoch} and {witness.active}: the record was lost, or restored from a backup",
            f"look which server has enabled jobs, then initialise the pair with {OPERATIONS}",
        )
    for role, known, now in ((Role.MASTER, record.master, run.master), (Role.SLAVE, record.slave, run.slave)):
        if known not in (None, now.address):
            raise Blocked(
                "servers_changed",
                f"the connection of the {role} leads to {now.address}, and led to {known} so far",
                f"correct the connection; if it is right, initialise the pair with {OPERATIONS}",
            )
    if run.master.address == run.slave.address:
        raise Blocked(
            "same_server",
            f"the connections {run.pair.master} and {run.pair.slave} name the same Scheduler server",
            f"correct host, port or scheduler_uri of {run.pair.slave}",
        )


@dataclass(frozen=True)
class Examined:
    """Both servers, read right one after the other; the rules about them hold."""

    record: Record
    to: Role
    path: Server
    statuses: Statuses
    active: Manifest
    target: Manifest

    @property
    def dependencies(self) -> dict[JobKey, tuple[JobKey, ...]]:
        return {job.key: job.dependencies for job in self.target.jobs}

    def to_json(self) -> dict[str, Any]:
        difference = self.active.diff(self.target)
        return {
            "from": str(other(self.to)),
            "to": str(self.to),
            "epoch": self.record.epoch,
            "enable": names(self.active.enabled),
            "stay_disabled": names({job.key for job in self.active.jobs} - self.active.enabled),
            "different": names(difference.changed),
            "only_there": names(difference.removed),
            "connection": self.path.hook.denodo_scheduler_conn_id,
            "uri": self.path.uri,
        }


def names(keys: Collection[JobKey]) -> dict[str, Any]:
    """How many jobs, and their names."""
    return {"jobs": len(keys), "names": [str(key) for key in sorted(keys)][:LISTED]}


def examine(run: SwitchRun, record: Record) -> Examined:
    """Read both servers and refuse what would not carry the enabled jobs over exactly."""
    path, statuses = answering(run, other(run.to))
    target_path, target_statuses = answering(run, run.to)
    if run.to is Role.SLAVE:
        ensure_distinct(run, statuses, target_statuses)
    else:
        ensure_distinct(run, target_statuses, statuses)
    active, target = read_manifest(run, path, statuses), read_manifest(run, target_path, target_statuses)
    _ensure_carried_over(run, active, target)
    return Examined(record, run.to, path, statuses, active, target)


def read_manifest(run: SwitchRun, server: Server, statuses: Statuses) -> Manifest:
    try:
        return build_manifest(server.hook.jobs(uri=server.uri), statuses.jobs, run.pair.scope)
    except ManifestError as error:
        raise NotYet("unsteady", f"the {server.role}: {error}", "this task looks again") from None


def _ensure_carried_over(run: SwitchRun, active: Manifest, target: Manifest) -> None:
    old = other(run.to)
    if not active.enabled:
        raise Blocked(
            "nothing_enabled",
            f"no job of the {old} is enabled, although it is the active server; a paused one looks exactly like this",
            f"resume the {old}'s Scheduler, or enable its jobs",
        )
    if target.enabled:
        raise Blocked(
            "target_enabled",
            f"{len(target.enabled)} jobs of the {run.to} are enabled ({listed(sorted(target.enabled))}), but it "
            "is not the active server",
            f"disable them there, or let the failover DAG do so; if it is the active server, initialise the pair with "
            f"{OPERATIONS}",
        )
    if missing := sorted(active.enabled - target.by_key.keys()):
        how = "run the sync DAG" if run.to is Role.SLAVE else "create them on the master, or disable them on the slave"
        raise Blocked(
            "missing_on_target", f"{len(missing)} enabled jobs do not exist on the {run.to}: {listed(missing, 20)}", how
        )
    different = active.diff(target).changed
    if different and run.pair.sync.verify_definitions and not run.accept_differences:
        how = (
            "run the sync DAG first, "
            if run.to is Role.SLAVE
            else "edit them on the master as they are on the slave: the next sync overwrites the slave's, "
        )
        raise Blocked(
            "different",
            f"{len(different)} jobs have another definition on the {run.to}: {listed(different, 20)}",
            f"{how}or trigger {SWITCHOVER} with 'accept differences' ticked",
        )


def ensure_quiet(run: SwitchRun, statuses: Statuses) -> None:
    """Nothing runs, because disabling would stop it [D], and nothing is due: without the margin, which is the reserve
    for the time since the wait."""
    jobs = [job for job in statuses.jobs if run.pair.scope.matches(job.key)]
    seen = assess(jobs, now=statuses.server_time, window=run.pair.sync.quiet_window, margin=timedelta(0))
    if not seen.quiet:
        raise NotYet(
            "window_closed",
            f"the quiet window has closed before the switchover: {seen}",
            "nothing was changed; this task looks again. If it stays, clear the run",
        )
