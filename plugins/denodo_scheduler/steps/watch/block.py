"""What is done where nothing may be done: say so, and halt a pair whose record contradicts what is known."""

from __future__ import annotations

from typing import NoReturn

from denodo_ha.decisions import Action
from denodo_ha.record import Phase
from denodo_ha.transitions import halted
from denodo_ha.verdict import Evidence
from denodo_scheduler.steps.outcome import Blocked, NothingToDo
from denodo_scheduler.steps.watch.look import FailoverRun, judge

HALTING = ("record_contradicted",)
"""Decisions after which nothing is automatic any more until a person has initialised the pair."""


def block(run: FailoverRun, evidence: Evidence) -> NoReturn:
    """Fail with the reason and the next step; halt the pair where the decision is one of :data:`HALTING`.

    :raises Blocked: always, unless the situation has changed; then NothingToDo.
    """
    judged = judge(run, evidence)
    decision = judged.decision
    if decision.action is not Action.BLOCKED:
        raise NothingToDo("overtaken", f"by now the decision is {decision.code}: {decision.what}")
    record = judged.record
    if record and decision.code in HALTING and record.phase is not Phase.HALTED:
        stopped = halted(record, now=run.now(), code=decision.code, reason=decision.what, by=run.actor)
        event = run.event(
            "halted",
            stopped,
            before={"phase": record.phase},
            after={"phase": stopped.phase},
            code=decision.code,
            what=decision.what,
            next_step=decision.next_step,
        )
        if run.record() != record:  # reading both servers takes its time
            raise NothingToDo("superseded", "the pair's record has changed since it was judged")
        run.save(stopped, event)
    raise Blocked(decision.code, decision.what, decision.next_step)
