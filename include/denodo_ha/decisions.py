"""The decision table of the failover DAG, as data: what to do about a verdict.

For each phase and verdict a cell names the rules that must hold, in the order in which they are checked, and the
decision if all of them hold. The first rule that does not hold decides. ``docs/decision-table.md`` is generated from
this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from denodo_ha.reason import Reason
from denodo_ha.record import Phase
from denodo_ha.verdict import Verdict


class Action(StrEnum):
    """Branches of the failover DAG."""

    NOTHING_TO_DO = "nothing_to_do"
    BLOCKED = "blocked"
    """Something is wrong that the tool must not or cannot repair by itself now."""
    ENABLE_JOBS = "enable_jobs"
    """Fail over, resume what was begun, or complete it."""
    QUENCH_MASTER = "quench_master"
    REPAIR_SLAVE = "repair_slave"
    APPROVE = "approve"
    """Ask a person."""
    FAIL_BACK = "fail_back"


class Alert(StrEnum):
    """The alerts that a notifier of the pair's ``alerts.notify`` can be called for."""

    FAILOVER = "failover"
    BLOCKED = "blocked"
    QUENCHED = "quenched"
    SPLIT_BRAIN = "split_brain"
    DRIFT = "drift"
    HALTED = "halted"
    STALE_SNAPSHOT = "stale_snapshot"
    SWITCHOVER = "switchover"
    RECOVERED = "recovered"
    MONITOR_STOPPED = "monitor_stopped"
    PENDING = "pending"
    DOUBLE_RUN = "double_run"
    DRILL = "drill"


@dataclass(frozen=True)
class Situation:
    """The facts that the rules check, read afresh. The defaults are those of a pair without any problem.

    :param paused: automation is paused by a person.
    :param operation_open: the operation of another task may still act; that of a drill only while it disables its job.
    :param drill_left: a drill was interrupted.
    :param resuming: jobs were disabled or enabled already by the operation that is to be resumed.
    :param snapshot: there is a committed snapshot. :param dirty: the slave was touched since it was committed.
    :param just_touched: that was so lately that the sync which follows may still be under way.
    :param snapshot_fresh: the snapshot is not older than the pair allows, or a person accepted it.
    :param cooled_down: the last failover is long enough ago.
    :param acknowledged: a person has seen the last failover.
    :param slave_reachable: the slave's server answers.
    :param second_path: path 2 was seen to work lately, or a person takes responsibility for a failover without it.
    :param slave_enabled: the slave has enabled jobs in the pair's scope, besides one that a drill has enabled.
    :param master_enabled: the same of the master; None when it cannot be read.
    :param jobs_expected: the last committed snapshot has enabled jobs.
    :param one_path: the pair allows a failover on the evidence of one path.
    :param automatic: the pair's policy, or a person by hand or by approval, allows a failover now.
    :param manual: the pair's policy is ``manual``.
    :param approval_asked: a request for approval waits for its answer.
    :param fenceable: fencing is not required, or a function is configured, or a person says that the master is fenced.
    :param complete: all jobs of the last promotion were read back enabled.
    :param fail_back: the pair's policy is to fail back automatically, and the master has been up for long enough.
    """

    paused: bool = False
    operation_open: bool = False
    drill_left: bool = False
    resuming: bool = False
    snapshot: bool = True
    dirty: bool = False
    just_touched: bool = False
    snapshot_fresh: bool = True
    cooled_down: bool = True
    acknowledged: bool = True
    slave_reachable: bool = True
    second_path: bool = True
    slave_enabled: bool = False
    master_enabled: bool | None = True
    jobs_expected: bool = True
    one_path: bool = False
    automatic: bool = True
    manual: bool = False
    approval_asked: bool = False
    fenceable: bool = True
    complete: bool = True
    fail_back: bool = False


@dataclass(frozen=True)
class Decision:
    """What to do, why, and what a person can do.

    :param settled: looking again finds nothing new before something changes.
    :param alert: the alert that notifies of it; None where no notification is needed.
    """

    code: str
    action: Action
    what: str
    next_step: str
    settled: bool = True
    alert: Alert | None = None

    @property
    def reason(self) -> Reason:
        return Reason(self.code, self.what, self.next_step)


def _healthy(code: str, what: str, next_step: str = "nothing", *, settled: bool = True) -> Decision:
    return Decision(code, Action.NOTHING_TO_DO, what, next_step, settled)


def _blocked(code: str, what: str, next_step: str, *, settled: bool = True, alert: Alert = Alert.BLOCKED) -> Decision:
    return Decision(code, Action.BLOCKED, what, next_step, settled, alert)


_OPERATIONS = "the operations DAG"

