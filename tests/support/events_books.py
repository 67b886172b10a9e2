"""What happened to a pair, as it is seen from outside, and whether the events tell of it: all of it, and nothing else.

Seen from outside are the record and the watch's state at each write, and the servers at each change of a job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from denodo_ha.decisions import DECISIONS, Action
from denodo_ha.jobs import JobKey
from denodo_ha.record import Phase, Record, Role, Step
from denodo_ha.transitions import UNKNOWN
from denodo_ha.watching import GOOD, HALTING
from denodo_standin.model import Job
from support.machine_servers import MASTER, ROLES, Machine

if TYPE_CHECKING:
    from support.events_airflow import DagRun
    from support.events_world import EventWorld

DISABLING = ("drift", "repaired", "quenched")
"""Kinds of events that tell of disabled jobs, of any number of them, or of an operation that was closed."""
UNSEEN = (*DISABLING, "rejected", "switchover_stops")
"""Kinds of events for which nothing that is seen here changes."""


NAMING = ("burst", "caught_up", "not_caught_up", "waited", "failed", "missing")
"""Fields of events that name jobs, with their number."""


@dataclass(frozen=True)
class Change:
    """A change that one event has to tell of.

    :param kinds: of the event; one of them. :param details: more that the event has to say, by ``field.field``.
    """

    kinds: tuple[str, ...]
    details: dict[str, Any] = field(default_factory=dict)

    def is_told_by(self, event: dict[str, Any]) -> bool:
        return event["kind"] in self.kinds and all(_said(event, path) == value for path, value in self.details.items())


class Books:
    def __init__(self, world: EventWorld) -> None:
        self.world = world
        self.wrong: list[str] = []
        self._changes: list[Change] = []
        self._disabled: list[str] = []
        self._deleted: list[str] = []
        self._saved: dict[str, dict[str, Any]] = {}
        self._ever_disabled: set[tuple[str, str]] = set()
        self._runs_before = dict.fromkeys(ROLES, 0)
        self._enabled_by_import: dict[tuple[str, JobKey], str] = {}

    @property
    def kinds(self) -> list[str]:
        """Of all events that were ever saved, in their order."""
        return [event["kind"] for event in self._saved.values()]

    # -- what is seen

    def saved(self, key: str, before: Any, after: Any) -> None:
        if key == "record":
            old, new = Record.from_json(before) if before else None, Record.from_json(after)
            self._changes += _changes(old, new)
            events = new.outbox
        else:
            events = after["outbox"]
            self._changes += _news((before or {}).get("code", ""), after["code"])
        for event in events:
            if event != self._saved.get(event["id"]):
                self._saved[event["id"]] = event
                untrue = [*self._untrue(event), *(self._untrue_lists(event) if "missed" in event else ())]
                self.wrong += [f"{event['kind']} claims: {what}" for what in untrue]
                resumes = event["kind"].endswith("_begun") and event["before"]["phase"] == event["after"]["phase"]
                if (event["kind"].endswith("_begun") and not resumes) or event["kind"] == "failover":
                    self._runs_before = {role: self._runs_so_far(role) for role in ROLES}

    def changed(self, machine: Machine, by: str, job: Job, change: str) -> None:
        """A server has just written this to its audit."""
        run = self.world.airflow.acting
        key = JobKey(project=machine.server.store.projects[job.project_id].name, name=job.name)
        where = machine.role, key
        if change == "disabled":
            self._ever_disabled.add((machine.role, str(key)))
        if change == "enabled":
            self._enabled_by_import.pop(where, None)
            if by == "import" and run:
                self._enabled_by_import[where] = run.run_id
        elif run is None or by == "import":
            return
        elif change == "deleted":
            self._deleted.append(str(key))
        elif change == "disabled" and not self._is_own(run.run_id, *where):
            self._disabled.append(str(key))

    def _is_own(self, run_id: str, role: str, key: JobKey) -> bool:
        """Whether a run disables what its own import has enabled, or the server that its switchover leaves."""
        if self._enabled_by_import.get((role, key)) == run_id:
            return True
        record = self.world.record
        operation = record.operation if record else None
        return operation is not None and operation.kind == "switchover" and operation.step is Step.DISABLING

    def ended(self, run: DagRun) -> None:
        """A step that a person has asked for, and that failed for a reason, is told of too."""
        said = [run.pull(task, "problem") for task, state in run.states.items() if state == "failed"]
        if "report" in run.states and "switch_over" in run.states and any(said):
            self._changes.append(Change(("problem",), {"code": said[0]["code"], "after": None}))

    def emitted(self, event: dict[str, Any]) -> None:
        """An event has got into the history."""
        age = self.world.network.now - datetime.fromisoformat(event["at"])
        if _incomplete(event) and age <= self.world.pair.sync.lease:
            self.wrong.append(f"{event['kind']} is told {age} after it was begun, and not complete")

    # -- whether an event is true when it is saved

    def _untrue(self, event: dict[str, Any]) -> Iterator[str]:
        after = event.get("after") or {}
        master, slave = self.world.master, self.world.slave
        new, old = (slave, master) if after.get("active") == "slave" else (master, slave)
        kind = event["kind"]
        if kind in DISABLING and after["enabled"] == 0:
            machine = master if event.get("server") == MASTER else slave
            yield from _enabled(machine)
            never = [name for name in _listed(event["jobs"]) if (machine.role, name) not in self._ever_disabled]
            yield from [f"{never} were disabled on the {machine.role}"] if never else []
        elif kind == "sync":
            target = slave if event["source"] == MASTER else master
            yield from _enabled(target)
            manifest = self.world.manifest(after["snapshot"]).jobs
            told = {job.key for job in manifest if str(job.key) not in event["pending"]["names"]}
            if lost := told - target.jobs.keys():
                yield f"the {target.role} lacks {sorted(map(str, lost))}"
            there = {str(key) for key in target.jobs}
            if event["orphans"]["deleted"] is True and (left := there.intersection(_listed(event["orphans"]["names"]))):
                yield f"the orphans {left} are deleted"
        elif kind == "failover" and len(slave.enabled) != event["enabled"]:
            yield f"{event['enabled']} jobs of the slave are enabled, not {len(slave.enabled)}"
        elif kind in ("switchover", "failback"):
            yield from _enabled(old)
            if len(new.enabled) != after["enabled"]:
                yield f"{after['enabled']} jobs are enabled, not {len(new.enabled)}"
        elif kind == "switchover_rolled_back" and len(new.enabled) != event["enabled"]:
            yield f"{event['enabled']} jobs are enabled again, not {len(new.enabled)}"

    def _untrue_lists(self, event: dict[str, Any]) -> Iterator[str]:
        """Whether the lists of jobs that were to be enabled on a server are what it has done to them."""
        to_slave = event["kind"] == "completed" or (event["after"] or {}).get("active") == "slave"
        machine = self.world.slave if to_slave else self.world.master
        there = {str(key): key in machine.enabled for key in machine.jobs}
        runs = [(f"{run['project']} / {run['job']}", run) for run in machine.journal(self._runs_before[machine.role])]
        began = {name for name, _ in runs}
        late = {name for name, run in runs if run["trigger"] != "cron"}
        took_place = {
            (name, datetime.fromisoformat(run["scheduled"])) for name, run in runs if run["trigger"] == "cron"
        }
        names = {field: set(event[field]["names"]) for field in NAMING if isinstance(event.get(field), dict)}
        missed = {each["job"] for each in event["missed"]["listed"]}
        if lies := (names["burst"] | names["caught_up"]) - began:
            yield f"{lies} ran on the {machine.role}"
        if lies := (missed | names["not_caught_up"] | names.get("waited", set())) - names["caught_up"] & late:
            yield f"{lies} did not run on the {machine.role}"
        occurrences = {(each["job"], datetime.fromisoformat(each["at"])) for each in event["missed"]["listed"]}
        if lies := occurrences & took_place:
            yield f"{lies} did not take place on the {machine.role}"
        if lies := names.get("failed", set()) & {name for name, enabled in there.items() if enabled}:
            yield f"{lies} could not be enabled on the {machine.role}"
        if lies := names.get("missing", set()) & there.keys():
            yield f"the {machine.role} lacks {lies}"
        if lies := missed & names["burst"]:
            yield f"{lies} ran late and did not run"

    def _runs_so_far(self, role: str) -> int:
        machine = self.world.network.machines[role]
        return max((run["seq"] for run in machine.journal(0)), default=0) if machine.up else self._runs_before[role]

    # -- the end

    def judge(self) -> list[str]:
        """What is wrong at the end, when all that waited had its time to be told."""
        world = self.world
        history = {event["id"]: event for event in world.airflow.history}
        for id_, event in self._saved.items():
            if id_ not in history:
                self.wrong.append(f"{event['kind']} was saved and is not in the history")
        for event in world.airflow.history:
            if event != history[event["id"]]:
                self.wrong.append(f"{event['kind']} is told in two ways: {event} and {history[event['id']]}")
        self._judge_changes(list(history.values()))
        self._judge_jobs(history.values())
        return self.wrong

    def _judge_changes(self, events: list[dict[str, Any]]) -> None:
        """For each change there is one event of its own, and for each event one change."""
        for change in self._changes:
            found = next((event for event in events if change.is_told_by(event)), None)
            if found is None:
                self.wrong.append(f"nothing tells of {'/'.join(change.kinds)} {change.details}")
            else:
                events.remove(found)
        self.wrong += [f"{event['kind']} tells of what was not seen" for event in events if event["kind"] not in UNSEEN]

    def _judge_jobs(self, events: Collection[dict[str, Any]]) -> None:
        named = "; ".join(event["jobs"] for event in events if event["kind"] in DISABLING)
        for key, times in Counter(self._disabled).items():
            if named.count(key) < times:
                self.wrong.append(f"{key} was disabled {times} times, and that is told {named.count(key)} times")
        deleted = "; ".join(
            event["orphans"]["names"] for event in events if event["kind"] == "sync" and event["orphans"]["deleted"]
        )
        self.wrong += [f"nothing tells that {key} was deleted" for key in self._deleted if key not in deleted]


def _changes(old: Record | None, new: Record) -> Iterator[Change]:
    """What has changed from one record to the next, and which event has to tell of it."""
    epoch = {"epoch": new.epoch}
    where = {**epoch, "after.phase": str(new.phase)}
    if old is None or (new.epoch > old.epoch and new.operation is None):
        yield Change(("initialised",), {**where, "after.active": str(new.active)})
        return
    if new.epoch != old.epoch:
        assert new.operation is not None
        yield Change((f"{new.operation.kind}_begun",), {**where, "operation": new.operation.id})
    elif new.active is not old.active:
        assert old.operation is not None
        kind = "failback" if new.active is Role.MASTER else old.operation.kind
        yield Change((kind,), {**where, "operation": old.operation.id})
    elif new.phase is not old.phase:
        yield _other_phase(old, new, where)
    elif (new.acknowledged, new.cool_down_until) != (old.acknowledged, old.cool_down_until):
        yield Change(("acknowledged",), epoch)
    yield from _beside(old, new, epoch)


def _beside(old: Record, new: Record, epoch: dict[str, Any]) -> Iterator[Change]:
    """What may change in the same moment as the phase."""
    if new.snapshot_id != old.snapshot_id:
        yield Change(("sync",), {**epoch, "after.snapshot": new.snapshot_id})
    if new.paused != old.paused:
        yield Change(("paused",) if new.paused else ("resumed",), epoch)
    if new.approval != old.approval and new.approval:
        yield Change(("approved",) if new.approval.granted_by else ("approval_asked",), epoch)
    if (code := _sync_problem(new)) and code != _sync_problem(old):
        yield Change(("problem",), {**epoch, "code": code})
    if _left(new) != _left(old) and new.active is old.active:
        yield Change(("completed",), {**epoch, "after.complete": _left(new) is None})


def _other_phase(old: Record, new: Record, where: dict[str, Any]) -> Change:
    if Phase.HALTED in (old.phase, new.phase):
        return Change(("halted",) if new.phase is Phase.HALTED else ("released",), where)
    assert old.operation is not None
    kind = old.operation.kind
    return Change((f"{kind}_given_up", f"{kind}_rolled_back"), {**where, "operation": old.operation.id})


def _sync_problem(record: Record) -> str:
    return record.sync_problem.code if record.sync_problem else ""


def _left(record: Record) -> str | None:
    return record.last_promotion.left if record.last_promotion else None


def _news(before: str, code: str) -> Iterator[Change]:
    """The watch has come to another state: a problem, or the end of one."""
    if code == before or code in ("", "halted", *HALTING):
        return
    if _is_trouble(code):
        yield Change(("problem",), {"after.code": code})
    elif code in GOOD and _is_trouble(before):
        yield Change(("recovered",), {"after.code": code, "before.code": before})


def _is_trouble(code: str) -> bool:
    return code != "" and (code not in DECISIONS or DECISIONS[code].action is Action.BLOCKED)


def _listed(text: str) -> list[str]:
    """The names in a list for people; no world here has so many jobs that it names only some."""
    assert " more" not in text, text
    return [name for name in text.split(", ") if name]


def _said(event: dict[str, Any], path: str) -> Any:
    found: Any = event
    for name in path.split("."):
        found = (found or {}).get(name)
    return found


def _enabled(machine: Machine) -> Iterator[str]:
    if machine.up and machine.enabled:
        yield f"no job of the {machine.role} is enabled, but {sorted(map(str, machine.enabled))} are"


def _incomplete(event: dict[str, Any]) -> bool:
    return any(UNKNOWN in part.values() for part in event.values() if isinstance(part, dict))
