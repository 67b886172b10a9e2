"""The reason codes that any DAG can tell, those of the operations DAG, and those of a drill."""

from __future__ import annotations

from denodo_ha.explained.model import Explanation, Section

ANY = Section(
    "Of any DAG, and of the file of pairs",
    codes=(
        Explanation(
            "connection",
            "Airflow has no such connection, or it holds what cannot be used (extra, host). Nothing was sent.",
            "Create or correct the connection, then **clear** the task or wait for the next run.",
            ends="failed at once",
        ),
        Explanation(
            "configuration",
            "A server, or what is before it, refuses: the login (401, 403), the path (404), TLS, a redirect, or a "
            "login page as the answer.",
            "Correct the connection, or the rights of its user.",
            ends="failed at once",
        ),
        Explanation(
            "token_refused",
            "The token endpoint that `auth` of a connection names refuses the client, or gives what is no bearer "
            "token. The web tool was not asked.",
            "Correct the client's id or secret, `token_url`, `scope` or `method`, or the client at the authorisation "
            "server.",
            ends="failed at once",
        ),
        Explanation(
            "no_token",
            "That token endpoint is silent or fails, or its answer is damaged. This says nothing about a Scheduler "
            "server, and no failover follows from it.",
            "Look at the authorisation server and the way to it.",
            ends="retried",
        ),
        Explanation(
            "argument",
            "An argument of a building block in a DAG of yours cannot be used, such as one that a template rendered.",
            "Correct it in the DAG, then **clear** the task.",
            ends="failed at once",
        ),
        Explanation(
            "storage",
            "The storage of the snapshots cannot be used: the connection, the bucket, the rights or the network. The "
            "message says which.",
            "Repair it as the message says.",
            "A retry or the next run tries again.",
            "failed, or retried",
        ),
        Explanation(
            "unreadable",
            "What an earlier task of this run has handed on or stored is damaged, of another version, or deleted "
            "since.",
            "**Clear** the whole run, or wait for the next one.",
            ends="failed",
        ),
        Explanation(
            "record_busy",
            "Other tasks have saved the record again and again, so this one could not.",
            then="A retry tries again.",
            ends="retried",
        ),
        Explanation(
            "wrong_pair",
            "The file of pairs has the pair wrong: the pair has no DAGs, and nothing fails over. Where only a notifier "
            "is wrong, the pair has its DAGs and lacks this notifier.",
            "Correct the file; `denodo-ha check-config` lists its mistakes.",
            ends="an alert, and an import error of `denodo_scheduler_pairs.py`",
        ),
    ),
)