_ALL = (
    _healthy("healthy", "the master is up and the slave is ready to take over"),
    _healthy(
        "to_be_synced",
        "the master is up, and the slave is not ready to take over before the sync that follows has ended",
        "wait for the sync, or run the sync DAG",
        settled=False,
    ),
    _healthy("operation_open", "another operation of the pair is under way", "wait for its end", settled=False),
    _healthy("paused", "automation is paused; it goes on observing", f"resume the pair with {_OPERATIONS}"),
    _healthy("failed_over", "the slave is the active server, and jobs are enabled on it", "repair the master"),
    _healthy(
        "master_back",
        "the master is back and none of its jobs is enabled; the slave goes on as the active server",
        "run the sync DAG with 're-protect' ticked, which copies the slave to the master; when it suits, fail back "
        "with the switchover DAG",
    ),
    _blocked(
        "paused_down",
        "the master is down, and automation is paused",
        f"resume the pair with {_OPERATIONS}; then it fails over",
    ),
    _blocked(
        "paused_midway",
        "automation was paused in the middle of an operation",
        f"resume the pair with {_OPERATIONS}: the operation goes on by itself",
    ),
    _blocked(
        "control_path_broken",
        "the master's web tool cannot be used, but its Scheduler lives: the slave's web tool reaches it",
        "repair the master's web tool, or correct its connection; syncs wait for it, jobs go on",
    ),
    _blocked(
        "misconfigured",
        "the master's web tool cannot be asked, or refuses the question (name, login, token, address, TLS or another "
        "application), which says nothing about the server",
        "correct the master's connection, or let what gives its tokens answer",
    ),
    _blocked(
        "paused_split_brain",
        "automation is paused, and jobs are enabled on both servers",
        f"disable the jobs of the server that should be passive by hand, or resume the pair with {_OPERATIONS}",
        alert=Alert.SPLIT_BRAIN,
    ),
    _blocked(
        "second_path",
        "the slave's web tool was not seen to reach the master's Scheduler lately, so a dead Scheduler could not be "
        "distinguished from a dead web tool",
        "let the slave's web tool reach the master's Scheduler port, correct 'second_path' of the pair, or allow "
        "'one_path'",
    ),
    _blocked("isolated", "nothing can be reached from here, the slave included", "look at this machine's network"),
    _blocked(
        "one_path",
        "the master does not answer, and the slave's web tool cannot confirm it",
        "look at the slave's web tool and at 'second_path' of the pair, or allow 'one_path'",
        settled=False,
    ),
    _blocked(
        "halted",
        "the pair is halted",
        f"see to the reason, then release the pair with {_OPERATIONS}",
        alert=Alert.HALTED,
    ),
    _blocked(
        "record_contradicted",
        "by the HA record the slave is the active server, and only the master has enabled jobs: people failed back by "
        "hand. Nothing is changed by guess",
        f"look which server has enabled jobs, then initialise the pair with {_OPERATIONS}",
        alert=Alert.HALTED,
    ),
    _blocked(
        "no_snapshot", "there is no committed snapshot", "run the sync DAG; while the master does not answer it waits"
    ),
    _blocked(
        "dirty_snapshot",
        "the slave was touched since its snapshot was verified, so it is not known what it would run",
        "run the sync DAG, which repairs it; while the master does not answer it waits",
    ),
    _blocked(
        "stale_snapshot",
        "the last verified snapshot is older than 'oldest_snapshot' allows",
        "look why syncs fail; to promote it all the same, trigger the failover DAG with 'accept an old snapshot' and a "
        "reason",
        alert=Alert.STALE_SNAPSHOT,
    ),
    _blocked(
        "cool_down",
        "the last failover is too recent",
        f"wait for the end of the cool-down, or acknowledge it with {_OPERATIONS}",
        settled=False,
    ),
    _blocked("not_acknowledged", "the last failover is not acknowledged", f"acknowledge it with {_OPERATIONS}"),
    _blocked(
        "slave_unreachable",
        "the slave does not answer, so it could not take over",
        "repair the slave; the failover DAG looks again until it answers",
        settled=False,
    ),
    _blocked(
        "active_unreachable",
        "the slave is the active server and does not answer",
        f"repair the slave; if that takes too long, initialise the pair with {_OPERATIONS}, with the master as the "
        "active server, and enable its jobs",
        settled=False,
        alert=Alert.FAILOVER,
    ),
    _blocked(
        "nothing_enabled",
        "the active server answers, and no job is enabled on it, so nothing runs anywhere; a paused Scheduler looks "
        "exactly like this",
        "resume the Scheduler of the active server, or enable its jobs; if nothing is to run, accept that as a mass "
        "change with the sync DAG",
        settled=False,
    ),
    _blocked(
        "master_unread",
        "the master is alive, and which of its jobs are enabled cannot be read",
        "see the log of decide, and correct the rights of the master's connection; it is looked at again",
        settled=False,
    ),
    _blocked(
        "slave_may_be_active",
        "jobs are enabled on the slave, and the master is not seen to be the active server",
        f"look which server is to be active: disable the slave's jobs, or initialise the pair with {_OPERATIONS}",
        alert=Alert.SPLIT_BRAIN,
    ),
    _blocked(
        "manual",
        "the master is down, and this pair fails over by hand only",
        "trigger the failover DAG with 'fail over' ticked and a reason",
    ),
    _blocked(
        "approval_asked",
        "the master is down, and a person is asked to approve the failover",
        "answer under 'required actions' of the failover DAG",
    ),
    _blocked(
        "not_fenced",
        "the master is down, and this pair requires that it is fenced first",
        "make sure that the master cannot start again, then trigger the failover DAG with 'the master is fenced' "
        "ticked and a reason; or configure 'fence'",
    ),
    _blocked(
        "interrupted",
        "an operation was interrupted and cannot be resumed before the master can be judged",
        "see to the cause; it is resumed as soon as that is possible",
        settled=False,
    ),
    Decision("approve", Action.APPROVE, "the master is down and a failover is possible", "approve it", False),
    Decision(
        "fail_over", Action.ENABLE_JOBS, "the master is down: fail over", "wait", settled=False, alert=Alert.FAILOVER
    ),
    Decision("resume", Action.ENABLE_JOBS, "an operation was interrupted: resume it", "wait", settled=False),
    Decision("complete", Action.ENABLE_JOBS, "not all jobs could be enabled yet: try again", "wait", settled=False),
    Decision("repair", Action.REPAIR_SLAVE, "jobs are enabled on the passive slave", "wait", False, Alert.DRIFT),
    Decision("drill_interrupted", Action.REPAIR_SLAVE, "a drill was interrupted: disable its job", "wait", False),
    Decision("quench", Action.QUENCH_MASTER, "the master is back with enabled jobs", "wait", False, Alert.QUENCHED),
    Decision("fail_back", Action.FAIL_BACK, "the master is back and stable: fail back", "wait"),
)

