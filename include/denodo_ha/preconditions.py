"""The rules about whether an operation may begin: one pure function per rule, which returns the reason against it.

The result is None where the rule holds, and the first line of each docstring says what must hold. The guard of the
sync, the failover, the switchover and the operations each list the rules that they need.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from denodo_ha.checks import same_server
from denodo_ha.jobs import JobKey, JobStatus
from denodo_ha.quiet_window import Assessment
from denodo_ha.reason import Reason
from denodo_ha.record import PendingJob, Phase, Record, Role
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.text import listed

OPERATIONS_DAG = "the operations DAG"
SWITCHOVER = "the switchover DAG"


def other(role: Role) -> Role:
    return Role.SLAVE if role is Role.MASTER else Role.MASTER


# -- the connections


def two_addresses(connections: tuple[str, str], addresses: tuple[str, str]) -> Reason | None:
    """The two connections name two servers.

    :param connections: the connection ids of master and slave. :param addresses: the addresses that they lead to.
    """
    if addresses[0] != addresses[1]:
        return None
    return Reason(
        "same_server",
        f"the connections {connections[0]} and {connections[1]} name the same Scheduler server, {addresses[1]}",
        f"correct host, port or scheduler_uri of {connections[1]}",
    )


def two_servers(connections: tuple[str, str], master: Sequence[JobStatus], slave: Sequence[JobStatus]) -> Reason | None:
    """The statuses that were read over the two connections come from two servers."""
    if not same_server(master, slave):
        return None
    return Reason(
        "same_server",
        f"the connections {connections[0]} and {connections[1]} lead to the same Scheduler server: same ids, states "
        "and executions of all jobs",
        f"correct host, port or scheduler_uri of {connections[1]}; if the slave is a fresh clone of the master, "
        "disable its jobs there once by hand",
    )


LET_IT_LEAD = (
    "look where the names or addresses of both connections lead (DNS, virtual IP, load balancer), and let each lead to "
    "its own server; the name of a server that is lost is to lead nowhere, so that its silence can be judged"
)
"""What a person does where the way to one server leads to the other one."""


def moved(record: Record, addresses: tuple[str, str]) -> tuple[Role, str, str] | None:
    """Return the server whose connection leads to another address than before: its role, old and new address."""
    known = (record.master, record.slave)
    for role, before, now in reversed(list(zip(Role, known, addresses, strict=True))):
        if before not in (None, now):
            assert before is not None
            return role, before, now
    return None


def same_servers(record: Record, addresses: tuple[str, str]) -> Reason | None:
    """The connections lead to the same servers as before."""
    found = moved(record, addresses)
    if found is None:
        return None
    role, before, now = found
    return Reason(
        "servers_changed",
        f"the connection of the {role} leads to {now}, and led to {before} so far",
        f"correct the connection; if it is right, initialise the pair with {OPERATIONS_DAG}",
    )


# -- the record


def to_initialise(dag_id: str, active: Role = Role.MASTER) -> str:
    """Return how a person says which server is the active one, by form or by command.

    :param dag_id: of the pair's operations DAG.
    """
    conf = f'{{"operation": "initialise", "active": "{active}", "reason": "the first sync"}}'
    return (
        f"trigger {dag_id} with the operation 'initialise', the active server '{active}' and a reason, or run: airflow "
        f"dags trigger {dag_id} --conf '{conf}'"
    )


def look_and_initialise(dag_id: str) -> str:
    """Return what a person does where there is no record, and it is not known which server has enabled jobs.

    :param dag_id: of the pair's operations DAG.
    """
    return (
        f"look which server has enabled jobs; if that is the master, {to_initialise(dag_id)}; then run the sync DAG. "
        "If it is the slave, say so with the active server 'slave' instead"
    )


def to_begin(dag_id: str, master: Collection[JobKey], slave: Collection[JobKey]) -> str:
    """Return what a person does to begin with a pair that has no record.

    :param dag_id: of the pair's operations DAG.
    :param master: the enabled jobs of the master. :param slave: those of the slave.
    """
    if slave and not master:
        look = f"no job is enabled on the master and {len(slave)} are on the slave; if that is the active server"
        return f"{look}, {to_initialise(dag_id, Role.SLAVE)}"
    how, then = to_initialise(dag_id), "then run the sync DAG again"
    if only := sorted(set(slave) - set(master)):
        names = listed(only, 3)[:150]
        look = f"{len(only)} jobs are enabled on the slave and not on the master ({names})"
        mend = "disable them on the slave or enable them on the master"
        return f"{look}; if the master is the active server, {mend}, then {how}; {then}"
    if slave:
        also = f"which disables the {len(slave)} jobs that are enabled on the slave"
        return f"if the master is the active server, {how}; {then}, {also}"
    return f"{how}; {then}"


def one_writer(record: Record) -> Reason | None:
    """The storage of the record lets one writer only make each of its versions."""
    if record.exclusive:
        return None
    return Reason(
        "shared_storage",
        "the storage of the pair's HA record cannot create a file for one of several writers only, so a task that was "
        "stopped for a while may undo what another has done meanwhile, such as a failover",
        "lead 'snapshots' of the pair to a disk with hard links, Amazon S3, Google Cloud Storage or Azure Blob Storage",
    )


def not_halted(record: Record) -> Reason | None:
    if record.phase is not Phase.HALTED:
        return None
    why = record.halted.reason if record.halted else "see the pair's asset events"
    return Reason("halted", f"the pair is halted: {why}", f"see to it, then release the pair with {OPERATIONS_DAG}")


def not_paused(record: Record, now: datetime) -> Reason | None:
    if record.paused is None or not record.is_paused(now):
        return None
    return Reason(
        "paused",
        f"automation is paused: {record.paused.reason}",
        f"resume the pair with {OPERATIONS_DAG}, then try again",
    )


def source_active(record: Record, source: Role) -> Reason | None:
    """A sync copies the active server, in a phase in which no other operation changes which one that is."""
    phase = Phase.NORMAL if source is Role.MASTER else Phase.FAILED_OVER
    if record.phase is phase and record.active is source:
        return None
    if record.phase is Phase.FAILED_OVER:
        return Reason(
            "failed_over",
            "the slave is the active server, and nothing is copied to the master by itself",
            f"run the sync DAG with 're-protect' ticked to copy the slave to the master, then fail back with "
            f"{SWITCHOVER}; after that, syncs of the master go on by themselves",
        )
    under_way = record.phase in (Phase.FAILING_OVER, Phase.FAILING_BACK)
    return Reason(
        record.phase.value if under_way else "master_active",
        f"the pair is in phase {record.phase} and the active server is the {record.active}: a sync of the {source} "
        "would overwrite it",
        "wait for the end of the operation that is under way"
        if under_way
        else f"look at the pair's history and {OPERATIONS_DAG}",
    )


def no_other_operation(record: Record) -> Reason | None:
    """No failover, switchover or drill is under way; an interrupted sync is repaired by the next one."""
    operation = record.operation
    if operation is None or operation.kind == "sync":
        return None
    then = "ended" if operation.kind == "drill" else "resumed"
    return Reason(
        "operation_open",
        f"the {operation.kind} {operation.id} is not at its end",
        f"wait for it; one that was interrupted is {then} by the failover DAG",
    )


def no_open_operation(record: Record, now: datetime) -> Reason | None:
    """Like :func:`no_other_operation`, where an interrupted drill is ended by the task itself."""
    return None if drill_left(record, now) else no_other_operation(record)


def drill_left(record: Record, now: datetime) -> bool:
    """Whether a drill was interrupted: its job may be enabled on the slave, and its task acts no more."""
    operation = record.operation
    return operation is not None and operation.kind == "drill" and not operation.open(now)


def no_doctor(record: Record, now: datetime, *, importing: bool = True) -> Reason | None:
    """No doctor has an import in flight to the passive server. :param importing: false: none is at work there."""
    scratch = record.scratch
    if not scratch or scratch.role == record.active or not (scratch.in_flight if importing else scratch.open)(now):
        return None
    doing = "has sent an import, which may be executed still, to" if scratch.importing else "tries things out on"
    how = f"wait for its end, at the latest {scratch.lease_until:%Y-%m-%d %H:%M:%S} UTC"
    return Reason("operation_open", f"a doctor {doing} the {scratch.role}", how)


def sync_may_begin(record: Record, now: datetime, source: Role) -> Reason | None:
    """Check the rules of a sync about the record, in their order.

    :param source: the server that is copied. The slave is copied when all jobs of its promotion are enabled.
    """
    return (
        not_halted(record)
        or source_active(record, source)
        or not_paused(record, now)
        or no_open_operation(record, now)
        or no_doctor(record, now)
        or (promotion_complete(record) if source is Role.SLAVE else None)
    )


def slave_passive(record: Record) -> Reason | None:
    """The slave is the passive server, which is the one to be drilled."""
    if record.phase is Phase.NORMAL:
        return None
    return Reason(
        "slave_active",
        f"the pair is in phase {record.phase}: a drill is of a slave that is passive",
        f"fail back with {SWITCHOVER} first; while the slave is the active server, its jobs run anyway",
    )


def drill_may_begin(record: Record, now: datetime) -> Reason | None:
    """Check the rules of a drill about the record, in their order."""
    operation = record.operation
    syncing = None
    if operation and operation.kind == "sync":
        how = "wait for it; one that was interrupted is closed by the next run of the sync DAG"
        syncing = Reason("operation_open", f"the sync {operation.id} is not at its end", how)
    return (
        not_halted(record)
        or not_paused(record, now)
        or slave_passive(record)
        or syncing
        or no_open_operation(record, now)
        or no_doctor(record, now, importing=False)
        or slave_ready(record)
    )


def not_yet_active(record: Record, to: Role) -> Reason | None:
    """``to`` is not the active server yet."""
    if record.active is not to:
        return None
    return Reason("already_active", f"the {to} is the active server already", "nothing is to be done")


def may_try(record: Record, addresses: tuple[str, str]) -> Reason | None:
    """A doctor may try things out on the passive server: no other task changes it, and it is where it was."""
    if record.operation:
        how = (
            "wait for its end; what has died is brought to its end by the next run of the sync, or of the failover DAG"
        )
        return Reason("operation_open", f"a {record.operation.kind} is under way", how)
    return not_halted(record) or same_servers(record, addresses)


def slave_ready(record: Record) -> Reason | None:
    """The jobs that the slave would run were verified."""
    if record.snapshot is not None and record.dirty is None:
        return None
    why = f"the slave is dirty ({record.dirty.reason})" if record.dirty else "there is no committed snapshot"
    return Reason("sync_first", f"{why}, so it is not known what the slave would run", "run the sync DAG first")


def promotion_complete(record: Record) -> Reason | None:
    """The enabled jobs of the slave are all that are to run."""
    if record.last_promotion is None or record.last_promotion.complete:
        return None
    return Reason(
        "promotion_incomplete",
        "not all jobs of the last failover could be enabled on the slave yet, so its enabled jobs are not all that are "
        "to run",
        "wait until the failover DAG has completed it, or repair or delete these jobs on the slave",
    )


# -- the request of a person


def reason_given(reason: str, what: str = "there is no reason") -> Reason | None:
    if reason.strip():
        return None
    return Reason("reason_missing", what, "trigger the DAG again and say why; it is kept")


# -- the jobs of the servers


def quiet(found: Assessment, before: str) -> Reason | None:
    """No job runs and none is due. ``before`` names the step that must not begin otherwise."""
    if found.quiet:
        return None
    return Reason(
        "window_closed",
        f"the quiet window has closed before the {before}: {found}",
        "nothing was changed; this task looks again. If it stays so, clear the run",
    )


def something_enabled(active: Manifest, role: Role) -> Reason | None:
    if active.enabled:
        return None
    return Reason(
        "nothing_enabled",
        f"no job of the {role} is enabled, although it is the active server; a paused one looks exactly like this",
        f"resume the {role}'s Scheduler, or enable its jobs",
    )


def target_at_rest(target: Manifest, role: Role) -> Reason | None:
    if not target.enabled:
        return None
    return Reason(
        "target_enabled",
        f"{len(target.enabled)} jobs of the {role} are enabled ({listed(sorted(target.enabled))}), but it is not the "
        "active server",
        f"disable them there, or let the failover DAG do so; if it is the active server, initialise the pair with "
        f"{OPERATIONS_DAG}",
    )


def looks_paused(enabled: Collection[JobKey], label: str) -> Reason:
    """A server shows every job DISABLED, which proves nothing: the definitions of ``enabled`` say otherwise.

    This is how a server looks that was paused through RMI [D].
    """
    return Reason(
        "looks_paused",
        f"the {label} looks paused: it shows every job DISABLED, but the definitions of {len(enabled)} jobs say that "
        f"they are enabled ({listed(sorted(enabled))}), so they start as soon as it is resumed",
        f"disable these jobs there, or resume the {label}'s Scheduler (RMI: resumeScheduler); the next run disables "
        "what is enabled by then",
    )


def all_on_target(
    active: Manifest, target: Manifest, to: Role, pending: Collection[PendingJob] = (), *, accepted: bool = False
) -> Reason | None:
    """All enabled jobs exist on the target.

    :param pending: jobs that the last sync could not deliver. :param accepted: a person leaves these behind.
    """
    missing = active.enabled - target.by_key.keys()
    undelivered = {job.key: job for job in pending if job.key in missing}
    if rest := sorted(missing - undelivered.keys()):
        what = f"{len(rest)} enabled jobs do not exist on the {to}: {listed(rest, 20)}"
        return Reason("missing_on_target", what, _sync_to(to))
    if not undelivered or accepted:
        return None
    return Reason(
        "missing_on_target",
        f"{len(undelivered)} enabled jobs do not exist on the {to}, and the last sync could not deliver them: "
        f"{_why_pending(undelivered.values())}",
        f"{_sync_to(to, now=True)}, which accepts that each may run once there; or trigger {SWITCHOVER} with 'accept "
        f"differences' ticked: then they run on neither server until they are made on the {to}",
    )


def equal_on_target(
    active: Manifest, target: Manifest, to: Role, pending: Collection[PendingJob] = ()
) -> Reason | None:
    """No job has another definition on the target. ``pending`` are the jobs that the last sync could not deliver."""
    different = active.diff(target).changed
    if not different:
        return None
    undelivered = [job for job in pending if job.key in different]
    why = f"; the last sync could not deliver {_why_pending(undelivered)}" if undelivered else ""
    return Reason(
        "different",
        f"{len(different)} jobs have another definition on the {to}: {listed(different, 20)}{why}",
        f"{_sync_to(to, now=bool(undelivered))} first, or trigger {SWITCHOVER} with 'accept differences' ticked",
    )


def _sync_to(to: Role, *, now: bool = False) -> str:
    ticks = " and ".join(["'re-protect'"] * (to is Role.MASTER) + ["'deliver now'"] * now)
    return f"run the sync DAG with {ticks} ticked" if ticks else "run the sync DAG"


def _why_pending(jobs: Iterable[PendingJob]) -> str:
    return listed(f"{job.key} ({job.why})" for job in sorted(jobs, key=lambda job: job.key))


def passive_by_other(
    passive: Role, enabled: Collection[JobStatus], active: Collection[JobStatus] | str
) -> Reason | None:
    """Jobs that this project did not enable may be disabled on a server, because the other one is the active server.

    :param enabled: the enabled jobs of the ``passive`` server. :param active: those of the other one, or why they
        cannot be read.
    """
    if active and not isinstance(active, str):
        return None
    role = other(passive)
    why = f"the {role} cannot be read: {active}" if active else f"none of the {role}'s"
    keys = sorted(job.key for job in enabled)
    if_not = (
        f"repair the {role} or its connection, and the next run disables them" if active else "disable them by hand"
    )
    return Reason(
        f"{passive}_may_be_active",
        f"{len(keys)} jobs of the {passive} are enabled ({listed(keys)}), not by a sync, and {why}",
        f"if the {passive} is the active server, initialise the pair so with {OPERATIONS_DAG}; if not, {if_not}",
    )
