"""The rules of the protocol that are no data of the decision table: each can be taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rules:
    """With all of them every promise holds. What is data, is taken out of ``denodo_ha.decisions.TABLE`` instead.

    :param fencing: the pair's option.
    :param fall: how many rounds confirm a verdict.
    :param second_path: the master is asked through the slave's web tool too.
    :param refusal: a sync copies the active server only.
    :param enabled_set: only what was enabled on the active server is enabled on the other.
    :param own: before each change the record is read, and must be of the task's epoch and operation.
    :param new_id_per_try: a second try of an import has an operation id of its own.
    :param decide_again: a task that claims, quenches or repairs decides afresh.
    :param retry_waits: a try waits for the lease of the try before it, as any other task does.
    :param break_before_make: a switchover disables and reads back before it enables.
    :param doubt: an interrupted switchover that goes on without a master that is confirmed down looks for it before
        each batch, and does not go on so where fencing is required.
    :param fresh_evidence: an interrupted failover that has changed nothing goes on only where the master is confirmed
        down again.
    :param look_again: a failover looks for the master right before each batch.
    :param point_of_no_return: nothing is given up after the first job may have been enabled.
    :param quench_after_reprotect: a master is quenched although a dead re-protect has left its operation open.
    :param no_vote: the silence of a name that does not resolve is none of the master.
    :param last_address: what answers nothing by its name is asked at the last address of that name.
    :param tell_apart: what answers in place of the master is compared with the slave.
    :param lasting_fence: a fenced master stays down until a person starts it.
    """

    fencing: Literal["best_effort", "required"] = "best_effort"
    fall: int = 2
    second_path: bool = True
    refusal: bool = True
    enabled_set: bool = True
    own: bool = True
    new_id_per_try: bool = True
    decide_again: bool = True
    retry_waits: bool = True
    break_before_make: bool = True
    doubt: bool = True
    fresh_evidence: bool = True
    look_again: bool = True
    point_of_no_return: bool = True
    quench_after_reprotect: bool = True
    lasting_fence: bool = True
    no_vote: bool = True
    last_address: bool = True
    tell_apart: bool = True
