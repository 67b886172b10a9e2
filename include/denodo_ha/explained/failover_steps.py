"""The reason codes with which a step of the failover DAG can end."""

from __future__ import annotations

from denodo_ha.explained.model import Explanation, Section

ENDED = Section(
    "Of the failover DAG: how a step can end",
    dags=("failover_step",),
    codes=(
        Explanation(
            "overtaken",
            "The situation has changed meanwhile, or another run was faster.",
            then="Nothing is left to do.",
            ends="skipped",
        ),
        Explanation(
            "superseded",
            "The record has changed since the pair was judged, or another task has taken the failover over.",
            then="Nothing is left to do.",
            ends="skipped",
        ),
        Explanation(
            "stale_evidence",
            "The verdict is too old to act on: a run was cleared, or has waited for a worker. If it comes again and "
            "again, the clocks of the triggerer and of the workers differ.",
            "**Look**; check the clocks.",
            "The next run takes its own evidence.",
            "skipped",
        ),
        Explanation(
            "given_up",
            "The master was heard before the first job was enabled. Nothing was changed.",
            then="It goes on watching.",
            ends="skipped",
        ),
        Explanation(
            "lease_over", "The task has slept longer than its lease.", then="The next run resumes.", ends="skipped"
        ),
        Explanation(
            "not_fenced",
            "The pair requires a fence, and the fence did not confirm that the master is off.",
            "Repair the fence; or switch the master off for good, then **fail over, it is fenced**.",
            "It tries again with fresh evidence.",
            "failed",
        ),
        Explanation(
            "paused_midway",
            "The pair was paused in the middle of a failover.",
            "**Resume** the pair.",
            "It goes on when the pause ends.",
            "failed",
        ),
        Explanation(
            "halted",
            "The pair was halted in the middle of a failover.",
            "Remove the cause, then **release** the pair.",
            "It goes on when the pair is released.",
            "failed",
        ),
        Explanation(
            "snapshot_missing",
            "The list of enabled jobs cannot be read on this worker.",
            "Make `snapshots.location` of the pair readable on all workers.",
            "It looks again.",
            "failed",
        ),
        Explanation(
            "split_brain",
            "Both servers have enabled jobs, and those of the master cannot be disabled.",
            "Stop the master's Scheduler, or disable its jobs there.",
            "It tries to disable the master's jobs until that succeeds.",
            "retried",
            "split-brain",
        ),
        Explanation(
            "interrupted",
            "The slave has stopped answering in the middle of the failover, or an earlier try was cut off.",
            "Repair the slave, or the way to it.",
            "It resumes when the slave answers.",
            "retried",
            "slave-dead-during-failover",
        ),
        Explanation(
            "not_enabled",
            "Jobs cannot be enabled on the slave.",
            "Look at these jobs in the slave's web tool.",
            "It tries again.",
            "retried",
        ),
        Explanation(
            "still_enabled",
            "Jobs that were disabled become enabled again and again.",
            "Find out who enables them.",
            "It tries again.",
            "retried",
        ),
        Explanation(
            "same_server", "Both connections lead to one server.", "Correct the connection of the slave.", ends="failed"
        ),
        Explanation(
            "record_lost",
            "The record vanished during the run, or its versions were lost.",
            "Bring the folder `record` back; if it is lost, see the runbook.",
            ends="failed",
            incident="record-lost",
        ),
        Explanation(
            "reason_missing", "A consent was given without a reason.", "Trigger it again with a reason.", ends="failed"
        ),
        Explanation(
            "no_evidence",
            "`ping_master` of this run has left no result.",
            "**Clear** the whole run, or **look**.",
            ends="failed",
        ),
    ),
)
