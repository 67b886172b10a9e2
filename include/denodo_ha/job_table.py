"""The jobs of both servers side by side, as they were last seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_ha.preconditions import other
from denodo_ha.record import Phase, Record, Role
from denodo_ha.seen import Seen, SeenJob

COLUMNS = ("project", "name", "master", "slave", "state", "next_master", "next_slave", "note")

_Folded = tuple[str, str]


@dataclass(frozen=True)
class JobTable:
    """
    :param rows: values of :data:`COLUMNS`, sorted by project and name. Of ``master`` and ``slave``: ``enabled``,
        ``disabled``, ``missing``, or ``unknown`` where that server was never seen. ``state``: ``pending`` (a sync could
        not deliver it), ``different`` (pending too, and an older definition is there), ``missing`` (on one of the
        servers), else ``same``, which rests on the last sync. Next executions are ISO 8601 in UTC.
    :param counts: how many rows have each state, and a note; how many jobs each server has, and has enabled.
    """

    rows: list[list[str | None]]
    counts: dict[str, int]


def job_table(seen: Seen, record: Record | None, wanted: Mapping[JobKey, bool]) -> JobTable:
    """Put the jobs of both servers side by side.

    :param record: None: the pair has not begun, so no job is pending, and none is enabled wrongly.
    :param wanted: by the last sync, whether each job is to be enabled on the active server.
    """
    on = {role: {job.key.folded: job for job in server.jobs} for role, server in seen.servers.items()}
    keys = {job.key.folded: job.key for jobs in on.values() for job in jobs.values()}
    judge = _Judge(on, record, wanted)
    keys |= {job.folded: job for job in judge.pending if on and job.folded not in keys}
    rows = [judge.row(keys[folded]) for folded in sorted(keys)]
    states = Counter(row[4] for row in rows)
    counts = {state: states[state] for state in ("same", "different", "missing", "pending")}
    counts |= {"jobs": len(rows), "notes": sum(1 for row in rows if row[7])}
    for role in Role:
        jobs: Iterable[SeenJob] = on.get(role, {}).values()
        counts |= {f"{role}_jobs": len(on.get(role, {})), f"{role}_enabled": sum(job.enabled for job in jobs)}
    return JobTable(rows, counts)


class _Judge:
    """Says of one job after the other how it is."""

    def __init__(
        self, on: Mapping[Role, Mapping[_Folded, SeenJob]], record: Record | None, wanted: Mapping[JobKey, bool]
    ) -> None:
        self._on = on
        self._wanted = {key.folded: enabled for key, enabled in wanted.items()}
        self._active = record.active if record else None
        self._drilled = record.drilled if record else None
        self._at_rest = record is not None and record.phase not in (Phase.FAILING_OVER, Phase.FAILING_BACK)
        self.pending = {job.key: job for job in record.pending} if record else {}

    def row(self, key: JobKey) -> list[str | None]:
        found = {role: self._on[role].get(key.folded) if role in self._on else None for role in Role}
        words = {role: self._word(role, job) for role, job in found.items()}
        state, note = self._state(key, words)
        executions = [_time(job.next_execution) if job else None for job in found.values()]
        return [key.project, key.name, *words.values(), state, *executions, note]

    def _word(self, role: Role, job: SeenJob | None) -> str:
        if role not in self._on:
            return "unknown"
        return "missing" if job is None else "enabled" if job.enabled else "disabled"

    def _state(self, key: JobKey, words: Mapping[Role, str]) -> tuple[str, str]:
        wrong = self._enabled_wrongly(key, words)
        if pending := self.pending.get(key):
            said = "; ".join(filter(None, [wrong, pending.why, pending.next_step]))
            return ("different" if pending.on_target else "pending"), said
        lacking = [role for role, word in words.items() if word == "missing"]
        if not lacking:
            return "same", wrong
        where = lacking[0]
        if where is self._active:
            why = f"an orphan: the {where}, which is active, does not have it"
        elif self._active is None:
            why = f"not on the {where}"
        else:
            why = f"not on the {where}; the next sync brings it, if it was made since the last one"
        return "missing", "; ".join(filter(None, [wrong, why]))

    def _enabled_wrongly(self, key: JobKey, words: Mapping[Role, str]) -> str:
        """Say what is not enabled or disabled as it should be; nothing while the active server changes."""
        if self._active is None or not self._at_rest:
            return ""
        passive = other(self._active)
        if words[passive] == "enabled":
            drilled = self._drilled is not None and key == self._drilled
            return "a drill runs it" if drilled else f"enabled on the {passive}, which is passive"
        wanted = self._wanted.get(key.folded)
        if wanted is True and words[self._active] == "disabled":
            return f"disabled on the {self._active}; it was enabled when the last sync copied it"
        if wanted is False and words[self._active] == "enabled":
            return f"enabled on the {self._active} since the last sync, which a failover does not know yet"
        return ""


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None


def to_json(table: JobTable, seen: Seen, problem: str) -> dict[str, Any]:
    """Return the table for the page. :param problem: why something is not in it, or an empty text."""
    return {
        "at": {str(role): seen.servers[role].at.isoformat() if role in seen.servers else None for role in Role},
        "columns": list(COLUMNS),
        "rows": table.rows,
        "counts": table.counts,
        "problem": problem or None,
    }
