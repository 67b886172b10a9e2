"""The reason codes of what the failover DAG finds."""

from __future__ import annotations

from denodo_ha.explained.model import Explanation, Section

_LOOKS_AGAIN = "It looks again about every two minutes."

DECIDED = Section(
    "Of the failover DAG: what `decide` found",
    intro='"Looks again about every two minutes" is true until the state is settled. Every other state is looked at '
    "when the verdict changes, when the server that should be passive shows enabled jobs (which is read every 5 "
    "minutes), when you ask for a **look**, and at least every `watch.duration`. A run `look__…` of the failover DAG "
    "is one that a task of the pair has started; its note says which, until it has ended.",
    codes=(
        Explanation(
            "healthy",
            "The master is up, and the slave is ready to take over.",
            then="It watches both servers, and fails over when the master is down.",
        ),
        Explanation(
            "to_be_synced",
            "The master is up. The slave was handed back or touched a moment ago, and the sync that follows has not "
            "ended.",
            "Wait for the sync, or **sync**.",
            f"{_LOOKS_AGAIN} After 15 minutes without a sync the code is `dirty_snapshot`.",
        ),
        Explanation(
            "master_unread",
            "The master is alive, and which of its jobs are enabled cannot be read: the user of the connection lacks a "
            "right, or the server answers with an error.",
            "See the log of the task `decide`, and correct the rights of the master's connection.",
            f"It alerts people. {_LOOKS_AGAIN}",
        ),
        Explanation(
            "nothing_enabled",
            "The active server answers, and none of its jobs is enabled, although the last snapshot had enabled ones: "
            "its Scheduler is paused, or the jobs were disabled by hand or by another tool.",
            "Resume that Scheduler, or enable its jobs. If nothing is meant to run, **sync** with *Accept a mass "
            "change*.",
            f"It alerts people. {_LOOKS_AGAIN}",
        ),
        Explanation(
            "operation_open",
            "A sync, a failover, a switchover or a doctor is under way, or its worker died less than a lease ago (2 "
            "minutes; of a sync, the pair's `lease`).",
            "Wait for its end.",
            f"{_LOOKS_AGAIN} It resumes what is dead.",
        ),
        Explanation(
            "paused",
            "Automation is paused, and the master is up.",
            "**Resume** the pair.",
            "It observes and changes nothing.",
        ),
        Explanation(
            "paused_down",
            "The master is down, and automation is paused.",
            "**Resume** the pair.",
            "It fails over when the pause ends, and changes nothing before.",
        ),
        Explanation(
            "paused_midway",
            "Automation was paused in the middle of a failover or a switchover.",
            "**Resume** the pair.",
            "It goes on with the interrupted operation when the pause ends.",
        ),
        Explanation(
            "failed_over",
            "The slave is the active server, and jobs are enabled on it; `denodo-ha status` says how many.",
            "Repair the master, and **acknowledge** the failover.",
            "It watches both servers, and disables jobs that the master shows.",
            incident="master-dead",
        ),
        Explanation(
            "master_back",
            "The master is back and none of its jobs is enabled. The slave goes on as the active server.",
            "**Re-protect**, and **fail back** when it suits.",
            "It watches both servers, and disables jobs that the master shows.",
            incident="master-back",
        ),
        Explanation(
            "control_path_broken",
            "The master's web tool is dead or refuses, and its Scheduler lives: the slave's web tool reaches it.",
            "Repair the master's web tool, or correct the master's connection.",
            "It changes nothing by itself: it does not fail over, syncs wait, and jobs go on.",
        ),
        Explanation(
            "misconfigured",
            "What the master's web tool answers proves nothing about the server: a login that is refused, a token that "
            "does not come, a wrong address, TLS, another application, a name that does not resolve and whose last "
            "address is not known, or a Virtual DataPort server that is down.",
            "Correct the master's connection, or let what gives its tokens answer. If the master's Scheduler is dead "
            "as well, stop its web tool: then the master counts as down.",
            "It goes on watching, and does not fail over.",
        ),
        Explanation(
            "same_server",
            "The master's name or address leads to the slave's own server: the ids, states and executions of all jobs "
            "are equal. Nothing is known of the master.",
            "Let the name lead to the master; if the master is lost, see the runbook.",
            "It changes nothing. Where the name led elsewhere before, it asks the master there, and fails over if "
            "that is silent.",
            incident="the-masters-name-leads-to-the-slave",
        ),
        Explanation(
            "shared_server",
            "Another pair, whose snapshots are in the same place, has held one of the servers for longer, and may have "
            "jobs in common with this one.",
            "Give this pair servers, projects or jobs of its own. If the other pair exists no more, delete the file "
            "that the message names.",
            "It changes nothing.",
        ),
        Explanation(
            "isolated",
            "Airflow reaches neither server: its own network fails, or both web tools are dead.",
            "Look at Airflow's network, then at both web tools.",
            "It goes on watching, and does not fail over.",
        ),
        Explanation(
            "one_path",
            "The master does not answer, and the slave's web tool cannot confirm it.",
            "Repair the slave's web tool, or correct `second_path` of the pair. If the master is really dead, act [by "
            "hand][by hand].",
            f"{_LOOKS_AGAIN} It does not fail over.",
        ),
        Explanation(
            "halted",
            "The pair is halted; the message says why.",
            "Remove the cause, then **release** the pair; where the record is wrong, **initialise** it.",
            "It only looks, and changes nothing on either server.",
        ),
        Explanation(
            "record_lost",
            "The versions of the record were lost or restored from a backup, or `snapshots.location` of the pair leads "
            "elsewhere.",
            "Correct `snapshots.location`, or bring the folder `record` back; if it is lost, see the runbook.",
            "It changes nothing.",
            incident="record-lost",
        ),
        Explanation(
            "record_contradicted",
            "The slave is the active server by the record, and only the master has enabled jobs: people failed back by "
            "hand.",
            "Look which server has enabled jobs, then **initialise** with it.",
            "It halts the pair, and changes nothing on either server.",
        ),
        Explanation(
            "record_unusable",
            "The record is damaged, or a newer version of this project has written it.",
            "Look which server has enabled jobs, then **initialise** with it. If a newer version has written the "
            "record, [update all components][versions] instead.",
            "It changes nothing.",
        ),
        Explanation(
            "not_initialised",
            "The pair has never had a record.",
            "Look which server has enabled jobs, **initialise** with it, then **sync**.",
            "It only looks: nothing would fail over.",
        ),
        Explanation(
            "servers_changed",
            "A connection leads to another address than before.",
            "Correct the connection; if it is right, **initialise** the pair.",
            "It changes nothing.",
        ),
        Explanation(
            "no_snapshot",
            "No sync was ever verified.",
            "**Sync**. If the master is dead, act [by hand][by hand].",
            "It does not fail over before a sync was verified.",
        ),
        Explanation(
            "dirty_snapshot",
            "The slave was touched since the last verified sync, so it is not known what it would run.",
            "**Sync**. If the master is dead, act [by hand][by hand].",
            "The next sync repairs the slave; until then it does not fail over.",
        ),
        Explanation(
            "stale_snapshot",
            "The last verified sync is older than `oldest_snapshot` of the pair.",
            "See why syncs fail. If the master is dead, **fail over with an old snapshot**.",
            "It does not fail over before a sync succeeds or a person accepts the old snapshot.",
        ),
        Explanation(
            "cool_down",
            "The last failover is less than `cool_down` ago.",
            "Wait, or **acknowledge** the last failover, which ends the cool-down.",
            _LOOKS_AGAIN,
        ),
        Explanation(
            "not_acknowledged",
            "Nobody has acknowledged the last failover.",
            "**Acknowledge** it.",
            "It does not fail over again before somebody has acknowledged the last failover.",
        ),
        Explanation(
            "slave_unreachable",
            "The slave does not answer, so it could not take over.",
            "Repair the slave.",
            _LOOKS_AGAIN,
            incident="slave-dead-during-failover",
        ),
        Explanation(
            "active_unreachable",
            "The slave is the active server and does not answer.",
            "Repair the slave. If that takes too long, move to the master as the runbook says.",
            _LOOKS_AGAIN,
            incident="the-slave-dies-while-it-is-active",
        ),
        Explanation(
            "second_path",
            "The slave's web tool was not seen to reach the master's Scheduler within a day, so its silence would "
            "prove nothing.",
            "Open the way from the slave's web tool to the port of the master's Scheduler, correct `second_path`, or "
            "allow `one_path`. To take over now, **fail over**.",
            "It does not fail over without a person's consent.",
        ),
        Explanation(
            "paused_split_brain",
            "Automation is paused, and jobs are enabled on both servers.",
            "Disable the jobs of the server that should be passive, or **resume** the pair.",
            "It disables the jobs of the server that should be passive when the pause ends, and changes nothing "
            "before.",
            incident="split-brain",
        ),
        Explanation(
            "slave_may_be_active",
            "Jobs are enabled on the slave, and the master is not seen to be the active server.",
            "Disable them there, or **initialise** with the server that is the active one.",
            "It changes nothing.",
            incident="split-brain",
        ),
        Explanation(
            "manual",
            "The master is down, and the policy of the pair is `manual`.",
            "**Fail over**.",
            "It waits for you.",
        ),
        Explanation(
            "approve",
            "The master is down, and a person is to approve the failover.",
            "**Approve** the failover under *Required actions* of the failover DAG.",
            "It asks a person to approve the failover.",
        ),
        Explanation(
            "approval_asked",
            "The master is down, and a person has been asked to approve the failover.",
            "**Approve** the failover under *Required actions* of the failover DAG, or reject it.",
            "It waits for the answer. It asks again at the first look after `approval_timeout`, also after a "
            "rejection.",
        ),
        Explanation(
            "not_fenced",
            "The master is down, and the pair requires a fence and has none.",
            "Switch the master off for good, then **fail over, it is fenced**.",
            "It does not fail over.",
        ),
        Explanation(
            "interrupted",
            "An operation was interrupted before anything was changed, and the master cannot be judged.",
            "Repair what keeps the master from being judged.",
            f"It resumes the interrupted operation as soon as the master can be judged. {_LOOKS_AGAIN}",
            incident="slave-dead-during-failover",
        ),
        Explanation(
            "fail_over",
            "The master is down, and all rules hold.",
            then="It fails over: it enables the jobs of the last snapshot on the slave, after one more look.",
            incident="master-dead",
        ),
        Explanation(
            "resume",
            "An interrupted operation is to go on.",
            then="It brings the interrupted operation to its end.",
        ),
        Explanation(
            "complete",
            "Not all jobs of the failover could be enabled yet.",
            "Look at these jobs in the slave's web tool.",
            "It tries again to enable the jobs that are left.",
        ),
        Explanation(
            "quench",
            "The master is back with enabled jobs while the slave is the active server.",
            then="It disables the jobs of the master, because the slave is the active server.",
            incident="master-back",
        ),
        Explanation(
            "drill_interrupted",
            "A [drill][drill] was interrupted, and nobody acts for it any more.",
            then="It disables the job of the drill, and only that one (event `drill`).",
        ),
        Explanation(
            "repair",
            "Both servers have enabled jobs, and the master is the active one.",
            "Find out who has enabled the jobs of the slave.",
            "It disables the jobs of the slave that should not be enabled there.",
            incident="split-brain",
        ),
        Explanation(
            "fail_back",
            "The master is back and stable, and the pair says `on_master_return: fail_back`.",
            "If the failback has failed, see its code, then **fail back**.",
            "It starts the failback, once in an epoch.",
            incident="fail-back",
        ),
        Explanation(
            "failed",
            "The task `ping_master` or `decide` itself has failed: a connection, or the storage of the snapshots, "
            "cannot be used.",
            "Read the log of that task.",
            _LOOKS_AGAIN,
        ),
        Explanation(
            "step_failed",
            "What was decided did not happen, and its task has left no reason: it was killed, or failed unexpectedly. "
            "A task that was skipped counts the second time.",
            "Read the log of that task.",
            _LOOKS_AGAIN,
        ),
        Explanation(
            "monitor_stopped",
            "The failover DAG has not looked at the pair for `watch.duration` and 15 minutes; a sync has noticed it.",
            "Unpause the failover DAG; look at the triggerer and the workers.",
            "It does nothing: nothing watches the pair, so nothing would fail over.",
        ),
    ),
)
