"""One moment of a pair: servers, network, HA record, the tasks at work, and nothing that makes no difference.

The record is the real one. Its times are either now or one lease (cool-down) ahead, because only that is looked at; its
epochs, operation ids and snapshot ids are renamed after each step, because only their equality is. So the search ends,
however often a pair fails over and back.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

from denodo_ha.checks import same_server
from denodo_ha.jobs import JobState, JobStatus
from denodo_ha.record import Dirty, Phase, Record, SnapshotRef
from denodo_ha.verdict import Answer, Observation, Verdict
from model.rules import Rules

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=15)
COOL_DOWN = timedelta(hours=1)
FALL = 2
"""How many rounds must agree that the master is down."""

FIRST, SECOND, DISABLED, ORPHAN = 1, 2, 4, 8
"""Jobs, as bits: two that are enabled on the master, one disabled there on purpose, one deleted there long ago."""
WANTED = FIRST | SECOND
IMPORTED = WANTED | DISABLED
"""What an import enables: an export does not say what was disabled."""
ALL = IMPORTED | ORPHAN


def snapshot(name: str) -> SnapshotRef:
    return SnapshotRef(
        id=name, taken=NOW, committed=NOW, imported=NOW, content_hash="", manifest_hash="", jobs=3, enabled=2
    )


Server = Literal["master", "slave"]
Leads = Literal["master", "nobody", "slave"]


class Kept:
    """A record that is hashed once: equal records are kept as one object."""

    __slots__ = ("record",)
    _all: ClassVar[dict[Record, Kept]] = {}

    def __init__(self, record: Record) -> None:
        self.record = record

    @classmethod
    def of(cls, record: Record) -> Kept:
        return cls._all.setdefault(record, cls(record))


Program = Literal["sync", "reprotect", "failover", "quench", "repair", "switchover"]


class Process(NamedTuple):
    """A task at work: its program, what it does next, and what it remembers.

    :param epoch: of the record when it began to own its operation, or planned it.
    :param operation: its operation's id; empty before it has one.
    :param base: the snapshot that was committed when a sync began.
    :param verdict: what a run of the failover DAG was told, confirmed by ``streak`` rounds.
    :param jobs: what a sync exported.
    """

    program: Program
    step: str
    epoch: int = 0
    operation: str = ""
    base: str | None = None
    verdict: Verdict | None = None
    streak: int = 0
    jobs: int = 0


class Call(NamedTuple):
    """A request that nobody waits for any more, and that a server may still carry out."""

    action: Literal["import", "enable", "disable"]
    server: Server
    jobs: int = 0


class State(NamedTuple):
    """:param master_up: the master's Scheduler runs; :param first_path: Airflow reaches it through its web tool.
    :param second_path: the slave's web tool reaches it.
    :param slave_up: the slave and its web tool work and are reached.
    :param name: where the master's name leads, for Airflow and for the slave's web tool alike.
    :param fenced: the master was stopped by the fence.
    :param verified: the slave holds what was verified there, and nothing was imported since.
    :param carried: the jobs that the open switchover carries over, as it has stored them.
    :param round: the last round of the watch, not confirmed yet.
    :param task: the task in the pair's one-slot pool.
    :param late: beside it, a task of another run, one cleared, one that Airflow gave up; or a call of such a task.
    """

    kept: Kept
    master_up: bool = True
    first_path: bool = True
    second_path: bool = True
    slave_up: bool = True
    name: Leads = "master"
    fenced: bool = False
    master_jobs: int = WANTED
    slave_jobs: int = 0
    verified: bool = True
    carried: int = 0
    round: tuple[Answer, Answer, Answer] | None = None
    task: Process | None = None
    late: Process | Call | None = None
    faults: int = 0

    @property
    def record(self) -> Record:
        return self.kept.record

    @property
    def first_path_answers(self) -> bool:
        return self.first_path and self.master_up

    @property
    def observable(self) -> bool:
        """Whether the master can be heard on any path there is."""
        return self.first_path_answers or (self.slave_up and self.second_path and self.master_up)

    def answering(self, rules: Rules) -> bool:
        """Whether anything answers a task under the master's name, on a path that is used."""
        if self.name == "slave":
            return self.slave_up
        heard = self.observable if rules.second_path else self.first_path_answers
        return heard and self.name == "master"

    def reached(self, rules: Rules) -> bool:
        """Whether a task can read the master, and disable its jobs, or what it takes for the master."""
        return self.answering(rules) and not (rules.tell_apart and self.is_one_server)

    def exchanges(self, server: Server, rules: Rules) -> bool:
        """Whether a server answers through its own web tool, as exports and imports need it."""
        if server == "slave":
            return self.slave_up
        return self.reached(rules) and (self.name == "slave" or self.first_path_answers)

    @property
    def is_one_server(self) -> bool:
        """Whether both names lead to one server, by what is read over both."""
        return _is_one_server(self.led_to("master"), self.jobs("master"), self.slave_jobs)

    def led_to(self, server: Server) -> Server:
        """The server that gets what is sent to the one of this name."""
        return "slave" if self.name == "slave" else server

    def jobs(self, server: Server) -> int:
        """The enabled jobs that are read under the name of a server."""
        return self.slave_jobs if self.led_to(server) == "slave" else self.master_jobs

    def saved(self, record: Record) -> State:
        return self._replace(kept=Kept.of(record))


