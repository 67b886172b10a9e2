"""Readiness checks of what surrounds the two servers: the record, the snapshot, the paths, storage, times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from math import ceil

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doctor.left import scratch_left
from denodo_ha.doubts import SECRETS, job_doubt, open_doubts
from denodo_ha.durations import age_of, format_duration
from denodo_ha.preconditions import OPERATIONS_DAG, one_writer
from denodo_ha.promotion import batches
from denodo_ha.readiness.facts import ReadyFacts, Unread, known
from denodo_ha.readiness.findings import Said, critical, fine, unknown, warning
from denodo_ha.readiness.servers import to_sync
from denodo_ha.record import Phase, Role
from denodo_ha.text import listed

RECORD = "the HA record"
RESTARTED = timedelta(days=90)
"""How long a confirmed restart of the slave is believed."""
DRILLED = timedelta(days=31)
"""How long a drill is believed."""
_MB = 1_000_000


def _phase(facts: ReadyFacts) -> Said:
    """Without a record nothing fails over, so that is no missing fact but the answer."""
    record = facts.record
    if isinstance(record, Unread):
        return critical(f"nothing would fail over: {record.why}", record.next_step, RECORD)
    if record.halted:
        how = f"see to it, then release the pair with {OPERATIONS_DAG}"
        return critical(f"the pair is halted: {record.halted.reason}", how, RECORD)
    if record.paused and record.is_paused(facts.now):
        what = f"automation is paused: {record.paused.reason}"
        return warning(what, f"resume the pair with {OPERATIONS_DAG}", RECORD)
    if record.phase is not Phase.NORMAL:
        how = f"see what denodo-ha status {facts.pair.name} says"
        return warning(f"the pair is {record.phase.value.replace('_', ' ')}", how, RECORD)
    if not record.acknowledged:
        what = "the last failover is not acknowledged, so there would be no second one"
        return warning(what, f"acknowledge it with {OPERATIONS_DAG}", RECORD)
    return fine("the pair is in phase normal, and automation goes on", RECORD)


def _snapshot(facts: ReadyFacts) -> Said:
    record, how = known(facts.record), f"{to_sync(facts)}, and see why syncs fail"
    if record.snapshot is None:
        return critical("no sync was ever verified, so there is nothing to take over", how, RECORD)
    if record.dirty and record.operation is None:
        return critical(f"the passive server cannot be trusted: {record.dirty.reason}", how, RECORD)
    oldest = facts.pair.failover.oldest_snapshot
    said = f"the last verified state is {age_of(record.snapshot.taken, facts.now)} old"
    if facts.now - record.snapshot.taken > oldest:
        return critical(f"{said}, and older than oldest_snapshot, {format_duration(oldest)}", how, RECORD)
    if problem := record.sync_problem:
        return warning(f"{said}, and syncs fail: [{problem.code}] {problem.what}", problem.next_step or how, RECORD)
    return fine(said, RECORD)


def _doubts(facts: ReadyFacts) -> Said:
    record = known(facts.record)
    others = {SECRETS, *map(job_doubt, record.pending)}
    found = list(dict.fromkeys(each.name for each in open_doubts(record, facts.now) if each.name not in others))
    if not found:
        return fine("nothing is doubted of either server", RECORD)
    how = f"repair what they name and sync, or accept them with {OPERATIONS_DAG}, operation 'acknowledge'"
    return warning(f"{len(found)} doubts are open: {listed(found, between='; ')}", how, RECORD)


def _pending(facts: ReadyFacts) -> Said:
    record = known(facts.record)
    names = {each.name for each in open_doubts(record, facts.now)}
    pending = [job for job in record.pending if job_doubt(job) in names]
    if not pending:
        return fine("no job waits to be delivered", RECORD)
    how = next((job.next_step for job in pending if job.next_step), f"run {facts.pair.dag_id_sync} with 'deliver_now'")
    what = f"{len(pending)} jobs are missing or outdated on one server: {listed(job.key for job in pending)}"
    return warning(what, how, RECORD)


def _secrets(facts: ReadyFacts) -> Said:
    """No server shows its secrets, so nothing but a password or their absence lets them fit for certain."""
    rests_on = "metadata_password of both connections, and the committed snapshot"
    shared = known(facts.passwords)
    if shared == "different":
        what = "the two connections do not have the same metadata_password, so imported secrets cannot be read"
        return critical(what, "give both connections the same metadata_password", rests_on)
    if not any(element.secrets for element in known(facts.contents).elements):
        return fine("no element of the snapshot has a secret", rests_on)
    found = open_doubts(known(facts.record), facts.now)
    if late := next((each for each in found if each.name == SECRETS), None):
        how = f"run {facts.pair.dag_id_sync}, or accept '{SECRETS}' with {OPERATIONS_DAG}"
        return warning(f"newer secrets may be missing: {late.why}", how, RECORD)
    if shared == "none":
        return unknown(
            "secrets are encrypted with the key of their own server, and no server shows whether it can read them",
            f"start a job that needs a secret on the {facts.passive} by hand, or give both connections a "
            "metadata_password",
            rests_on,
        )
    return fine("secrets travel under the same metadata_password, and all were delivered", rests_on)


def _second_path(facts: ReadyFacts) -> Said:
    """Without it the master's silence proves nothing, so only the policies that ask a person fail over."""
    common, rests_on = facts.second_path, "GET /me about the master through the slave's web tool"
    if isinstance(common, Unread):
        said, watch = f"the slave's web tool does not reach the master's Scheduler: {common.why}", facts.pair.watch
        how = "start whichever of them is down, and see that the slave's machine reaches the master's Scheduler by the "
        how += "name in 'second_path' of the pair"
        if facts.pair.failover.policy == "automatic" and not watch.one_path:
            return critical(f"{said}; nothing fails over by itself", how, rests_on)
        return warning(said, how, rests_on)
    if common:
        what = f"both paths to the master use the name {common}; if it fails, both are silent"
        how = "write the master's address into 'second_path' of the pair, or a name of another kind"
        return warning(what, how, rests_on)
    if tokens := known(facts.tokens):
        what = f"both connections need tokens of {tokens}; where it is lost with the master, nothing fails over"
        return warning(what, "let a site of its own, or both sites, give the tokens", "auth of both connections")
    return fine("the slave's web tool reaches the master's Scheduler, by a way of its own", rests_on)