DECISIONS: dict[str, Decision] = {decision.code: decision for decision in _ALL}


@dataclass(frozen=True)
class Rule:
    """A condition, in words and as a function of the situation, and the code of the decision if it does not hold."""

    words: str
    otherwise: str
    holds: Callable[[Situation], bool] = field(compare=False)


RULES: dict[str, Rule] = {
    "not_paused": Rule("not paused", "paused", lambda s: not s.paused),
    "not_paused_down": Rule("not paused", "paused_down", lambda s: not s.paused),
    "not_paused_midway": Rule("not paused", "paused_midway", lambda s: not s.paused),
    "no_operation": Rule("no other operation is open", "operation_open", lambda s: not s.operation_open),
    "snapshot": Rule("a snapshot is committed", "no_snapshot", lambda s: s.snapshot),
    "settling": Rule(
        "the slave is not dirty, or not since a moment ago", "to_be_synced", lambda s: not (s.dirty and s.just_touched)
    ),
    "clean": Rule("the slave is not dirty", "dirty_snapshot", lambda s: not s.dirty),
    "fresh": Rule("the snapshot is fresh enough", "stale_snapshot", lambda s: s.snapshot_fresh),
    "cooled_down": Rule("the cool-down is over", "cool_down", lambda s: s.cooled_down),
    "acknowledged": Rule("the last failover is acknowledged", "not_acknowledged", lambda s: s.acknowledged),
    "slave_reachable": Rule("the slave answers", "slave_unreachable", lambda s: s.slave_reachable),
    "active_reachable": Rule("the slave answers", "active_unreachable", lambda s: s.slave_reachable),
    "slave_passive": Rule("no job is enabled on the slave", "slave_may_be_active", lambda s: not s.slave_enabled),
    "not_both_enabled": Rule(
        "not both servers have enabled jobs", "repair", lambda s: not (s.slave_enabled and s.master_enabled)
    ),
    "drill_ended": Rule("no drill was interrupted", "drill_interrupted", lambda s: not s.drill_left or s.paused),
    "master_quenched": Rule(
        "not both servers have enabled jobs", "quench", lambda s: not (s.slave_enabled and s.master_enabled)
    ),
    "no_split_brain": Rule(
        "not paused while both servers have enabled jobs",
        "paused_split_brain",
        lambda s: not (s.paused and s.slave_enabled and s.master_enabled),
    ),
    "second_path": Rule(
        "path 2 was seen to work, or one path is enough", "second_path", lambda s: s.second_path or s.one_path
    ),
    "one_path": Rule("one path is enough", "one_path", lambda s: s.one_path),
    "not_manual": Rule("the policy is not manual", "manual", lambda s: s.automatic or not s.manual),
    "not_asked": Rule("no approval is waited for", "approval_asked", lambda s: s.automatic or not s.approval_asked),
    "approved": Rule("automatic, or approved", "approve", lambda s: s.automatic),
    "fenceable": Rule("fencing is possible or not required", "not_fenced", lambda s: s.fenceable),
    "resuming": Rule("a server was changed already", "interrupted", lambda s: s.resuming),
    "complete": Rule("all planned jobs are enabled", "complete", lambda s: s.complete),
    "stay": Rule("no failback by policy now", "fail_back", lambda s: not s.fail_back),
    "master_read": Rule("the master's jobs can be read", "master_unread", lambda s: s.master_enabled is not None),
    "master_runs": Rule(
        "jobs are enabled on the master, or none was in the snapshot",
        "nothing_enabled",
        lambda s: s.master_enabled or not s.jobs_expected,
    ),
    "slave_runs": Rule(
        "jobs are enabled on the slave, or none was in the snapshot",
        "nothing_enabled",
        lambda s: s.slave_enabled or not s.jobs_expected,
    ),
    "master_idle": Rule("no job is enabled on the master", "record_contradicted", lambda s: not s.master_enabled),
}


