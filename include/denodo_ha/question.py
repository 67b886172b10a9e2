"""The question whether to fail over, with all that a person must know who answers it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.durations import age_of, format_duration
from denodo_ha.pairs import Pair
from denodo_ha.quartz.missed import UNKNOWN_ZONE, Missed, ServerZone
from denodo_ha.record import LEFT_BEHIND, Record
from denodo_ha.text import listed, one_line
from denodo_ha.words import jobs, many, moment, of, word

ANSWERS = {
    "up": "answers",
    "failed": "a web tool answers with an error of its own, without proof of a living server",
    "no_answer": "no answer",
    "misconfigured": "an answer that proves nothing",
    "not_asked": "not asked",
}
"""What a path has said, see :class:`denodo_ha.verdict.Answer`."""


@dataclass(frozen=True)
class Outage:
    """What the crons of the promoted snapshot say of the time since the master was last heard.

    :param enabled: how many jobs would be enabled. :param missed: the first occurrences. :param total: how many.
    """

    enabled: int
    missed: tuple[Missed, ...]
    total: int
    zone: ServerZone


def question(
    pair: Pair,
    record: Record,
    evidence: Mapping[str, Any],
    *,
    now: datetime,
    last_alive: datetime | None,
    outage: Outage | None,
    valid_for: timedelta,
) -> str:
    """Write the question in Markdown.

    :param evidence: of this watch, as ``ping_master`` returned it.
    :param last_alive: when the master was last heard, if it ever was.
    :param outage: None where the snapshot's manifest cannot be read.
    :param valid_for: how long an approval holds.
    """
    parts = (
        f"**The master {plain(pair.master)} does not answer. May the slave {plain(pair.slave)} take over?**",
        _silence(evidence, last_alive, now),
        _paths(pair, evidence),
        _takes_over(pair, record, outage, now),
        _missed(outage),
        f"**Fencing**: {_fencing(pair)}.",
        f"**Approve**: the failover DAG looks again at once. If the master is still down, its jobs are enabled on the "
        f"slave; if it is heard, nothing happens. The approval holds for {format_duration(valid_for)} and for one "
        "failover.",
        "**Reject**: nothing is changed: the slave stays passive, and nothing runs while the master is down. You are "
        f"asked again {format_duration(pair.failover.approval_timeout)} after this question, as you are without any "
        "answer.",
        f"**To change your mind** after *Reject*: trigger `{pair.dag_id_failover}` with *Fail over* ticked and a "
        f"reason. After *Approve*: pause the pair with `{pair.dag_id_operations}` before the failover has begun; once "
        f"it has ended, go back with `{pair.dag_id_switchover}`, direction *to the master*. So as not to be asked "
        "again, pause the pair.",
    )
    return "\n\n".join(parts) + "\n"


def plain(text: object) -> str:
    """Text of others in Markdown, shown as it is: what a server says, and the names of jobs."""
    escaped = re.sub(r"([\\`*_\[\]<>|#~&!{}()$])", r"\\\1", one_line(str(text)))
    return escaped.replace("://", ":\\/\\/").replace("www.", "www\\.").replace("@", "\\@")


def _silence(evidence: Mapping[str, Any], last_alive: datetime | None, now: datetime) -> str:
    heard = (
        f"It was last heard at {moment(last_alive.isoformat())}, {age_of(last_alive, now)} ago"
        if last_alive
        else "When it was last heard is not known"
    )
    rounds = evidence.get("streak")
    times = f", in {many(rounds, 'look')} in a row" if isinstance(rounds, int) else ""
    shared = word(evidence.get("common"))
    common = f" Both paths have this in common, which may be the cause: {plain(shared)}." if shared else ""
    return f"{heard}; since {moment(evidence.get('since'))} no path has shown it alive{times}.{common}"


def _paths(pair: Pair, evidence: Mapping[str, Any]) -> str:
    looks = evidence.get("latest")
    last = looks[-1] if isinstance(looks, list) and looks else {}
    rows = (
        ("master", f"Airflow to the master's web tool ({plain(pair.master)})"),
        ("second", "the slave's web tool to the master's Scheduler"),
        ("slave", f"Airflow to the slave's web tool ({plain(pair.slave)})"),
    )
    lines = [f"| path | last look, at {moment(last.get('at')) or 'an unknown time'} |", "|---|---|"]
    for path, name in rows:
        said = ANSWERS.get(word(last.get(path)), "not known")
        detail = plain(of(last, "details", path) or "")[:300]
        lines.append(f"| {name} | {said}{f': {detail}' if detail else ''} |")
    return "\n".join(lines)


def _takes_over(pair: Pair, record: Record, outage: Outage | None, now: datetime) -> str:
    snapshot = record.snapshot
    if snapshot is None:
        return "**What would run**: there is no verified snapshot, so this cannot be said."
    number = outage.enabled if outage else snapshot.enabled
    pending = [job.key for job in record.pending if job.code != LEFT_BEHIND]
    taken, limit = snapshot.taken, format_duration(pair.failover.oldest_snapshot)
    left = (
        f" {jobs(len(pending))} could not be delivered by the last sync: {plain(listed(pending))}." if pending else ""
    )
    return (
        f"**What would run**: {jobs(number)}, which were enabled on the master when the snapshot was taken at "
        f"{moment(taken.isoformat())}, {age_of(taken, now)} ago (the pair allows {limit}). What people have edited on "
        f"the master since is not on the slave.{left}"
    )


def _missed(outage: Outage | None) -> str:
    if outage is None:
        return "**Missed so far**: not known, since the snapshot cannot be read by this worker."
    if not outage.total:
        said = "no occurrence"
    else:
        some = listed((f"{plain(each.key)} at {moment(each.at.isoformat())}" for each in outage.missed), 5)
        said = f"{many(outage.total, 'occurrence')}: {some}"
    zone = "UTC, which is a guess" if outage.zone == UNKNOWN_ZONE else plain(outage.zone)
    return (
        f"**Missed so far**: {said}. This is by the crons of the snapshot, in the time zone {zone}; no server was "
        "asked, so jobs that start others and manual starts are not in it."
    )


def _fencing(pair: Pair) -> str:
    hook, required = pair.failover.fence, pair.failover.fencing == "required"
    if hook and required:
        return f"`{hook}` is called first, and nothing is enabled unless it confirms that the master is off"
    if hook:
        return (
            f"`{hook}` is called first, and the slave takes over also where it does not confirm that the master is off"
        )
    if required:
        return "required, and the pair has no hook for it: trigger the failover DAG with *The master is fenced* ticked"
    return (
        "none is configured. A master that only cannot be reached may go on running its jobs, which then run twice; "
        "make sure that it is off. When it is heard again, its jobs are disabled"
    )