def _writers(facts: ReadyFacts) -> Said:
    record = known(facts.record)
    if reason := one_writer(record):
        return warning(reason.what, reason.next_step, "a trial by the last sync")
    return fine("the storage of the record lets one writer only make each version", "a trial by the last sync")


def _storage(facts: ReadyFacts) -> Said:
    room, rests_on = facts.storage, "a file that was written there and deleted, by this worker"
    if isinstance(room, Unread):
        return critical(f"the snapshots cannot be written: {room.why}", room.next_step, rests_on)
    if room.missing:
        what = f"{room.place} can be written, but the committed snapshot is not there for this worker: {room.missing}"
        how = "lead 'snapshots' of the pair to storage that all workers share, then sync"
        return critical(what, how, rests_on)
    if room.free is None:
        return fine(f"{room.place} can be written; it tells no limit", rests_on)
    said = f"{room.place} can be written and has {room.free // _MB} MB free"
    how = "make room there, or keep fewer snapshots (snapshots.keep)"
    if room.free < room.needed:
        return critical(f"{said}; the next snapshots need {ceil(room.needed / _MB)} MB", how, rests_on)
    if room.free < 3 * room.needed:
        return warning(f"{said}, not three times the {ceil(room.needed / _MB)} MB of the next ones", how, rests_on)
    return fine(said, rests_on)


def _lease(facts: ReadyFacts) -> Said:
    sync = facts.pair.sync
    longest = known(facts.record).capabilities.get(facts.passive, Capabilities()).longest_import
    rests_on = f"imports to the {facts.passive} that were measured"
    if longest is None:
        how = f"run {facts.pair.dag_id_sync} until an import was read back"
        return unknown("no import was measured yet, so the lease is not known to last", how, rests_on)
    took = format_duration(timedelta(seconds=ceil(longest)))
    said = f"the longest import took {took}, the lease is {format_duration(sync.lease)}"
    how = f"set import_timeout of the pair to three times {took}, and leave out lease, which follows it"
    if longest >= sync.import_timeout.total_seconds():
        return critical(f"{said}, and import_timeout only {format_duration(sync.import_timeout)}", how, rests_on)
    if 2 * longest > sync.import_timeout.total_seconds():
        what = f"{said}; that is more than half of import_timeout, {format_duration(sync.import_timeout)}"
        return warning(what, how, rests_on)
    return fine(said, rests_on)


def _learned(facts: ReadyFacts) -> Said:
    """What was seen of a server belongs to one version of it."""
    found = known(facts.record).capabilities.get(facts.passive, Capabilities()).version
    now, rests_on = known(facts.servers[facts.passive].info).version, "the HA record, and GET /me"
    if not found:
        how = f"{to_sync(facts)} until an import was read back"
        return unknown(f"nothing was learned of the {facts.passive} yet", how, rests_on)
    if found != now:
        what = f"what was learned of the {facts.passive} is of version {found}, and it has version {now} now"
        return warning(what, f"{to_sync(facts)}, which learns it anew", rests_on)
    return fine(f"what was learned of the {facts.passive} is of its version, {now}", rests_on)


