"""The kinds of events of a pair's history, and the alerts of notifiers."""

from __future__ import annotations

from denodo_ha.explained.model import Kind

_GAP = "`gap_seconds`, `missed`, `waited`, `interrupted`, `burst`, `caught_up`, `not_caught_up` ([of the gap][gap])"
_SWITCHED = (
    "`plan`, `steps` (`begun`; `at_rest`: the old server was read back without enabled jobs; `first_enabled`, "
    "`last_enabled`, `read_back`), `missing`, `outdated`, `still_disabled` (jobs that an earlier change left behind on "
    f"this server), `next_step`, `not_ready` (what the [check][readiness] found before), {_GAP}"
)

KINDS = (
    Kind("initialised", "The pair has a new record.", "`enabled` jobs of each server"),
    Kind(
        "sync",
        "A snapshot of the `source` was verified on the target and committed.",
        "`source`, `imported`, `delivered`, `pending`, `rescued` (of a re-protect: where the target's own export is "
        "kept, and which jobs it had otherwise), `comparison` (why, or why not), `jobs`, `enabled`, `plan`, "
        "`location`, `size`, `content_hash`, `manifest_hash`, `orphans`, `warnings` (the first 1,000 of each import; "
        "`unlisted_warnings`: how many more there were), `suspected_double_runs`, `exposure_seconds`, "
        "`exposure_after_answer_seconds`; `alert`, `what`, `next_step` where people are notified of it",
    ),
    Kind(
        "repaired",
        "Enabled jobs that a dead sync had left on the slave were disabled.",
        "`server`, `jobs`, `suspected_double_runs`; of a sync `before.dirty`",
    ),
    Kind(
        "drift",
        "Jobs that were enabled on the passive slave, not by a sync, were disabled. A switchover does so, too, before "
        "it goes back.",
        "`server`, `jobs`, `suspected_double_runs`",
        "split-brain",
    ),
    Kind(
        "quenched",
        "The jobs of the master were disabled, because it came back while the slave is, or is becoming, the active "
        "server.",
        "`server` (`master`), `jobs`, `suspected_double_runs`",
        "master-back",
    ),
    Kind("failover_begun", "A failover was begun: this is the intent.", "`why`"),
    Kind("failover_given_up", "A failover has ended before anything was changed.", "`why`"),
    Kind(
        "failover",
        "The slave is the active server.",
        "`snapshot`, `fencing`, `quenched`, `rpo_seconds`, `rto_seconds`, `enabled`, `failed`, `missing`, `outdated`, "
        "`missed`, `burst`, `caught_up`, `not_caught_up`, `next_step`, `steps` (when the master was last `heard`, was "
        "first `silent`, `down`; when it was `decided` and `begun`; `fenced`; `first_enabled`, `last_enabled`, "
        "`read_back`; what is not known is left out)",
        "master-dead",
    ),
    Kind(
        "completed",
        "Jobs that the failover could not enable are enabled. `after.complete` says whether these are all of them.",
        "`enabled`, `failed` (those that are not yet), `missing`, `missed` (of these jobs, since the master was last "
        "heard), `burst`, `caught_up`, `not_caught_up`",
        "master-dead",
    ),
    Kind("approval_asked", "A person was asked to approve a failover.", "`what`"),
    Kind("approved", "A person has approved the failover.", "`by`"),
    Kind("rejected", "A person has rejected the failover.", "`by`"),
    Kind("switchover_begun", "A switchover was begun: this is the intent.", "`why`"),
    Kind("switchover_given_up", "A switchover has ended before anything was changed.", "`why`"),
    Kind(
        "switchover_rolled_back",
        "A switchover has ended, and the jobs that it had disabled are enabled again.",
        f"`why`, `enabled`, {_GAP}",
        "planned-switchover",
    ),
    Kind(
        "switchover_stops",
        "Jobs that have not ended at the drain timeout are stopped now, as the person chose.",
        "`jobs`, `server`, `why`",
        "planned-switchover",
    ),
    Kind(
        "switchover",
        "The slave is the active server, as planned.",
        f"{_SWITCHED}; `fencing` where the master did not answer when its jobs were to be disabled: that is a "
        "failover, and told by its alert",
        "planned-switchover",
    ),
    Kind("failback", "The master is the active server again, as planned.", _SWITCHED, "fail-back"),
    Kind(
        "drill",
        "A drill has ended.",
        "`server`, `ok`, `after.ran`; `begun`, `seconds`; `jobs`: of each `job`, `ok`, `code`, `what`, `result`, "
        "`seconds`, `enabled` and `disabled` by our clock, `started` and `ended` by the server's; `not_begun`; of a "
        "failed one `code`, `what`, `next_step`, `alert`",
    ),
    Kind("paused", "A person has paused automation."),
    Kind("resumed", "A person has resumed automation."),
    Kind("acknowledged", "A person has acknowledged the last failover, or has accepted doubts."),
    Kind("released", "A person has released the halted pair."),
    Kind("halted", "A person, or the tool, has halted the pair.", "`code`, `what`, `next_step`"),
    Kind(
        "doctor",
        "Scratch projects of a doctor were deleted.",
        "`server`; `verdicts`: how many words of the contract were confirmed, refuted or stay unknown; `ended_early`",
    ),
    Kind(
        "problem",
        "A state needs a person. A sync that has failed for good is told when that begins and when its cause changes.",
        "`code`, `what`, `next_step`, `alert`, `verdict`; `run` of a sync or switchover of which a step has "
        "failed; `told`: people have been notified of it already",
    ),
    Kind("recovered", "The problem is over."),
    Kind(
        "monitor_stopped",
        "A run of the failover DAG is late. This event is only in an alert, and not in the history.",
        "`run`, `what`, `next_step`",
    ),
)
"""The kinds of events, in the order in which the documentation has them."""

ALERTS = {
    "failover": "A failover has ended, or a switchover that was resumed without the master. An approval is requested. "
    "The active slave does not answer.",
    "blocked": "A [reason code][codes] needs a person and has no alert of its own; a step, or a sync, has failed for "
    "good; or the file of pairs has the pair wrong.",
    "quenched": "The event `quenched` has happened.",
    "split_brain": "Both servers have enabled jobs, and the tool cannot disable them; or the code is "
    "`slave_may_be_active`.",
    "drift": "The event `drift` or `repaired` has happened.",
    "halted": "The pair was halted, or its record is lost, unusable or contradicted.",
    "stale_snapshot": "The last verified sync is too old to be promoted.",
    "switchover": "A switchover or a failback has ended.",
    "recovered": "A problem is over.",
    "pending": "A sync was committed without jobs that it could not deliver; this is told once for each job, until it "
    "is delivered. Or an import has warned of something for the first time.",
    "double_run": "Jobs have run on the target while a sync changed it (`suspected_double_runs`), so maybe on both "
    "servers.",
    "drill": "A drill has failed: the slave may not be able to run the jobs.",
    "monitor_stopped": "A run of the failover DAG is late, or a sync has found that the failover DAG does not look: "
    "[whether the failover DAG looks][monitor].",
}
"""When each alert is sent."""
