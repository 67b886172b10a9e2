"""Readiness checks of the two servers: connections, versions, clocks, jobs, and what the passive one lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from denodo_ha.durations import format_duration
from denodo_ha.jobs import JobKey, ServerInfo, version_of
from denodo_ha.preconditions import OPERATIONS_DAG, drill_left, looks_paused, same_servers, two_addresses, two_servers
from denodo_ha.quartz.missed import IRRELEVANT, UNKNOWN_ZONE, ServerZone, configured_zone, server_zone
from denodo_ha.readiness.facts import ReadyFacts, Unread, known, resources
from denodo_ha.readiness.findings import Said, critical, fine, unknown, warning
from denodo_ha.record import Record, Role
from denodo_ha.snapshot.manifest import ManifestJob
from denodo_ha.text import listed

ADMIN_ROLE = "scheduler_admin"
"""The role without which a user can neither export nor import, and may see only some of the jobs [V]."""
APART = timedelta(minutes=1)
"""How far the clock of a server may be from ours."""


def _connection(facts: ReadyFacts, role: Role) -> Said:
    """A server that does not answer is no missing fact but the answer."""
    server = facts.servers[role]
    if isinstance(server.info, Unread):
        return critical(f"the {role} does not answer as it should: {server.info.why}", server.info.next_step)
    info = server.info
    mode = f" ({info.scheduler_mode})" if info.scheduler_mode else ""
    return fine(f"Denodo Scheduler {info.version}{mode} answers over the connection {server.connection}", "GET /me")


def _roles(facts: ReadyFacts, role: Role) -> Said:
    server = facts.servers[role]
    roles = known(server.info).roles
    if not roles:
        how = f"look in its web tool whether the user of the connection {server.connection} has the role {ADMIN_ROLE}"
        return unknown(f"the {role} does not tell the roles of its user", how, "GET /me")
    if ADMIN_ROLE in {each.casefold() for each in roles}:
        return fine(f"the user of the {role} has the role {ADMIN_ROLE}", "GET /me")
    return critical(
        f"the user of the {role} has the roles {listed(roles) or 'none'}, and neither exports nor imports without "
        f"{ADMIN_ROLE}",
        f"give the user of the connection {server.connection} the role {ADMIN_ROLE}",
        "GET /me",
    )


def _binding(facts: ReadyFacts, role: Role) -> Said:
    server, what = facts.servers[role], "exported" if role is facts.active else "imported"
    known(server.info)
    if isinstance(server.binding, Unread):
        return critical(f"nothing can be {what} on the {role}: {server.binding.why}", server.binding.next_step)
    assumed = f", which takes for granted that {listed(server.binding, between='; ')}" if server.binding else ""
    return fine(f"each option with which metadata is {what} on the {role} has its place{assumed}", "/v3/api-docs")


def _two_servers(facts: ReadyFacts) -> Said:
    master, slave = (facts.servers[role] for role in Role)
    connections = master.connection, slave.connection
    if not isinstance(facts.addresses, Unread) and (one := two_addresses(connections, facts.addresses)):
        return critical(one.what, one.next_step, "the two connections")
    if same := two_servers(connections, known(master.statuses).jobs, known(slave.statuses).jobs):
        return critical(same.what, same.next_step, "the statuses of all jobs of both")
    known(facts.addresses)
    return fine("the two connections lead to two servers", "ids, states and executions of the jobs of both")


def _addresses(facts: ReadyFacts) -> Said:
    record, rests_on = known(facts.record), "the two connections, and the HA record"
    if moved := same_servers(record, known(facts.addresses)):
        return critical(moved.what, moved.next_step, rests_on)
    return fine("both connections lead where they led before", rests_on)


def _one_pair(facts: ReadyFacts) -> Said:
    rests_on = "what the pairs with snapshots in the same place say of their servers"
    if reason := known(facts.held_elsewhere):
        return critical(reason.what, reason.next_step, rests_on)
    return fine("no other pair with the same storage has jobs of these servers", rests_on)


def _versions(facts: ReadyFacts) -> Said:
    ours, theirs = _infos(facts)
    active, passive = facts.active, facts.passive
    said = f"the {active} has version {ours.version}, the {passive} {theirs.version}"
    here, there = version_of(ours.version), version_of(theirs.version)
    if here is None or there is None:
        return unknown(f"{said}, which cannot be compared", "compare them by hand", "GET /me of both")
    if there < here:
        how = f"update the {passive}: no server takes an export of a newer version"
        return critical(f"{said}, which is older", how, "GET /me of both")
    if there > here:
        how = f"update the {active}, or accept that nothing of the {passive} can be brought back to an older version"
        return warning(f"{said}, which is newer", how, "GET /me of both")
    if ours.version != theirs.version:
        return warning(f"{said}: two updates of one version", "give both the same update", "GET /me of both")
    return fine(said, "GET /me of both")


def _editions(facts: ReadyFacts) -> Said:
    modes = [info.scheduler_mode for info in _infos(facts)]
    if None in modes or "" in modes:
        how = "compare the editions in both web tools"
        return unknown("not both servers tell the mode in which they run", how, "GET /me of both")
    if len({mode.casefold() for mode in modes if mode}) > 1:
        how = "give both servers a licence of one edition"
        return warning(f"the {facts.active} runs as {modes[0]}, the {facts.passive} as {modes[1]}", how, "GET /me")
    return fine(f"both run as {modes[0]}", "GET /me of both")


def _infos(facts: ReadyFacts) -> tuple[ServerInfo, ServerInfo]:
    return known(facts.servers[facts.active].info), known(facts.servers[facts.passive].info)


def _clock(facts: ReadyFacts, role: Role) -> Said:
    ahead = known(facts.servers[role].ahead)
    seconds = round(ahead.total_seconds())
    how_far = (
        f"{format_duration(timedelta(seconds=abs(seconds)))} {'ahead of' if seconds > 0 else 'behind'}"
        if seconds
        else "the same as"
    )
    said = f"the clock of the {role} is {how_far} the worker's"
    if abs(ahead) <= APART:
        return fine(said, "the time in an answer of its web tool")
    how = "let both machines and Airflow's workers take their time from one source (NTP)"
    return warning(said, how, "the time in an answer of its web tool")


def _zone(facts: ReadyFacts, role: Role) -> Said:
    configured, proven = configured_zone(facts.pair.timezone_of(role)), _proven(facts, role)
    option = f"{role}_timezone"
    rests_on = "the option of the pair, and the next executions of enabled jobs"
    if configured and proven:
        at = known(facts.servers[role].statuses).server_time
        if at.astimezone(configured.zone).utcoffset() != at.astimezone(proven.zone).utcoffset():
            what = f"the option {option} says {configured}, and the next executions of the {role}'s jobs say {proven}"
            return critical(what, f"correct {option} of the pair", rests_on)
        return fine(f"the crons of the {role} are on {configured}, as its next executions prove", rests_on)
    if proven:
        return fine(f"the crons of the {role} are on {proven}", "the next executions of enabled jobs")
    if configured and role is facts.passive:
        return fine(f"the crons of the {role} are on {configured}; at rest, it proves none", f"the option {option}")
    if configured:
        what = f"the crons of the {role} are taken to be on {configured}, which none of its next executions proves"
        return unknown(what, f"look at the clock and the time zone of the {role}'s machine", f"the option {option}")
    what = f"the time zone of the {role}'s crons is not known: its next executions tell none"
    return unknown(what, f"say {option} of the pair", rests_on)


def _proven(facts: ReadyFacts, role: Role) -> ServerZone | None:
    """The zone that the next executions prove, if they do."""
    server = facts.servers[role]
    manifest, taken = known(server.manifest), known(server.statuses).server_time
    if not any(job.enabled and job.next_execution and job.crons for job in manifest.jobs):
        return None
    found = server_zone(manifest, taken, taken)
    return None if found is UNKNOWN_ZONE or found.said == IRRELEVANT else found


def _zones(facts: ReadyFacts) -> Said:
    zones = {role: _proven(facts, role) or configured_zone(facts.pair.timezone_of(role)) for role in Role}
    found = {role: zone for role, zone in zones.items() if zone}
    missing = [role for role in Role if role not in found]
    if missing:
        how = f"say {missing[0]}_timezone of the pair"
        return unknown("whether both servers are in one time zone is not known", how, "options and next executions")
    at = {role: facts.now.astimezone(zone.zone).utcoffset() for role, zone in found.items()}
    if at[Role.MASTER] == at[Role.SLAVE]:
        return fine("both servers have the same time", "options of the pair and next executions")
    return warning(
        f"the master's crons are on {found[Role.MASTER]}, the slave's on {found[Role.SLAVE]}: after a change of the "
        "active server each job runs at another hour of the day",
        "give both Scheduler servers the same time zone (-Duser.timezone of their JVM)",
        "options of the pair and next executions",
    )


def _at_work(facts: ReadyFacts) -> Said:
    known(facts.record)  # which alone says that it is the active one
    server, role = facts.servers[facts.active], facts.active
    wanted, rests_on = known(server.manifest), f"statuses and definitions of the {role}"
    shown = [job for job in known(server.statuses).jobs if job.state.is_enabled and job.key in wanted.by_key]
    if shown or not wanted.jobs:
        return fine(f"{len(shown)} of {len(wanted.jobs)} jobs are enabled on the active server, the {role}", rests_on)
    if wanted.enabled:
        what = (
            f"the {role} looks paused: it shows every job DISABLED, and {len(wanted.enabled)} definitions say otherwise"
        )
        return critical(what, f"resume the {role}'s Scheduler (RMI: resumeScheduler)", rests_on)
    how = f"enable its jobs, or say with {OPERATIONS_DAG} that the {facts.passive} is the active one (initialise)"
    return critical(f"no job is enabled on the active server, the {role}", how, rests_on)


def _at_rest(facts: ReadyFacts) -> Said:
    record = known(facts.record)  # which alone says that it is the passive one
    server, role, rests_on = facts.servers[facts.passive], facts.passive, "statuses and definitions"
    found, left = known(server.manifest).enabled, drill_left(record, facts.now)
    drilled = found & _drilled(record, left)
    enabled = sorted(found - drilled)
    if not enabled and drilled and left:
        how = f"trigger {facts.pair.dag_id_failover}, which disables it"
        what = f"a drill was interrupted, and {listed(drilled)} is still enabled on the {role}"
        return warning(what, how, f"the HA record, {rests_on}")
    if not enabled:
        but = f" but {listed(sorted(drilled))}, which a drill runs" if drilled else ""
        return fine(f"no job of the pair is enabled on the {role}{but}", rests_on)
    if not any(known(server.statuses).by_key[key].state.is_enabled for key in enabled):
        paused = looks_paused(enabled, str(role))
        return critical(paused.what, paused.next_step, rests_on)
    how = f"trigger {facts.pair.dag_id_failover}, which disables them, and find out who has enabled them"
    what = f"{len(enabled)} jobs are enabled on the passive server, the {role}: {listed(enabled)}"
    return critical(what, how, rests_on)


def _drilled(record: Record, left: bool) -> frozenset[JobKey]:
    """Return the jobs that a drill may have enabled, also the next ones of a drill that goes on after the record was
    read.

    :param left: whether it was interrupted.
    """
    if record.drill is None or record.operation is None or record.operation.kind != "drill":
        return frozenset()
    return frozenset(filter(None, (record.drill.job, *(() if left else record.drill.left))))


def _jobs(facts: ReadyFacts) -> Said:
    ours, theirs = _manifests(facts)
    missing = sorted(ours.keys() - theirs.keys())
    if not ours:
        how = "look at the projects and at the option 'projects' of the pair"
        return warning(f"no job of the {facts.active} is in the pair's scope", how, "GET /jobs")
    if missing:
        what = f"{len(missing)} of {len(ours)} jobs are not on the {facts.passive}: {listed(missing)}"
        return warning(what, to_sync(facts), "GET /jobs of both")
    return fine(f"all {len(ours)} jobs of the {facts.active} are on the {facts.passive}", "GET /jobs of both")


def _job_types(facts: ReadyFacts) -> Said:
    ours, theirs = ({job.type for job in jobs.values()} for jobs in _manifests(facts))
    if only := sorted(ours - theirs):
        what = f"only the {facts.active} has jobs of the types {listed(only)}, so it is not known that the other can"
        how = f"{to_sync(facts)}; if they stay pending, see whether the edition of the {facts.passive} has these types"
        return warning(what, how, "GET /jobs of both")
    return fine("each type of job is on both servers", "GET /jobs of both")


def _manifests(facts: ReadyFacts) -> tuple[Mapping[JobKey, ManifestJob], Mapping[JobKey, ManifestJob]]:
    """The jobs in scope of the active and of the passive server."""
    ours, theirs = (known(facts.servers[role].manifest) for role in (facts.active, facts.passive))
    return ours.by_key, theirs.by_key


def to_sync(facts: ReadyFacts) -> str:
    """Say how a person has the active server copied to the passive one."""
    return f"run {facts.pair.dag_id_sync}" + ("" if facts.active is Role.MASTER else " with 'reprotect'")


def _crons(facts: ReadyFacts) -> Said:
    refused = known(facts.crons_refused)
    rests_on = "validateCronExpressions of the passive server"
    if not refused:
        return fine(f"the {facts.passive} takes each cron of the {facts.active}", rests_on)
    ours = known(facts.servers[facts.active].manifest).jobs
    jobs = sorted(job.key for job in ours if refused.keys() & set(job.crons))
    said = listed((f"{cron!r} ({why})" for cron, why in sorted(refused.items())), 3, between="; ")
    how = f"write these crons so that both servers take them, or update the {facts.passive}: {listed(jobs)}"
    return critical(f"the {facts.passive} refuses {len(refused)} crons: {said}", how, rests_on)


def _drivers(facts: ReadyFacts) -> Said:
    rests_on = "the committed snapshot, and an export of the passive server"
    if not known(facts.exports_resources):
        how = f"take 'drivers' and 'plugins' out of export_options, or compare them by hand on the {facts.passive}"
        return unknown("the export leaves drivers or plugins out, so they are not compared", how, "export_options")
    wanted = resources(known(facts.contents))
    if not wanted:
        return fine("the snapshot holds no driver or plugin that was uploaded", "the committed snapshot")
    if missing := sorted(wanted - known(facts.held)):
        what = f"the {facts.passive} lacks {len(missing)} drivers or plugins: {listed(missing)}"
        how = "upload them there in its web tool; an import delivers them only where import_options do not forbid it"
        return critical(what, how, rests_on)
    return fine(f"the {facts.passive} has all {len(wanted)} drivers and plugins", rests_on)


Check = Callable[[ReadyFacts], Said]


def _of_each(code: str, check: Callable[[ReadyFacts, Role], Said]) -> dict[str, Check]:
    def of(role: Role) -> Check:
        return lambda facts: check(facts, role)

    return {f"{code} {role}": of(role) for role in Role}


OF_SERVERS: Mapping[str, Check] = {
    **_of_each("connection", _connection),
    **_of_each("roles", _roles),
    **_of_each("binding", _binding),
    "two servers": _two_servers,
    "addresses": _addresses,
    "one pair": _one_pair,
    "versions": _versions,
    "editions": _editions,
    **_of_each("clock", _clock),
    **_of_each("time zone", _zone),
    "time zones": _zones,
    "at work": _at_work,
    "at rest": _at_rest,
    "jobs": _jobs,
    "job types": _job_types,
    "crons": _crons,
    "drivers": _drivers,
}