def _licence(facts: ReadyFacts) -> Said:
    """No server tells where its licence comes from, so only a person can know that it starts again."""
    day, rests_on = facts.pair.slave_restarted, "the option slave_restarted"
    how = (
        "restart the slave's Scheduler once while it cannot reach the master's site, since its licence server may die "
        "with that; then write the day into slave_restarted of the pair"
    )
    if day is None:
        return unknown("nobody has confirmed that the slave can start again without the master's site", how, rests_on)
    age = (facts.now.date() - day).days
    said = f"the slave was last seen to start again on {day}"
    if not 0 <= age <= RESTARTED.days:
        why = "lies in the future" if age < 0 else f"is {age} days ago"
        return warning(f"{said}, which {why}", how, rests_on)
    return fine(said, rests_on)


def _recovery(facts: ReadyFacts) -> Said:
    """Each batch is a request per project, with a look at the statuses of both servers before and after."""
    server = facts.servers[facts.passive]
    jobs = sorted(known(facts.servers[facts.active].manifest).enabled)
    seconds, watch = known(server.seconds), facts.pair.watch
    sizes = [{key.folded[0] for key in batch} for batch in batches(jobs, facts.pair.failover.enable_batch)]
    requests = sum(len(projects) + 3 for projects in sizes)
    notice = watch.fall * watch.probe_interval
    took = timedelta(seconds=ceil((notice + timedelta(seconds=requests * seconds)).total_seconds()))
    rests_on = f"{len(jobs)} jobs in {len(sizes)} batches, {requests} requests of {seconds:.2f} s as measured, "
    rests_on += f"{format_duration(notice)} of silence"
    said = f"a failover would take about {format_duration(took)}, without a wait for jobs that may just have run"
    wanted = facts.pair.check.recovery_time
    if took > wanted:
        how = f"find out why the {facts.passive} is slow, raise failover.enable_batch, or allow more in "
        how += "check.recovery_time"
        return warning(f"{said}; check.recovery_time is {format_duration(wanted)}", how, rests_on)
    return fine(said, rests_on)


def _doctor(facts: ReadyFacts) -> Said:
    """Whether a doctor has left something. That none has looked yet is no fault, but worth telling."""
    record = known(facts.record)
    scratch = record.scratch
    if scratch is None:
        version = known(facts.servers[facts.passive].info).version
        of_version = f"what version {version} of the {facts.passive} does"
        if record.capabilities.get(facts.passive, Capabilities()).for_version(version).tried:
            return fine(f"a doctor has tried out {of_version}, and left nothing", RECORD)
        how = f"denodo-ha doctor {facts.pair.name} --probe does"
        return fine(f"no doctor has tried out {of_version}; {how}", RECORD)
    addresses = facts.addresses
    address = None if isinstance(addresses, Unread) else dict(zip(Role, addresses, strict=True))[Role(scratch.role)]
    _, what, next_step = scratch_left(record, facts.now, address)
    if scratch.open(facts.now):
        return fine(f"{what}; it may be at work", RECORD)
    return warning(what, next_step, RECORD)


def _drill(facts: ReadyFacts) -> Said:
    """Whether the slave has shown that it can run jobs. That a pair names none is no fault, but worth telling."""
    pair, drill, how = facts.pair, known(facts.record).drill, f"denodo-ha drill {facts.pair.name}"
    if not pair.drill:
        return fine("the option drill names no job, so nothing has shown that the slave can run one", "the options")
    if drill is None or drill.ended is None:
        said = f"the last drill is {drill.summary}" if drill else "no drill has shown yet that the slave can run"
        return unknown(said, how, RECORD)
    said = f"the last drill ended {age_of(drill.ended, facts.now)} ago: {drill.summary}"
    if drill.problem:
        return warning(said, drill.problem.next_step or how, RECORD)
    return warning(said, how, RECORD) if facts.now - drill.ended > DRILLED else fine(said, RECORD)


OF_STANDBY: Mapping[str, Callable[[ReadyFacts], Said]] = {
    "phase": _phase,
    "snapshot": _snapshot,
    "doubts": _doubts,
    "pending": _pending,
    "secrets": _secrets,
    "second path": _second_path,
    "one writer": _writers,
    "doctor": _doctor,
    "drill": _drill,
    "storage": _storage,
    "lease": _lease,
    "learned": _learned,
    "licence": _licence,
    "recovery time": _recovery,
}