@dataclass(frozen=True)
class Cell:
    """Rules in their order, and the code of the decision if all of them hold."""

    rules: tuple[str, ...]
    decision: str


def _without(rules: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(rule for rule in rules if rule != name)


_PROMOTABLE = ("snapshot", "clean", "fresh")
_READY = (
    "no_operation",
    "no_split_brain",
    "not_paused",
    "slave_reachable",
    "not_both_enabled",
    "slave_passive",
    "drill_ended",
    "master_read",
    "master_runs",
)
_MAY_FAIL_OVER = (
    "no_operation",
    "not_paused_down",
    *_PROMOTABLE,
    "cooled_down",
    "acknowledged",
    "slave_reachable",
    "slave_passive",
    "second_path",
    "fenceable",
    "not_manual",
    "not_asked",
    "approved",
)
_MAY_RESUME = ("no_operation", "not_paused_midway")
_ENFORCE = ("no_operation", "not_paused", "active_reachable", "complete", "slave_runs")
_MASTER_BACK = (
    "no_operation",
    "no_split_brain",
    "not_paused",
    "active_reachable",
    "master_quenched",
    "master_idle",
    "complete",
    "slave_runs",
    "stay",
)
_UNSURE = (Verdict.UNKNOWN, Verdict.MISCONFIGURED, Verdict.ISOLATED)

TABLE: dict[tuple[Phase, Verdict], Cell] = {
    (Phase.NORMAL, Verdict.UP): Cell((*_READY, "settling", *_PROMOTABLE, "second_path"), "healthy"),
    (Phase.NORMAL, Verdict.CONTROL_PATH_BROKEN): Cell(_without(_READY, "not_paused"), "control_path_broken"),
    (Phase.NORMAL, Verdict.DOWN): Cell(_MAY_FAIL_OVER, "fail_over"),
    (Phase.NORMAL, Verdict.UNKNOWN): Cell(("one_path", *_without(_MAY_FAIL_OVER, "second_path")), "fail_over"),
    (Phase.NORMAL, Verdict.MISCONFIGURED): Cell((), "misconfigured"),
    (Phase.NORMAL, Verdict.ISOLATED): Cell((), "isolated"),
    **{(Phase.FAILING_OVER, verdict): Cell(_MAY_RESUME, "resume") for verdict in Verdict if verdict not in _UNSURE},
    **{(Phase.FAILING_OVER, verdict): Cell((*_MAY_RESUME, "resuming"), "resume") for verdict in _UNSURE},
    (Phase.FAILED_OVER, Verdict.UP): Cell(_MASTER_BACK, "master_back"),
    (Phase.FAILED_OVER, Verdict.CONTROL_PATH_BROKEN): Cell(_MASTER_BACK[:-1], "control_path_broken"),
    **{
        (Phase.FAILED_OVER, verdict): Cell(_ENFORCE, "failed_over")
        for verdict in Verdict
        if verdict not in (Verdict.UP, Verdict.CONTROL_PATH_BROKEN)
    },
    **{(Phase.FAILING_BACK, verdict): Cell(_MAY_RESUME, "resume") for verdict in Verdict},
    **{(Phase.HALTED, verdict): Cell((), "halted") for verdict in Verdict},
}


def decide(phase: Phase, verdict: Verdict, situation: Situation) -> Decision:
    """Look up the cell of ``phase`` and ``verdict`` and go through its rules."""
    cell = TABLE[phase, verdict]
    for name in cell.rules:
        if not RULES[name].holds(situation):
            return DECISIONS[RULES[name].otherwise]
    return DECISIONS[cell.decision]
