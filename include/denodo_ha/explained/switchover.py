"""The reason codes of the switchover DAG."""

from __future__ import annotations

from denodo_ha.explained.model import Explanation, Section

SWITCHOVER = Section(
    "Of the switchover DAG",
    dags=("switchover",),
    intro="It begins only when all rules hold, and until the first job is enabled on the other server every failure "
    "leads back.",
    codes=(
        Explanation("reason_missing", "No reason was given.", "Trigger it again with a reason.", ends="failed"),
        Explanation("dry_run", "It is a dry run; the note and the XCom of `check` have the plan.", ends="skipped"),
        Explanation("not_begun", "The task `check` did not let the switchover begin.", ends="skipped"),
        Explanation(
            "draining",
            "`wait_for_quiet_window` is skipped, because the server is drained instead.",
            then="It goes on.",
            ends="skipped",
        ),
        Explanation("not_needed", "After a switchover to the slave there is nothing to sync.", ends="skipped"),
        Explanation(
            "paused",
            "Automation is paused.",
            "**Resume** the pair; trigger the switchover again if it had not begun.",
            "A switchover that was interrupted goes on when the pause ends.",
            "failed",
        ),
        Explanation(
            "halted",
            "The pair is halted; the message says why.",
            "Remove the cause and **release** the pair; trigger the switchover again if it had not begun.",
            "A switchover that has begun goes on when the pair is released.",
            "failed",
        ),
        Explanation(
            "operation_open",
            "Another operation of the pair is not at its end.",
            "Wait for its end, then trigger it again.",
            "The failover DAG resumes what is dead. A sync is waited for by retries.",
            "failed, or retried",
        ),
        Explanation("already_active", "That server is the active one already.", ends="failed"),
        Explanation(
            "record_unusable",
            "The record is damaged, or a newer version of this project has written it.",
            "Look which server has enabled jobs, then **initialise** with it. If a newer version has written the "
            "record, [update all components][versions] instead.",
            ends="failed",
        ),
        Explanation(
            "record_lost",
            "The record is gone, or its versions were lost or restored.",
            "Bring the folder `record` back; if it is lost, see the runbook.",
            ends="failed",
            incident="record-lost",
        ),
        Explanation(
            "servers_changed",
            "A connection leads to another address than before.",
            "Correct the connection; if it is right, **initialise** the pair.",
            ends="failed",
        ),
        Explanation(
            "same_server",
            "Both connections lead to one server. In the middle of a switchover, where the task is retried, the name "
            "of one server has been led to the other one.",
            "Correct the connection of the slave. In the middle, let the name lead to its own server again, or, if "
            "that is lost, nowhere.",
            ends="failed, or retried",
        ),
        Explanation(
            "shared_server",
            "Another pair has held one of the servers for longer, and may have jobs in common with this one.",
            "Give this pair servers, projects or jobs of its own. If the other pair exists no more, delete the file "
            "that the message names.",
            ends="failed",
        ),
        Explanation(
            "sync_first",
            "The slave is dirty, or was never synced, so it is not known what it would run.",
            "**Sync**, then trigger it again.",
            ends="failed",
        ),
        Explanation(
            "not_ready",
            "The [readiness check][readiness] finds something critical of the server that is to become active; the "
            "plan has all that it says.",
            "Do what the message says, then trigger it again; or accept it with *Accept not ready*.",
            ends="failed",
        ),
        Explanation(
            "promotion_incomplete",
            "The last failover is not complete: not all of its jobs could be enabled on the slave.",
            "Repair or delete these jobs on the slave.",
            "The failover DAG goes on completing it.",
            "failed",
        ),
        Explanation(
            "nothing_enabled",
            "The active server has no enabled job; a paused one looks exactly so.",
            "Resume that Scheduler, or enable its jobs.",
            ends="failed",
        ),
        Explanation(
            "target_enabled",
            "The other server has enabled jobs.",
            "**Look**, then trigger it again. If the other server is the active one, **initialise** with it.",
            "The failover DAG disables these jobs.",
            "failed",
        ),
        Explanation(
            "looks_paused",
            "The other server [looks paused][looks paused]: it shows every job DISABLED, and its definitions say "
            "otherwise.",
            "Disable these jobs there, or resume that Scheduler and **look**.",
            ends="failed",
        ),
        Explanation(
            "missing_on_target",
            "Enabled jobs do not exist on the other server.",
            "If you go to the slave, **sync**; if you go to the master, **re-protect**; where the last sync could not "
            "deliver the jobs, with *Deliver now*. Or accept with *Accept differences* that they stay behind: the "
            "event names them as `missing`, and `denodo-ha status` until they are made there.",
            ends="failed",
        ),
        Explanation(
            "different",
            "Jobs have another definition on the other server.",
            "If you go to the slave, **sync**; if you go to the master, **re-protect**; where the last sync could not "
            "deliver the jobs, with *Deliver now*. Or keep the definitions of the other server with *Accept "
            "differences*: the next sync overwrites those that were active, and the event names those that were "
            "pending as `outdated`.",
            ends="failed",
        ),
        Explanation(
            "old_answers",
            "The server that was taken to be dead answers again.",
            "Wait. If a name no longer leads to that server, let it do so again.",
            "A retry disables its jobs first.",
            "retried",
        ),
        Explanation("unsteady", "Jobs are being edited.", "Wait.", "It looks again.", "retried"),
        Explanation(
            "window_closed",
            "A job has begun to run, or has become due, after the wait for a quiet window.",
            "Wait; if it stays so, **clear** the run.",
            "It looks again.",
            "retried",
        ),
        Explanation("superseded", "A newer run has taken the place of this task.", ends="skipped"),
        Explanation("overtaken", "No switchover is open any more.", ends="skipped"),
        Explanation(
            "given_up",
            "It has ended before anything was changed; the message says why.",
            "Remove the cause, then trigger it again.",
            ends="failed",
        ),
        Explanation(
            "rolled_back",
            "Jobs were disabled and are enabled again; the old server is the active one as before.",
            "Remove the cause, then trigger it again.",
            ends="failed",
        ),
        Explanation(
            "interrupted",
            "A server has stopped answering in the middle of the switchover.",
            "Repair the servers.",
            "A retry goes on or back, and after the last one the failover DAG does.",
            "retried",
        ),
        Explanation(
            "not_enabled",
            "Jobs cannot be enabled on the new server.",
            "Repair or delete these jobs there.",
            "A retry tries again, and after the last one the failover DAG does; it only goes forward.",
            "retried",
        ),
        Explanation(
            "not_restored",
            "On the way back, jobs cannot be enabled again on the old server.",
            "Look at these jobs in the old server's web tool.",
            "A retry tries again, and after the last one the failover DAG does.",
            "retried",
        ),
        Explanation("lease_over", "The task has slept longer than its lease.", then="A retry goes on.", ends="retried"),
    ),
)
