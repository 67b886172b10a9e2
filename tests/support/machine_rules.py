"""The invariants of the design, judged at each change of a server, each save of the record, and after each step.

What is true is known here from the servers themselves: who has which jobs enabled, who reaches whom, and who did what.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from denodo_ha.jobs import JobKey
from denodo_ha.record import Phase, Record, Role, Step
from support.machine_servers import MASTER, ROLES, SLAVE, Machine

if TYPE_CHECKING:
    from denodo_standin.model import Job
    from support.machine_tasks import Task
    from support.machine_world import World

STALE = timedelta(minutes=2)
"""How old a task's last look may be when it enables jobs: the lease of an operation."""


def other(role: str) -> str:
    return SLAVE if role == MASTER else MASTER


@dataclass
class _Loose:
    """A time in which a server may run jobs that run on the other one too, and nothing could have prevented it.

    :param unless: an import that has woken them; a sync that comes to its end is no excuse.
    """

    role: str
    begin: datetime
    end: datetime | None = None
    unless: Task | None = None

    def covers(self, role: str, start: datetime) -> bool:
        if self.unless and self.unless.state == "done" and self.unless.result == "committed":
            return False
        return role == self.role and start >= self.begin and (self.end is None or start <= self.end)


class Rules:
    def __init__(self, world: World) -> None:
        self.world = world
        self.network = world.network
        self.active = MASTER
        self.wanted = set(self._machine(MASTER).enabled)
        self.unclear: set[JobKey] = set()
        self.history: list[dict[str, Any]] = []
        self.counts: defaultdict[str, int] = defaultdict(int)
        self._max_epoch = 0
        self._foreign: tuple[int, Task | None] = (0, None)
        self._owner: dict[str, Task] = {}
        self._stopped_at = 0
        self._manifests: dict[str, set[JobKey]] = {}
        self._carried: dict[str, set[JobKey]] = {}
        self._committed: set[str] = set()
        self._unverified = ""
        self._enabled_by: dict[tuple[str, JobKey], Task | Literal["person", "import", "start"]] = {}
        self._persons: set[tuple[str, JobKey]] = set()
        self._enabled = {role: [(0, frozenset(self._machine(role).enabled))] for role in ROLES}
        self._loose: list[_Loose] = []
        self._silent_since: datetime | None = None
        self._doubled: set[JobKey] = set()
        self._read: dict[str, int] = dict.fromkeys(ROLES, 0)
        self._runs: defaultdict[tuple[JobKey, str], list[tuple[str, bool]]] = defaultdict(list)

    def _machine(self, role: str) -> Machine:
        return self.network.machines[role]

    def _violated(self, number: int, what: str) -> None:
        by = self.world.actor.name if self.world.actor else "nobody"
        self.world.violated(f"[{number}] {what} (by {by})")

    # -- what the product looks at

    def mark(self) -> int:
        return self.world.serial

    def looked(self, task: Task, *, counted: bool) -> None:
        """A look at the master is next; what it must find is known here."""
        if not counted:
            return
        tool_answers = self.network.reaches_tool(SLAVE) and self.network.reaches_server(SLAVE, SLAVE)
        down = not self.network.observable(MASTER) and tool_answers
        task.down_in_a_row = task.down_in_a_row + 1 if down else 0
        task.looked_at = self.network.now

    def exported(self, snapshot: str, source: str, since: int) -> None:
        """A snapshot lists as enabled what was enabled on its source at some moment of its export."""
        manifest = {job.key for job in self.world.manifest(snapshot).jobs if job.enabled}
        before = [states for serial, states in self._enabled[source] if serial <= since][-1:]
        seen = before + [states for serial, states in self._enabled[source] if serial > since]
        if manifest not in seen:
            self._violated(2, f"the manifest lists {names(manifest)} as enabled, which never was so on the {source}")
        self._manifests[snapshot] = manifest

    # -- the record

    def published(self, events: Any) -> None:
        self.counts["jobs stopped"] += sum(event["kind"] == "switchover_stops" for event in events)
        self.history += events
        for event in events:
            if event["kind"] == "quenched":
                self._quenched(set(event["suspected_double_runs"]))

    def _quenched(self, suspected: set[str]) -> None:
        """The master's jobs were disabled while the slave is active; what ran on both is named."""
        if not self._machine(MASTER).up:
            return
        self._read_journal(MASTER)
        doubled = {key for key in self._doubled if key in self._machine(MASTER).jobs}
        if silent := {key for key in doubled if str(key) not in suspected}:
            self._violated(10, f"{names(silent)} ran on both servers, and the event of the master's return is silent")
        self.counts["double runs named"] += len(doubled)
        self._doubled.clear()

    def saved(self, old: Record | None, new: Record) -> None:
        if new.version != (old.version if old else 0) + 1:
            self._violated(6, f"version {new.version} is saved after {old and old.version}")
        task = self.world.actor
        if task is None:
            return
        self._check_fresh(task, "saved the record")
        self._check_epoch(old, new)
        self._check_event(old, new)
        if old and new.operation != old.operation:
            self._operation(old, new, task)
        if new.snapshot and new.snapshot_id != (old.snapshot_id if old else None):
            self._commit(old, new)
        if old is None or old.phase is not new.phase or old.active is not new.active or old.epoch != new.epoch:
            self._moved(old, new)
        self._max_epoch = max(self._max_epoch, new.epoch)
        if _significant(old) != _significant(new):
            self._foreign = (self.world.serial, task)
        if _stopped(new) and not _stopped(old):
            self._stopped_at = self.world.serial

    def _check_fresh(self, task: Task, what: str) -> None:
        at, by = self._foreign
        if by is not task and at > task.loaded:
            who = by.name if by else "somebody from outside"
            self._violated(6, f"{what} without having read what {who} has saved since")

    def _check_epoch(self, old: Record | None, new: Record) -> None:
        before = old.epoch if old else 0
        if new.epoch < before:
            self._violated(6, f"the epoch fell from {before} to {new.epoch}")
        if new.epoch != before and new.epoch <= self._max_epoch:
            self._violated(6, f"epoch {new.epoch} was there before; the greatest is {self._max_epoch}")
        begins = new.operation is not None and (
            old is None or old.operation is None or new.operation.id != old.operation.id
        )
        if new.epoch < self._max_epoch and begins:
            self._violated(6, f"an operation begins in epoch {new.epoch}, after epoch {self._max_epoch}")

    def _check_event(self, old: Record | None, new: Record) -> None:
        known = {event["id"] for event in old.outbox} if old else set()
        if (old is None or _told(old) != _told(new)) and all(event["id"] in known for event in new.outbox):
            self._violated(10, "a change to {}, {}, epoch {}, snapshot {} left no event".format(*_told(new)))

    def _operation(self, old: Record, new: Record, task: Task) -> None:
        before, operation = old.operation, new.operation
        alive = before is not None and before.kind != "sync" and before.open(self.network.now)
        owner = self._owner.get(before.id) if before else None
        # A retry takes over what its own run has begun.
        if before and alive and owner and owner.root is not task.root and task.kind != "operator":
            self._violated(6, f"the {before.kind} {before.id}, at which another task still is, is changed or ended")
        if before and operation and before.plan != operation.plan and before.plan in self._carried:
            self._carried[operation.plan or ""] = self._carried[before.plan]  # its list was written anew
        if operation is None or (before and before.id == operation.id):
            return
        self._owner[operation.id] = task
        if before:
            self.counts[f"{operation.kind} resumed in step {operation.step}"] += 1
            if (operation.kind, operation.step, new.phase) == ("switchover", Step.DISABLING, Phase.FAILING_OVER):
                self._resumed(task)
        elif operation.kind == "failover":
            self._claimed(new, task)
        elif operation.kind == "switchover":
            self.counts["switchover begun"] += 1
            old_server = self._machine(self.active)
            self._carried[operation.plan or ""] = set(old_server.enabled if old_server.up else self.wanted)

    def _resumed(self, task: Task) -> None:
        """A switchover goes on from a master of which jobs may be enabled; where it is down, that is a failover."""
        if task.down_in_a_row >= self.world.pair.watch.fall and self._fresh(task):
            self._unfenced()

    def _fresh(self, task: Task) -> bool:
        watch = self.world.pair.watch
        return self.network.now - task.looked_at <= watch.fall * watch.probe_interval + timedelta(minutes=1)

    def _claimed(self, new: Record, task: Task) -> None:
        """A failover begins."""
        self.counts["failover begun"] += 1
        pair = self.world.pair
        if task.down_in_a_row < pair.watch.fall:
            self._violated(5, f"a failover begins after {task.down_in_a_row} looks that found the master down")
        if not self._fresh(task) and task.slept_at < task.loaded:  # else its last look decides, before any change
            self._violated(5, "a failover begins from stale evidence")
        snapshot = new.snapshot
        if snapshot is None or snapshot.id not in self._committed:
            self._violated(4, "a failover promotes a snapshot that was never verified")
        elif self._unverified:
            self._violated(4, f"a failover promotes a snapshot although {self._unverified}")
        elif (
            self.network.now - snapshot.taken > pair.failover.oldest_snapshot
            and "accept_old_snapshot" not in task.consents
        ):
            self._violated(4, "a failover promotes an old snapshot")
        self._unfenced()

    def _unfenced(self) -> None:
        """From here on a master that no path reaches may run jobs that the slave runs too; it was not fenced, since no
        person in these stories does what they say."""
        alive = self._machine(MASTER).up and self._silent_since
        self._loose.append(_Loose(MASTER, self._silent_since if alive and self._silent_since else self.network.now))
        if alive:
            self.counts["failover from a living master"] += 1

    def _commit(self, before: Record | None, new: Record) -> None:
        """A sync ends: the target holds what its snapshot lists, but for what is pending, and none of it is enabled."""
        assert new.snapshot is not None
        source, target = new.snapshot.source.value, self._machine(other(new.snapshot.source.value))
        self.counts["sync committed" if source == MASTER else "re-protect committed"] += 1
        if new.pending:
            self.counts["committed with pending jobs"] += 1
        if source == MASTER:
            self._committed.add(new.snapshot.id)
            self._unverified = ""
        if before and before.snapshot and before.snapshot.taken > new.snapshot.taken:
            self._violated(4, "a snapshot is committed that is older than the last one")
        if not target.up:
            return
        listed = {job.key for job in self.world.manifest(new.snapshot.id).jobs}
        if lost := listed - target.jobs.keys() - {job.key for job in new.pending if not job.on_target}:
            self._violated(8, f"a sync is committed without {names(lost)} on the {target.role}")
        if target.enabled:
            self._violated(1, f"a sync is committed with {names(target.enabled)} enabled on the {target.role}")

    def _moved(self, old: Record | None, new: Record) -> None:
        if old is None or "initialised" in {event["kind"] for event in new.outbox[-1:]}:
            self._initialised(new)
            return
        if new.active is not old.active:
            self._active_changed(old, new)
        if (old.phase, new.phase) == (Phase.FAILING_OVER, Phase.NORMAL):
            self.counts["given up or rolled back"] += 1
            self._end_loose()

    def _active_changed(self, old: Record, new: Record) -> None:
        self.active = new.active.value
        self._doubled.clear()
        assert old.operation is not None
        plan = old.operation.plan or ""
        if old.operation.kind == "failover":
            self.counts["failover committed"] += 1
            promoted, slave = self._manifests.get(plan, set()), self._machine(SLAVE)
            self.wanted = promoted & slave.jobs.keys() if slave.up else promoted
            return
        self.counts["failback committed" if self.active == MASTER else "switchover committed"] += 1
        if self.active == SLAVE and any(loose.role == MASTER and loose.end is None for loose in self._loose):
            self.counts["switchover committed without the master"] += 1
            if not self.network.observable(MASTER) and "fencing" not in new.outbox[-1]:
                self._violated(10, "the event does not say that the master was not seen at rest")
        if self.active == MASTER:
            self._unverified = "the slave was active since it was verified"
        now = self._machine(self.active)
        if now.up and (differing := (now.enabled ^ self.wanted) - self.unclear):
            self._violated(8, f"a switchover did not carry over exactly: {names(differing)}")

    def _initialised(self, new: Record) -> None:
        """By the word of a person, who may be mistaken about the other server."""
        self.active = new.active.value
        self._doubled.clear()
        self._end_loose()
        passive = self._machine(other(self.active))
        if not passive.up or passive.enabled:
            self._loose.append(_Loose(passive.role, self.network.now))
        if self._machine(self.active).up:
            self.wanted = set(self._machine(self.active).enabled)

    # -- the servers

    def change_requested(self, path: str) -> None:
        """A request that changes a server is next."""
        task = self.world.actor
        if task is None:
            return
        self._check_fresh(task, "changes a server")
        record = self.world.record
        if record is None:
            self._violated(9, "changes a server although there is no record")
            return
        if record.epoch < self._max_epoch:
            self._violated(6, f"changes a server in epoch {record.epoch}, after epoch {self._max_epoch}")
        operation = record.operation
        owner = self._owner.get(operation.id) if operation else None
        if not path.endswith("/status") and (owner is None or owner.root is not task.root):
            self._violated(6, f"{path} is sent although no operation of this task is open")
        theirs = operation is not None and operation.kind != "sync" and owner is not task
        if theirs or (operation is None and task in self._owner.values() and task.kind != "sync"):
            self._violated(6, "changes a server although its operation is another task's, or at its end")
        if task.kind == "operator":
            self._violated(9, "an operation of a person changes a server")
        paused = record.paused is not None and (record.paused.until is None or self.network.now < record.paused.until)
        stopped = record.phase is Phase.HALTED or paused
        if stopped and (task.began > self._stopped_at or record.operation is None):
            self._violated(9, "changes a server while the pair is paused or halted")

    def changed(self, machine: Machine, by: str, job: Job, change: str) -> None:
        """A server has just written this to its audit."""
        key = JobKey(project=machine.server.store.projects[job.project_id].name, name=job.name)
        role, task = machine.role, self.world.actor
        if task is None:
            self._by_person(role, key, change)
        elif by == "import":
            self._by_import(role, task)
            self._delivered(role, task, change)
        elif change in ("created", "replaced"):
            self._delivered(role, task, change)
            self.counts["written over REST"] += 1
        elif change == "enabled":
            self._enabled_by_us(role, key)
        elif change == "disabled":
            self._disabled_by_us(role, key, task)
        else:
            self._violated(3, f"{key} is {change} on the {role}")
        if change == "enabled":
            who = "person" if task is None else "import" if by == "import" else task
            self._enabled_by[role, key] = who  # type: ignore[assignment]
        # A job that is being deleted is still there while its server writes this.
        gone = {key} if change == "deleted" else set()
        self._enabled[role].append((self.world.serial, frozenset(machine.enabled - gone)))

    def _by_person(self, role: str, key: JobKey, change: str) -> None:
        record = self.world.record
        under_way = record is not None and record.operation is not None and record.operation.kind != "sync"
        if under_way and record and record.operation:
            self.unclear.add(key)
            if role == self.active and change == "enabled" and record.operation.plan in self._carried:
                self._carried[record.operation.plan].add(key)
        elif role == self.active and change == "enabled":
            self.wanted.add(key)
        elif role == self.active and change in ("disabled", "deleted"):
            self.wanted.discard(key)
        if role != self.active and change == "enabled":
            self._persons.add((role, key))

    def _by_import(self, role: str, task: Task) -> None:
        self.counts["imported"] += 1
        if not any(loose.unless is task and loose.end is None for loose in self._loose):
            self._loose.append(_Loose(role, self.network.now, unless=task))

    def _delivered(self, role: str, task: Task, change: str) -> None:
        """A sync has sent this to the passive server, over REST or by an import."""
        if role == SLAVE and change in ("created", "replaced"):
            self._unverified = "something was delivered since"
        record = self.world.record
        phase = Phase.NORMAL if role == SLAVE else Phase.FAILED_OVER
        if task.kind != "sync" or role == self.active or (record and record.phase is not phase):
            self._violated(3, f"a job is {change} on the {role} while the active server is the {self.active}")

    def _enabled_by_us(self, role: str, key: JobKey) -> None:
        opposite = self._machine(other(role))
        if opposite.up and self.network.observable(other(role)):
            twin = opposite.jobs.get(key)
            if twin is not None and not twin.disabled and not self.world.slept_since_look():
                self._violated(
                    1, f"{key} is enabled on the {role} while it is enabled on the {other(role)}, which answers"
                )
        record = self.world.record
        allowed = self._allowed(record) if record else set()
        if key not in allowed:
            self._violated(2, f"{key} is enabled on the {role}, but was not to be")

    def _allowed(self, record: Record) -> set[JobKey]:
        operation, promotion = record.operation, record.last_promotion
        if operation and operation.kind == "failover":
            return self._manifests.get(operation.plan or "", set())
        if operation and operation.kind == "switchover":
            return self._carried.get(operation.plan or "", set())
        if record.phase is Phase.FAILED_OVER and promotion and not promotion.complete:
            return self._manifests.get(promotion.plan, set())
        return set()

    def _disabled_by_us(self, role: str, key: JobKey, task: Task) -> None:
        record = self.world.record
        if record is None or role != self.active:
            return
        operation = record.operation
        forward = operation is not None and operation.step is Step.ENABLING and role == MASTER
        if task.kind == "sync" or operation is None or not (operation.kind == "switchover" or forward):
            self._violated(3, f"{key} is disabled on the {role}, which is the active server")

    # -- after each step

    def step_done(self) -> None:
        for role in ROLES:
            if self._machine(role).up:
                self._read_journal(role)
        self._persons = {each for each in self._persons if self._still_enabled(*each)}
        if self._machine(MASTER).up and not self._machine(MASTER).enabled:
            self._end_loose(MASTER)
        if self._machine(SLAVE).up and not self._machine(SLAVE).enabled:
            self._end_loose(SLAVE)
        if self.network.observable(MASTER):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = self.network.now
        self._check_imported()

    def _check_imported(self) -> None:
        record = self.world.record
        if record is None or record.dirty:
            return
        for machine in (self._machine(role) for role in ROLES if self._machine(role).up):
            if left := {key for key in machine.enabled if self._enabled_by.get((machine.role, key)) == "import"}:
                self._violated(
                    1, f"{names(left)} are enabled on the {machine.role} by an import, and the record is clean"
                )

    def _still_enabled(self, role: str, key: JobKey) -> bool:
        machine = self._machine(role)
        return not machine.up or key in machine.enabled

    def _end_loose(self, role: str | None = None) -> None:
        for loose in self._loose:
            if loose.end is None and role in (None, loose.role):
                loose.end = self.network.now

    def _read_journal(self, role: str) -> None:
        for entry in self._machine(role).journal(self._read[role]):
            self._read[role] = entry["seq"]
            if entry["scheduled"] is None or entry["trigger"] not in ("cron", "dependency"):
                continue
            key = JobKey(project=entry["project"], name=entry["job"])
            start = datetime.fromisoformat(entry["start"]) - self._machine(role).ahead
            runs = self._runs[key, entry["scheduled"]]
            runs.append((role, self._excused(role, key, start)))
            if self.active == SLAVE and {each for each, _ in runs} == set(ROLES):
                self._doubled.add(key)
            if len([each for each, excused in runs if not excused]) > 1:
                where = " and ".join(each for each, _ in runs)
                self._violated(0, f"{key} ran more than once for {entry['scheduled']}: on {where}")

    def _excused(self, role: str, key: JobKey, start: datetime) -> bool:
        """A person has enabled it there, an import was cut short, or a fault hid the server."""
        return (role, key) in self._persons or any(loose.covers(role, start) for loose in self._loose)


def names(keys: Any) -> str:
    return ", ".join(map(str, sorted(keys))) or "nothing"


def _significant(record: Record | None) -> Any:
    if record is None:
        return None
    operation = (record.operation.id, record.operation.step) if record.operation else None
    return record.epoch, record.phase, record.active, operation, record.paused, record.halted


def _told(record: Record) -> tuple[Phase, Role, int, str | None]:
    """What an event tells of when it changes."""
    return record.phase, record.active, record.epoch, record.snapshot_id


def _stopped(record: Record | None) -> bool:
    return record is not None and (record.phase is Phase.HALTED or record.paused is not None)


__all__ = ["Role", "Rules", "names", "other"]
