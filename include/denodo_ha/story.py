"""Five sentences for somebody who has never seen the pair: what is going on, why, and what happens next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from denodo_ha.doubts import open_doubts
from denodo_ha.durations import format_duration
from denodo_ha.explained import of_failover, plain
from denodo_ha.offers import IDS, TITLES, sensible
from denodo_ha.preconditions import other
from denodo_ha.record import Operation, Phase, Record, Role
from denodo_ha.sight import Sight
from denodo_ha.status import STANDBY_ONLY, SYNC_HELPS
from denodo_ha.text import listed, moment, one_line
from denodo_ha.verdict import Verdict
from denodo_ha.words import THE_TOOL, doer

CHANGING = (Phase.FAILING_OVER, Phase.FAILING_BACK)

ENABLED_ON_BOTH = ("split_brain", "paused_split_brain", "quench", "repair", "slave_may_be_active")
"""What is said where both servers may have enabled jobs."""

BY_WORDS = {
    "failover": "a failover",
    "switchover": "a switchover",
    "failback": "a failback",
    "initialised": "an initialisation",
}
"""What has made a server the active one, by the kind of the event."""

VERDICTS = {
    Verdict.UP: "the master answers",
    Verdict.CONTROL_PATH_BROKEN: "the master's Scheduler lives, and its web tool cannot be used",
    Verdict.DOWN: "the master is down: silent on both paths",
    Verdict.UNKNOWN: "the master does not answer, and the slave's web tool does not confirm that it is down",
    Verdict.MISCONFIGURED: "the master's web tool cannot be asked, which proves nothing about the server",
    Verdict.ISOLATED: "Airflow reaches neither server",
}


def story(sight: Sight) -> dict[str, str]:
    """Return what is going on (``now``), what that rests on (``why``), what the tool does next (``tool``), what a
    person can do (``you``), and whether the other server is ready (``ready``)."""
    return {
        "now": _sentences(_now(sight)),
        "why": _sentences(_why(sight)),
        "tool": _sentences(_tool(sight)),
        "you": _sentences(_you(sight)),
        "ready": _sentences(_ready(sight)),
    }


def since(sight: Sight) -> tuple[datetime | None, str]:
    """Return since when the active server is it, None where the history has no more, and why and by whom."""
    record, changed = sight.record, sight.seen.changed
    if record is None:
        return None, ""
    told = dict(changed.extra) if changed else {}
    after = told.get("after")
    fits = isinstance(after, dict) and after.get("active") == record.active
    promotion = record.last_promotion if record.active is Role.SLAVE else None
    if promotion and not (fits and told.get("operation") == promotion.id):
        return promotion.at, BY_WORDS[promotion.kind]
    if changed is None or not fits:
        return None, "the history does not reach back to that"
    return _moment(told.get("at")) or changed.at, _because(told)


def _because(told: dict[str, object]) -> str:
    actor, reason = str(told.get("actor") or ""), str(told.get("reason") or "")
    what = BY_WORDS.get(str(told.get("kind")), "a change")
    by = f"by {doer(actor) or THE_TOOL}"
    down = ", because the master was down" if told.get("kind") == "failover" else ""
    return f"{what} {by}{down}" + (f": {one_line(reason)}" if reason else "")


def _now(sight: Sight) -> Iterator[str]:
    record = sight.record
    if sight.stopped:
        yield sight.stopped.text
    if record is None:
        yield sight.what
        yield f"{sight.old}{listed(counts, between='; ')}" if (counts := list(_counts(sight))) else ""
        return
    at, because = since(sight)
    known = f"{_since(sight, at)} ({because})" if at else "since before the history begins"
    yield f"{sight.old}the {record.active} is the active server{_runs(sight, record)}, {known}"
    if record.halted:
        yield f"the pair was halted by {record.halted.by} {sight.ago(record.halted.since)}: {record.halted.reason}"
    elif record.operation and record.phase in CHANGING:
        yield _under_way(record.operation, record.phase)
    elif not sight.stopped:
        yield sight.what


def _runs(sight: Sight, record: Record) -> str:
    """Whether jobs run there, as far as it was seen."""
    if record.phase in CHANGING:
        return ""
    counts, heard = sight.enabled(record.active), _heard(sight, record.active)
    if heard is False:
        last = _moment(sight.watching.last_alive) if record.active is Role.MASTER else None
        return f" and does not answer{f', last heard {sight.ago(last)}' if last else ''}"
    if counts and not counts[0]:
        return ", and no job is enabled on it, so nothing runs"
    if heard is None and not counts:
        return ""
    both = sight.code in ENABLED_ON_BOTH
    number = f" ({counts[0]} of {counts[1]} enabled)" if counts else ""
    return f" and runs the jobs{number}" + (", and the other one has enabled jobs too" if both else "")


def _heard(sight: Sight, role: Role) -> bool | None:
    """Whether a server has answered at the last look; None: it is not known."""
    if sight.verdict is None or sight.situation is None:
        return None
    return sight.verdict.alive if role is Role.MASTER else sight.situation.slave_reachable


def _since(sight: Sight, at: datetime) -> str:
    return f"since {at.astimezone(UTC):%Y-%m-%d %H:%M}Z, {sight.ago(at)}"


def _under_way(operation: Operation, phase: Phase) -> str:
    to = Role.SLAVE if phase is Phase.FAILING_OVER else Role.MASTER
    done = {
        "claimed": "no server was changed yet",
        "disabling": f"the jobs of the {other(to)} are being disabled",
        "enabling": f"the jobs are being enabled on the {to}, and it only goes forward",
    }
    return f"a {operation.kind} to the {to} is under way: {done.get(operation.step, str(operation.step))}"


def _why(sight: Sight) -> Iterator[str]:
    seen = sight.watching
    if sight.looked is None:
        yield "the pair has not been looked at yet"
    else:
        judged = VERDICTS[sight.verdict] if sight.verdict else "the master is being judged anew"
        facts = [judged, *_counts(sight)]
        yield f"last look {sight.ago(sight.looked)}: {'; '.join(facts)}"
    heard = _moment(seen.last_alive)
    if heard and sight.verdict and not sight.verdict.alive:
        yield f"the master was last heard {sight.ago(heard)}"
    if second := _moment(seen.second_good):
        yield f"the slave's web tool was last seen to reach the master's Scheduler {sight.ago(second)}"
    if sight.stopped:
        yield "nothing newer is known, because the monitor has stopped"


def _counts(sight: Sight) -> Iterator[str]:
    for role in Role:
        if counts := sight.enabled(role):
            yield f"{counts[0]} of {counts[1]} jobs enabled on the {role}"


def _tool(sight: Sight) -> Iterator[str]:
    """What the tool does next; what people have stopped before what it would do otherwise."""
    record, code = sight.record, sight.code
    if sight.stopped:
        yield "it does nothing: nothing watches the pair, so nothing would fail over"
    elif record is None:
        yield "it changes nothing, and looks again by itself; nothing would fail over"
    elif sight.phase is Phase.HALTED:
        yield plain(of_failover("halted").then)
    elif record.is_paused(sight.now):
        until = record.paused.until if record.paused else None
        ends = f"until {until.astimezone(UTC):%Y-%m-%d %H:%M}Z" if until else "until a person resumes it"
        yield f"it observes and changes nothing, {ends}"
        yield plain(of_failover(code).then) if code.startswith("paused_") else ""
    elif sight.phase in CHANGING:
        yield "it goes on by itself, also after a crash; once a job is enabled there, it only goes forward"
    else:
        yield plain(of_failover(code).then) or "it looks again about every two minutes"
    if sight.seen.reading.syncing and not sight.stopped:
        yield f"the sync {sight.seen.reading.syncing} is under way"


def _you(sight: Sight) -> Iterator[str]:
    steps = dict.fromkeys(each.next_step for each in (sight.leading, *sight.findings) if each and each.next_step)
    told = [each for each in steps if each != "wait"] or list(steps)
    yield from told[: 1 if sight.phase is Phase.HALTED else 3] or ["nothing has to be done"]
    if titles := [TITLES[each] for each in suggested(sight)]:
        yield f"here: {', '.join(titles)}"


def suggested(sight: Sight) -> list[str]:
    """The ids of the actions that help with what is found and make sense now."""
    possible = sensible(sight)
    codes = [sight.code, *(each.code for each in sight.findings)]
    words = dict.fromkeys(word for code in codes for word in of_failover(code).helps)
    return [IDS[word] for word in words if IDS.get(word) in possible]


def _ready(sight: Sight) -> Iterator[str]:
    record = sight.record
    if record is None:
        yield "nothing is known of a standby: without an HA record nothing is ready to take over"
        return
    standby = other(record.active)
    against = next(_against(sight, record, standby), "")
    snapshot = record.snapshot
    of = f"its jobs were verified as of {sight.ago(snapshot.taken)}" if snapshot else ""
    limit = sight.watching.oldest_snapshot
    within = (
        f" (at most {format_duration(timedelta(seconds=limit))} are allowed)" if limit and standby is Role.SLAVE else ""
    )
    if against:
        yield f"{sight.old}the {standby} is not ready to take over: {against}"
        yield f"{of}{within}" if of and record.snapshot and record.snapshot.source is not standby else ""
        return
    jobs = f", {snapshot.enabled} of {snapshot.jobs} to be enabled" if snapshot else ""
    yield f"{sight.old}the {standby} is ready to take over: {of}{within}{jobs}"
    yield from _but(sight, record)
    if names := [each.name for each in open_doubts(record, sight.now) if each.role is standby]:
        yield f"but there {'is a doubt' if len(names) == 1 else f'are {len(names)} doubts'}: {listed(names, 3, '; ')}"


def _but(sight: Sight, record: Record) -> Iterator[str]:
    """Why it does not take over by itself, although it could."""
    if sight.phase is Phase.HALTED or record.is_paused(sight.now):
        yield f"but nothing changes by itself while the pair is {'halted' if record.halted else 'paused'}"
    elif sight.code == "control_path_broken":
        yield "but syncs wait for the master's web tool, and what was verified grows old"


def _against(sight: Sight, record: Record, standby: Role) -> Iterator[str]:
    """Why the passive server could not take over now, the most telling first."""
    if record.phase in CHANGING:
        yield "the active server is being changed right now"
    if record.dirty and not (sight.seen.reading.syncing or record.operation):
        yield f"it cannot be trusted ({record.dirty.reason})"
    elif record.dirty:
        yield "a sync is changing it right now"
    if record.snapshot is None:
        yield "nothing was ever synced to it"
    if _heard(sight, standby) is False:
        yield "it did not answer at the last look"
    if record.snapshot and record.snapshot.source is standby:
        yield "it was not re-protected, so it has its jobs as they were before the change"
    decision = sight.decision
    of_standby = {*STANDBY_ONLY, *SYNC_HELPS} - {"control_path_broken"}
    if standby is Role.SLAVE and decision and decision.code in of_standby:
        yield decision.what
    if sight.situation and standby is Role.SLAVE and not sight.situation.snapshot_fresh:
        yield "the last verified snapshot is older than 'oldest_snapshot' allows"
    if standby is Role.MASTER and record.last_promotion and not record.last_promotion.complete:
        yield "not all jobs are enabled on the slave yet"


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
        return moment((found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat())
    except ValueError:
        return None


def _sentences(clauses: Iterator[str]) -> str:
    """Whole sentences, each once."""
    texts = dict.fromkeys(one_line(each) for each in clauses if each)
    return " ".join(f"{each[:1].upper()}{each[1:]}." for each in texts)