START = State(Kept.of(Record(epoch=2, snapshot=snapshot("s")).model_copy(update={"capabilities": ()})))
"""Nothing is learned of the servers here: only without a dict a record can be hashed."""


def replaced(state: State, name: str, value: Any) -> State:
    """The state with another value for the field of that name."""
    return state._replace(**{name: value})


@cache
def _is_one_server(led_to: Server, of_master: int, of_slave: int) -> bool:
    return same_server(_shown(led_to, of_master), _shown("slave", of_slave))


def _shown(server: Server, enabled: int) -> list[JobStatus]:
    """What a server says of its jobs: imports give them ids of its own, and each server has run them by itself."""
    first, ran = (0, NOW - timedelta(hours=1)) if server == "master" else (100, NOW - timedelta(days=1))
    return [
        JobStatus(
            job_id=first + job,
            name=str(job),
            project_id=first,
            project="p",
            state=JobState.NOT_RUNNING if enabled & job else JobState.DISABLED,
            previous_execution=ran,
        )
        for job in (FIRST, SECOND, DISABLED, ORPHAN)
    ]


def answers(state: State, rules: Rules) -> tuple[Answer, Answer, Answer]:
    """What one round of requests says now: through the master's web tool, through the slave's, about the slave."""
    first = _first(state, rules)
    if first is Answer.UP:
        return first, Answer.NOT_ASKED, Answer.NOT_ASKED
    slave = Answer.UP if state.slave_up else Answer.NO_ANSWER
    if not rules.second_path:
        return first, Answer.NOT_ASKED, slave
    return first, _second(state, rules) if state.slave_up else Answer.NO_ANSWER, slave


def _first(state: State, rules: Rules) -> Answer:
    found = Answer.UP if state.master_up else Answer.FAILED
    found = found if state.first_path else Answer.NO_ANSWER
    if state.name == "slave":
        if not state.slave_up:
            return Answer.NO_ANSWER
        at_its_address = found if rules.last_address and found is not Answer.UP else Answer.MISCONFIGURED
        return at_its_address if rules.tell_apart else Answer.UP
    return found if state.name == "master" else _without_name(found, Answer.NO_ANSWER, rules)


def _second(state: State, rules: Rules) -> Answer:
    found = Answer.UP if state.observable else Answer.FAILED
    if state.name == "slave":
        at_its_address = found if rules.last_address else Answer.MISCONFIGURED
        return at_its_address if rules.tell_apart else Answer.UP
    return found if state.name == "master" else _without_name(found, Answer.FAILED, rules)


def _without_name(found: Answer, silence: Answer, rules: Rules) -> Answer:
    if not rules.no_vote:
        return silence
    return found if rules.last_address else Answer.MISCONFIGURED


@cache
def observation(said: tuple[Answer, Answer, Answer]) -> Observation:
    return Observation(NOW, *said)


def alive(state: State, rules: Rules) -> bool:
    """Whether the master is heard in one look, now."""
    return observation(answers(state, rules)).verdict.alive


def fresh_id(state: State) -> str:
    """An operation id that nobody has."""
    operation = state.record.operation
    used = {operation.id if operation else "", *(p.operation for p in processes(state))}
    return next(name for name in "abcd" if name not in used)


def processes(state: State) -> list[Process]:
    return [each for each in (state.task, state.late) if isinstance(each, Process)]


def canonical(state: State) -> State:
    """Rename epochs, operations and snapshots; states that differ in nothing else are one state."""
    record = state.record
    names: dict[str, str] = {"": ""}
    for name in (record.operation.id if record.operation else "", *(p.operation for p in processes(state))):
        names.setdefault(name, "abcd"[len(names) - 1])
    kept = _canonical(state.kept, names[record.operation.id] if record.operation else "")

    def renamed(process: Process | Call | None) -> Process | Call | None:
        if not isinstance(process, Process):
            return process
        return process._replace(
            epoch=process.epoch and (2 if process.epoch == record.epoch else 1),
            operation=names[process.operation],
            base=process.base and ("s" if process.base == record.snapshot_id else "old"),
        )

    if kept is state.kept and all(name == new for name, new in names.items()):
        return state
    task, late = renamed(state.task), renamed(state.late)
    assert not isinstance(task, Call)
    return state._replace(kept=kept, task=task, late=late)


@cache
def _canonical(kept: Kept, operation_id: str) -> Kept:
    record = kept.record
    operation, dirty = record.operation, record.dirty
    return Kept.of(
        record.model_copy(
            update={
                "epoch": 2,
                "operation": operation and operation.model_copy(update={"id": operation_id}),
                "snapshot": record.snapshot and snapshot("s"),
                "dirty": dirty and Dirty(since=NOW, reason=""),
                **_unread(record),
            }
        )
    )


def _unread(record: Record) -> dict[str, Any]:
    """What nobody looks at in this phase."""
    if record.phase is Phase.NORMAL:
        return {"last_promotion": None}
    promotion = record.last_promotion
    read = {"id": "", "plan": "", "kind": "failover"}
    return {"acknowledged": True, "last_promotion": promotion and promotion.model_copy(update=read)}