OPERATIONS = Section(
    "Of the operations DAG",
    dags=("operations",),
    intro="Nothing was changed in any of these cases, but for scratch projects of a doctor where it says so.",
    codes=(
        Explanation("reason_missing", "No reason was given.", "Trigger it again and say why."),
        Explanation(
            "until_invalid",
            "*Until* is not a time.",
            "Write it like `2027-03-02T06:00:00+00:00`.",
        ),
        Explanation("until_past", "*Until* is a time in the past.", "Choose a time in the future."),
        Explanation(
            "not_initialised",
            "The pair has no record.",
            "Look which server has enabled jobs, then **initialise** with it.",
        ),
        Explanation(
            "record_unusable",
            "The record is damaged, or a newer version of this project has written it.",
            "Look which server has enabled jobs, then **initialise** with it. If a newer version has written the "
            "record, [update all components][versions] instead.",
        ),
        Explanation(
            "record_lost",
            "The versions of the record were lost or restored.",
            "Bring the folder `record` back; if it is lost, see the runbook.",
            incident="record-lost",
        ),
        Explanation(
            "no_such_doubt",
            "Nothing that you could **acknowledge** has that name.",
            "Choose one of those that the message lists.",
        ),
        Explanation("active_missing", "To **initialise**, the active server has to be given.", "Choose it."),
        Explanation(
            "operation_open",
            "A task may still change a server, so the pair cannot be initialised yet.",
            "Wait until the time that the message names, then try again.",
        ),
        Explanation("same_server", "Both connections lead to one server.", "Correct the connection of the slave."),
        Explanation(
            "servers_changed",
            "A connection leads to another address than before, so the doctor does not try anything out.",
            "Correct the connection; if it is right, **initialise** the pair.",
        ),
        Explanation(
            "halted",
            "The pair is halted, so the doctor does not try anything out.",
            "Remove the cause, then **release** the pair.",
        ),
        Explanation(
            "active_unreachable",
            "The active server, or the one that you name as such, does not answer.",
            "Repair it first.",
        ),
        Explanation(
            "not_ready",
            "The check has found something critical; the note of the run lists what.",
            "Do what the log says of each finding, then **check** again.",
        ),
        Explanation(
            "not_asked_for",
            "The task is skipped: another one does what was asked for, or *Try things out* is not ticked.",
        ),
        Explanation(
            "not_at_rest",
            "Jobs are enabled on the passive server, so the doctor does not try anything out there.",
            "**Look**, which disables them.",
        ),
        Explanation(
            "scratch_left",
            "Scratch projects are on the server, of an earlier doctor that may still be at work, or which could not be "
            "deleted. The task is retried.",
            "Wait: the next try, doctor or sync deletes them. Or delete them yourself, by their names.",
        ),
        Explanation(
            "import_unanswered",
            "An import of scratch projects was sent, and its end is unknown. The task is retried, and deletes them "
            "when the pair's `lease` is over.",
        ),
        Explanation(
            "superseded",
            "Another operation has begun while the doctor was at work, or another task cleans up after it. The task "
            "is retried.",
            "If it stays so, run the **doctor** again.",
        ),
        Explanation(
            "lease_over",
            "The doctor has slept longer than its lease. The task is retried.",
            "If it stays so, run the **doctor** again.",
        ),
        Explanation(
            "active_disagrees",
            "Only the other server has enabled jobs, or has some that the named one lacks; as the passive server it "
            "would have them disabled, and they would run nowhere.",
            "Choose the other server, or enable or disable these jobs by hand.",
        ),
    ),
)

_PROOF, _NOT_RUN, _NO_PROOF = "job: proof", "job: not run", "job: no proof"

