"""The reason codes of the sync DAG, and of what a sync leaves pending."""

from __future__ import annotations

from denodo_ha.explained.model import Explanation, Section

_SKIPPED = "rest skipped"

SYNC = Section(
    "Of the sync DAG",
    dags=("sync",),
    intro="The **source** of a sync is the active server, and the **target** the passive one.",
    codes=(
        Explanation("go", "The guard has let the run begin."),
        Explanation(
            "covered",
            "A later snapshot is on the slave already, because an old run was cleared or backfilled.",
            ends=_SKIPPED,
        ),
        Explanation("unchanged", "Nothing has to be delivered to the target.", ends="skipped"),
        Explanation(
            "sync_failed",
            "A task of a sync has failed for good with an error that has no code of its own. Events and `denodo-ha "
            "status` tell so.",
            "See the log of that task.",
            "The next run tries again.",
            "failed",
        ),
        Explanation(
            "nothing_to_wait_for",
            "Nothing has to be imported, or something can be delivered at once, so `wait_for_quiet_window` is skipped.",
            ends="skipped",
        ),
        Explanation(
            "superseded",
            "A newer run has taken the place of this task, its export is too old, or another run has changed the "
            "record during a repair.",
            ends="skipped; in the guard retried",
        ),
        Explanation("committed", "The snapshot of this run was committed before.", ends="skipped"),
        Explanation("dry_run", "It is a dry run, or a run that only looks.", ends="skipped"),
        Explanation("not_begun", "The guard did not let the run begin.", ends="skipped"),
        Explanation(
            "nothing_sent",
            "`disable_jobs` cannot read or change the passive server, and no import is open that may have enabled jobs "
            "there.",
            "See to that server.",
            "The next run looks again.",
            "failed",
        ),
        Explanation("paused", "Automation is paused.", "**Resume** the pair.", ends=_SKIPPED),
        Explanation(
            "halted",
            "The pair is halted; the message says why.",
            "Remove the cause, then **release** the pair.",
            ends=_SKIPPED,
        ),
        Explanation(
            "master_active",
            "The master is the active server by now, or becoming it, and this run would overwrite it.",
            then="The next run copies the master.",
            ends=_SKIPPED,
        ),
        Explanation(
            "slave_active",
            "The slave is the active server by now, or becoming it, and this run would overwrite it.",
            "**Re-protect**, then **fail back**.",
            ends=_SKIPPED,
        ),
        Explanation(
            "failed_over",
            "The slave is the active server, and nothing is copied to the master by itself.",
            "**Re-protect**, then **fail back**.",
            ends=_SKIPPED,
        ),
        Explanation("failing_over", "The slave is becoming the active server.", "Wait for its end.", ends=_SKIPPED),
        Explanation("failing_back", "The master is becoming the active server.", "Wait for its end.", ends=_SKIPPED),
        Explanation(
            "operation_open",
            "Another operation of the pair is not at its end.",
            then="The next run syncs.",
            ends=_SKIPPED,
        ),
        Explanation(
            "promotion_incomplete",
            "The slave is to be copied to the master, and not all jobs of the last failover could be enabled yet.",
            "Repair or delete these jobs on the slave.",
            "The failover DAG goes on completing it.",
            _SKIPPED,
        ),
        Explanation(
            "use_operation",
            "The run was triggered with `initialise`, which a sync no longer does.",
            "**Initialise** with the master, then **sync**.",
            ends="failed",
        ),
        Explanation(
            "not_initialised",
            "The pair had no record when the run began, so the run has only looked, even if a person has begun "
            "meanwhile: its note (`LOOKED ONLY`) says what a sync would deliver. With `initialise: automatic` the run "
            "fails where the slave has enabled jobs, because it may be the active server.",
            "Look which server has enabled jobs, **initialise** with it, then **sync**.",
            ends="rest skipped after the export, or failed",
        ),
        Explanation(
            "record_unusable",
            "The record is damaged, or a newer version of this project has written it.",
            "Look which server has enabled jobs, then **initialise** with it. If a newer version has written the "
            "record, [update all components][versions] instead.",
            ends="failed",
        ),
        Explanation(
            "record_lost",
            "The record is gone, or its versions were lost or restored. Snapshots without a record are a lost record, "
            "too.",
            "Bring the folder `record` back; if it is lost, see the runbook.",
            ends="failed",
            incident="record-lost",
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
            "master_changed",
            "The connection of the master leads to another address than before: it was edited, or the two were "
            "swapped.",
            "Correct the connection; if it is right, **initialise** the pair.",
            ends="failed",
        ),
        Explanation(
            "slave_changed",
            "The connection of the slave leads to another address than before: it was edited, or the two were swapped.",
            "Correct the connection; if it is right, **initialise** the pair.",
            ends="failed",
        ),
        Explanation(
            "slave_may_be_active",
            "Jobs are enabled on the slave, which should be passive, not by a sync, and the master is not seen to be "
            "the active server.",
            "If a person has failed over by hand, **initialise** with the slave; otherwise disable these jobs there.",
            ends="failed",
        ),
        Explanation(
            "master_may_be_active",
            "Jobs are enabled on the master, which should be passive, not by a sync, and the slave is not seen to be "
            "the active server.",
            "If a person has failed back by hand, **initialise** with the master; otherwise disable these jobs there.",
            ends="failed",
        ),
        Explanation("scope_empty", "A pattern of the pair matches nothing.", "Correct the pair.", ends="failed"),
        Explanation(
            "export_refused",
            "The export of the source is truncated, damaged, empty or a web page.",
            "Look at the web tool of the source, then **clear** the run.",
            ends="failed",
        ),
        Explanation(
            "metadata_changing",
            "Jobs are edited on the source while it is exported; the message names the fields.",
            "Wait. Fields that change by themselves are [learned][learned].",
            ends="retried",
        ),
        Explanation(
            "mass_change",
            "More jobs than the limit have vanished or become disabled; a paused source looks like this.",
            "Look at the active server. If it is right, **sync** with *Accept a mass change* and a reason.",
            ends="failed",
        ),
        Explanation(
            "snapshot_missing",
            "This worker cannot read the export that another one has written.",
            "Put `snapshots.location` of the pair on storage that all workers reach, then **clear** the run.",
            ends="failed",
        ),
        Explanation("version", "The target is older than the export.", "Update the target.", ends="failed"),
        Explanation(
            "import_unanswered",
            "The import was sent, and no answer came, or one with 5xx: the server may still be executing it.",
            then="`disable_jobs` keeps the target passive; the next run repairs it and imports.",
            ends="failed",
        ),
        Explanation(
            "target_enabled",
            "Jobs are enabled on the target, and the [storage][one writer] of the record cannot rule out that a "
            "failover was written over.",
            "Look which server is the active one. If it is the target, **initialise** with it.",
            ends="retried",
        ),
        Explanation(
            "shared_storage",
            "The [storage][one writer] of the record cannot create a file for one writer only.",
            "Set `snapshots.location` of the pair to other storage.",
            ends="a warning, also of `denodo-ha status`",
        ),
        Explanation(
            "import_late",
            "The import has ended after another run had taken over, because its worker slept longer than its lease.",
            then="The next run repairs the target and imports again.",
            ends="failed",
        ),
        Explanation(
            "lease_short",
            "The lease of the operation ends too soon for an import. Nothing was sent.",
            then="A retry tries again.",
            ends="retried",
        ),
        Explanation(
            "still_enabled",
            "Jobs of the target become enabled again and again.",
            "Find out who enables them.",
            "A retry and the next run disable them again.",
            "retried",
        ),
        Explanation(
            "looks_paused",
            "The target [looks paused][looks paused], and jobs that its definitions call enabled stay so although it "
            "was told to disable them.",
            "Disable them there, or resume that Scheduler.",
            "The next run disables what is enabled then.",
            "retried",
        ),
        Explanation(
            "not_delivered",
            "A data source, or more jobs than the limit of a mass change, could not be delivered; the message says "
            "why.",
            "Do what the message says. If it is about jobs only, you can **sync** with *Accept a mass change*.",
            ends="failed",
        ),
        Explanation(
            "not_verified",
            "A job is missing, enabled or different on the target, or a data source is missing or different; the "
            "message names the fields.",
            "If it stays so, compare the job or data source on both servers.",
            "The next run delivers again.",
            "failed",
        ),
    ),
)

_BY_A_SYNC = "The next sync delivers it."

PENDING = Section(
    "Of a delivery plan: what a sync leaves `pending`",
    intro="A sync sends what has changed piece by piece, and commits without what it cannot send safely. An import "
    "enables its jobs until they are read back disabled, so it is sent at a moment in which none of them is due on the "
    "target.\n\nA failover or switchover leaves jobs behind that the server that becomes active does not have, or has "
    "in an older definition. The record keeps them among the pending ones, and they are not deleted as orphans of the "
    "other server, where they are disabled.",
    codes=(
        Explanation(
            "restless",
            "The job has to be imported (it has a secret, is a draft, or REST does not write it faithfully), and there "
            "is no moment at which it is certain not to fire on the target.",
            "Let it rest for as long as the message says, or **sync** with *Deliver now*: then it may run once on the "
            "target.",
        ),
        Explanation(
            "no_moment",
            "The whole archive has to be imported, and some job is always due.",
            "**Sync** when the jobs rest, or with *Deliver now*.",
        ),
        Explanation("deferred", "Other jobs were imported at the moments that this one had.", then=_BY_A_SYNC),
        Explanation(
            "waits_for_moment",
            "The job has to be imported, and may fire on the target before the time that is named.",
            "Wait, or **sync** with *Deliver now*.",
            "A later sync delivers it at that time.",
        ),
        Explanation("edited", "The job was edited on the active server after the export.", then=_BY_A_SYNC),
        Explanation(
            "lacks_reference",
            "The job needs a job or a data source that the target does not have, and which is out of the pair's scope.",
            "Widen the pair's scope, or make it on the target.",
        ),
        Explanation(
            "waits_for_pending",
            "The job depends on one that is pending and that the target lacks.",
            "See that job.",
            "It is delivered after that job.",
        ),
        Explanation(
            "circle",
            "The job belongs to jobs that depend on each other in a circle.",
            "Remove one of the dependencies.",
        ),
    ),
)