DRILL = Section(
    "Of a drill",
    dags=("operations", "drill"),
    intro="What is refused before it begins leaves both servers as they were. A [drill][drill] that has begun ends "
    "with each job disabled and read back; `halted` and `not_disabled` say which job may not be.",
    codes=(
        Explanation(
            "no_drill_jobs",
            "`drill` of the pair is empty, or a pattern of it matches no job of the slave.",
            "Correct `drill`, or **sync**.",
            ends="failed",
        ),
        Explanation("reason_missing", "No reason was given.", "**Drill** again with a reason.", ends="failed"),
        Explanation(
            "paused",
            "Automation is paused, or was paused in the middle of the drill.",
            "**Resume** the pair, then **drill**.",
            ends="failed",
        ),
        Explanation(
            "halted",
            "The pair is halted, or was halted in the middle of the drill.",
            "Remove the cause, **release** the pair, then **drill**.",
            ends="failed",
        ),
        Explanation(
            "operation_open",
            "Another operation of the pair is not at its end.",
            "Wait for its end, then **drill**.",
            ends="failed",
        ),
        Explanation(
            "sync_first",
            "The slave is dirty, or was never synced, so it is not known what it would run.",
            "**Sync**, then **drill**.",
            ends="failed",
        ),
        Explanation(
            "servers_changed",
            "A connection leads to another address than before.",
            "Correct the connection; if it is right, **initialise** the pair.",
            ends="failed",
        ),
        Explanation(
            "same_server", "Both connections lead to one server.", "Correct the connection of the slave.", ends="failed"
        ),
        Explanation(
            "shared_server",
            "Another pair has held one of the servers for longer, and may have jobs in common with this one.",
            "Give this pair servers, projects or jobs of its own. If the other pair exists no more, delete the file "
            "that the message names.",
            ends="failed",
        ),
        Explanation(
            "slave_active",
            "The slave is not passive: it is the active server, or becoming it.",
            "**Fail back**, then **drill**.",
            ends="failed",
        ),
        Explanation("unreachable", "A server does not answer.", "Wait until both do.", ends="failed"),
        Explanation(
            "slave_enabled",
            "A job that the drill has not enabled is enabled on the slave.",
            "Find out who enables it.",
            "The failover DAG disables it.",
            "failed",
        ),
        Explanation(
            "slave_may_be_active",
            "Jobs are enabled on the slave, and the master is not seen to be the active server.",
            "Look which server is the active one.",
            ends="failed",
        ),
        Explanation(
            "drill_failed",
            "A job is no proof that the slave can run; the code of that job says why.",
            "Do what the message says, then **drill**.",
            ends="failed",
        ),
        Explanation(
            "drill_interrupted",
            "The task of the drill has died; its job is disabled.",
            "**Drill** again.",
            ends="failed",
        ),
        Explanation(
            "gave_way", "A failover or a switchover has begun, which a drill does not hold up.", ends="skipped"
        ),
        Explanation("superseded", "Another task has taken the drill over, or has ended it.", ends="skipped"),
        Explanation(
            "interrupted",
            "The slave has stopped answering in the middle of the drill.",
            "Repair the slave.",
            "A retry goes on; after the last one the failover DAG disables the job.",
            "retried",
        ),
        Explanation(
            "not_disabled",
            "The job of the drill cannot be disabled, or it is not known whether it is.",
            "Repair the slave, or disable the job there by hand.",
            "A retry goes on; after the last one the failover DAG disables the job.",
            "retried",
        ),
        Explanation(
            "snapshot_missing",
            "The list of enabled jobs of the last sync cannot be read.",
            "**Sync**, then **drill**.",
            ends="failed",
        ),
        Explanation("lease_over", "The task has slept longer than its lease.", then="A retry goes on.", ends="retried"),
        Explanation("ran", "The job has run, and was read back disabled.", ends=_PROOF),
        Explanation("not_there", "The slave does not have the job.", "**Sync**.", ends=_NOT_RUN),
        Explanation("draft", "The slave has a draft of the job, which cannot run.", "Finish the job.", ends=_NOT_RUN),
        Explanation(
            "enabled_there", "The job is enabled on the slave already.", "Find out who has enabled it.", ends=_NOT_RUN
        ),
        Explanation(
            "disabled_on_active",
            "The job is disabled on the master, so a failover would not enable it either.",
            "Choose another job, or enable it on the master and **sync**.",
            ends=_NOT_RUN,
        ),
        Explanation(
            "due",
            "The job could start by itself while it is enabled, because its time is near.",
            "**Drill** at another time, set `slave_timezone`, or choose a job without a trigger.",
            ends=_NOT_RUN,
        ),
        Explanation(
            "may_fire",
            "The job could start by itself while it is enabled: when it would is not known, or a job that it waits for "
            "may start it.",
            "Choose a job without a trigger, or disable for the drill the job that the message names.",
            ends=_NOT_RUN,
        ),
        Explanation(
            "would_release",
            "An enabled job of the slave, outside of the pair, waits for this one.",
            "Disable that job for the drill.",
            ends=_NOT_RUN,
        ),
        Explanation("request_failed", "The slave has refused a request.", "Look at its web tool.", ends=_NO_PROOF),
        Explanation(
            "not_enabled",
            "The slave has accepted to enable the job, and does not show it so; a paused one looks so.",
            "Resume the slave's Scheduler.",
            ends=_NO_PROOF,
        ),
        Explanation(
            "not_begun",
            "The run of the job was not seen within a minute.",
            "Look at the slave's web tool and the log of its Scheduler.",
            ends=_NO_PROOF,
        ),
        Explanation(
            "not_ended",
            "The run of the job did not end within `drill_timeout`.",
            "Look in the slave's web tool why it takes so long, or raise `drill_timeout`.",
            ends=_NO_PROOF,
        ),
        Explanation(
            "disabled_meanwhile",
            "Something else has disabled the job during the drill.",
            "Find out who disables it, then **drill**.",
            ends=_NO_PROOF,
        ),
        Explanation(
            "ended_badly",
            "The run of the job has failed; the message quotes its report.",
            "Repair what the report names: a driver, a data source, a file.",
            ends=_NO_PROOF,
        ),
    ),
)
