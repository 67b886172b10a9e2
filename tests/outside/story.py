"""What pairs may live through, played with the DAGs' own tasks.

Every kind of event happens, and most ends that are not success. Each chapter leaves the pair in step.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

from airflow.utils.types import DagRunType

from denodo_scheduler.steps.doctor import trial
from outside.stage import (
    DAY,
    DIRTY,
    EARLIER,
    ELSEWHERE,
    HALT,
    NOT_CHANGED,
    PAUSE,
    PROMOTION,
    SCRATCH,
    SOON,
    Stage,
    ago,
    changed_evidence,
    one,
    operation,
)
from support.sync import NIGHTLY, act, add_job, delete, edit, enabled, states, status_of
from support.tampering import tampering


class Story(Stage):
    """One story, from the first sync to the last alert."""

    def play(self) -> None:
        self.fill()
        for chapter in (
            self.syncs,
            self.late_syncs,
            self.syncs_that_may_not_begin,
            self.syncs_that_do_not_end_well,
            self.looks,
            self.failovers,
            self.return_of_the_master,
            self.switchovers,
            self.switchovers_that_may_not_begin,
            self.interrupted_switchovers,
            self.operations,
            self.drills,
            self.doctors,
            self.approvals,
            self.stopped_monitor,
            self.switchovers_while_a_job_runs,
        ):
            chapter()

    # -- sync

    def syncs(self) -> None:
        pair = self.pair
        self.pairs["new"].run("sync")
        pair.run("sync", dry_run=True)
        pair.run("sync").task("verify")
        pair.run("sync", reason="nothing is new")
        off, *others = sorted(states(self.master).keys() - enabled(self.master))
        first, second, third, *_ = sorted(enabled(self.master))
        act(self.master, "disable", first)
        act(self.master, "enable", off)
        edit(self.master, second, description="edited")
        delete(self.master, others[0])
        add_job(self.master, "Finance", "a new one")
        act(self.slave, "enable", third)
        pair.run("sync")
        self.wake_on_slave(third)
        pair.run("sync")
        pair.run("sync", before={"verify": lambda _: pair.run("sync")})
        pair.changed(dirty=DIRTY)
        self.wake_on_slave(third)
        pair.run("sync")

    def late_syncs(self) -> None:
        pair = self.pair
        pair.begin("sync").task("export_metadata")
        pair.begin("sync", by=DagRunType.SCHEDULED, after=EARLIER).task("guard")
        run = pair.begin("sync")
        run.task("guard")
        with self.record():
            pair.lose_record()
            run.task("export_metadata")
        pair.state.set("watch", {"code": "healthy", "at": EARLIER})
        pair.begin("sync", by=DagRunType.SCHEDULED, after=EARLIER).task("guard")

    def syncs_that_may_not_begin(self) -> None:
        pair = self.pair
        for fields in (
            {"paused": PAUSE},
            {"phase": "halted", "halted": HALT},
            {"phase": "failing_over", "operation": operation("failover", "claimed", plan="p")},
            {"phase": "failing_back", "active": "slave", "operation": operation("switchover", "claimed", plan="p")},
            {"phase": "failed_over", "active": "slave"},
            {"active": "slave"},
            {"operation": operation("failover", "claimed")},
            {"master": ELSEWHERE},
            {"slave": ELSEWHERE},
            {"phase": "nonsense"},
        ):
            with self.record(**fields):
                pair.begin("sync").task("guard")
        with self.record():
            pair.lose_newest()
            pair.begin("sync").task("guard")
        for role in ("master", "slave"):
            with self.record(**{role: ELSEWHERE}):
                pair.begin("sync", initialise=True).task("guard")
        act(self.slave, "enable", one(states(self.slave).keys()))
        self.pairs["asking"].begin("sync").task("guard")
        act(self.slave, "disable", *enabled(self.slave))
        self.pairs["narrow"].run("sync", dry_run=True)
        self.connect("slave", **self.master.connection())
        pair.begin("sync").task("guard")
        with self.record(slave=None):
            self.check()
        pair.run("operations", operation="initialise", active="master", reason="a mistake")
        self.connect("slave")

    def syncs_that_do_not_end_well(self) -> None:
        pair, wanted = self.pair, enabled(self.master)
        act(self.master, "disable", *wanted)
        pair.run("sync")
        act(self.master, "enable", *wanted)
        cut_off = tampering(self.master, "serverMetadata/export", lambda content: content[:-30])
        with self.record(master=None), cut_off as between:
            self.connect("master", port=between.port)
            pair.run("sync")
        self.connect("master")
        for task, happens in {
            "import_metadata": lambda _: self.cron_of_a_job(SOON),
            "verify": lambda _: delete(self.slave, one(states(self.slave).keys())),
        }.items():
            edit(self.master, one(wanted), description=f"edited before {task}")
            pair.run("sync", before={task: happens})
            self.cron_of_a_job(NIGHTLY)
        run = self.begun_sync("export_metadata")
        Path(run.xcoms["export_metadata"]["return_value"]["location"].removeprefix("file://"), "export.zip").unlink()
        run.task("import_metadata")
        run = self.begun_sync("export_metadata")
        self.slave.webtool.faults({"kind": "cut_after", "match": {"path": "/serverMetadata/import$"}})
        run.task("import_metadata")
        self.wake()
        over = {**pair.state.get("record")["operation"], "started": EARLIER, "lease_until": EARLIER}
        pair.changed(operation=over)
        pair.run("sync")
        run = self.begun_sync("export_metadata")
        act(self.slave, "enable", one(wanted))
        with self.silence():
            run.task("disable_jobs")
        pair.run("sync")

    # -- failover

    def looks(self) -> None:
        pair = self.pair
        pair.run("failover", by=DagRunType.SCHEDULED)
        pair.run("failover", dry_run=True)
        pair.run("failover", fail_over=True)
        pair.begin("failover").task("decide")
        self.pairs["asking"].run("failover")
        for fields in (
            {"snapshot": None},
            {"slave": ELSEWHERE},
            {"phase": "nonsense"},
            {"phase": "halted", "halted": HALT},
        ):
            with self.record(**fields):
                pair.run("failover")
            pair.run("failover")
        for loss in (pair.lose_record, pair.lose_newest):
            with self.record():
                loss()
                pair.run("failover")
        pair.begin("failover").task("report")
        for dirty in (None, DIRTY):
            pair.changed(dirty=dirty)
            self.wake_on_slave(one(enabled(self.master)))
            pair.run("failover")
        act(self.slave, "enable", one(enabled(self.master)))
        pair.run("failover", before={"repair_slave": lambda _: act(self.slave, "disable", *enabled(self.slave))})
        pair.run("sync")

    def failovers(self) -> None:
        pair = self.pair
        manifest = next(self.snapshots("pair").glob(f"{pair.state.get('record')['snapshot']['id']}/man*"))
        hidden = manifest.with_suffix(".hidden")
        with self.silence():
            pair.run("failover", before={"enable_jobs": lambda run: changed_evidence(run, decided=EARLIER)})
            pair.run("failover", before={"enable_jobs": lambda _: manifest.rename(hidden)})
            hidden.rename(manifest)
            pair.run("failover", before={"enable_jobs": lambda _: self.wake()})
        self.copy_to("fenced")
        with self.silence():
            self.pairs["fenced"].run("failover")
        project = status_of(self.slave, one(states(self.slave).keys()))["projectID"]
        refused = {**NOT_CHANGED, "match": {"method": "PUT", "path": f"/projects/{project}/jobs/status$"}}
        with self.silence(refused):
            self.slave.scheduler.clock(advance_seconds=DAY)
            pair.run("failover", before={"enable_jobs": lambda run: changed_evidence(run, last_alive=ago(seconds=DAY))})
            pair.run("failover")
        with self.silence():
            pair.run("failover")
            pair.run("failover")

    def return_of_the_master(self) -> None:
        pair, wanted = self.pair, enabled(self.slave)
        act(self.slave, "disable", *wanted)
        with self.record():
            pair.run("failover")
        act(self.slave, "enable", *wanted)
        for server in self.servers.servers:
            server.webtool.faults(NOT_CHANGED)
        pair.run("failover")
        self.wake()
        act(self.master, "start", one(enabled(self.master)))
        pair.run("failover")
        pair.run("failover")
        pair.run("failover", before={"decide": lambda run: changed_evidence(run, alive_since=ago(hours=1))})
        with self.record(last_promotion=PROMOTION):
            pair.begin("switchover", direction="to_master", reason="it is back").task("check")
        self.master.scheduler.clock(advance_seconds=DAY)
        self.a_minute_passes()
        pair.run("switchover", direction="to_master", reason="it is back")
        self.a_minute_passes()
        pair.run("sync")

    # -- switchover

    def switchovers(self) -> None:
        pair = self.pair
        pair.begin("switchover", direction="to_slave", reason="patch day").task("switch_over")
        pair.run("switchover", direction="to_slave", reason="patch day", dry_run=True)
        with self.record():
            self.run_to_slave(before={"switch_over": lambda _: pair.changed(epoch=99)})
        soon = {"switch_over": lambda _: self.cron_of_a_job(SOON)}
        self.run_to_slave(before=soon, accept_differences=True, how="quiet_window")
        self.cron_of_a_job(NIGHTLY)
        pair.run("sync")
        self.run_to_slave()
        self.run_to_slave()
        pair.run("switchover", direction="to_master", reason="done")
        pair.run("sync")

    def switchovers_that_may_not_begin(self) -> None:
        for fields in (
            {"paused": PAUSE},
            {"phase": "halted", "halted": HALT},
            {"phase": "failing_over", "operation": operation("failover", "claimed", plan="p")},
            {"phase": "failing_back", "active": "slave", "operation": operation("switchover", "claimed", plan="p")},
            {"operation": operation("sync", "importing")},
            {"operation": operation("failover", "claimed")},
            {"dirty": DIRTY},
            {"slave": ELSEWHERE},
            {"phase": "nonsense"},
        ):
            with self.record(**fields):
                self.check()
        for loss in (self.pair.lose_record, self.pair.lose_newest):
            with self.record():
                loss()
                self.check()
        wanted = enabled(self.master)
        act(self.slave, "enable", one(wanted))
        self.check()
        act(self.slave, "disable", one(wanted))
        edit(self.master, one(wanted), description="of the master only")
        self.check()
        add_job(self.master, "Finance", "of the master only")
        self.check()
        delete(self.master, "Finance / of the master only")
        act(self.master, "disable", *wanted)
        self.check()
        act(self.master, "enable", *wanted)
        self.pair.run("sync")

    def interrupted_switchovers(self) -> None:
        pair = self.pair
        plan = max(self.snapshots("pair").glob("plan-*.json")).stem.removeprefix("plan-")
        for step in ("claimed", "disabling"):
            open_one = operation("switchover", step, plan=plan)
            epoch = pair.state.get("record")["epoch"] + 1
            pair.changed(phase="failing_over", epoch=epoch, operation=open_one)
            self.slave.webtool.faults({"kind": "status", "status": 500})
            self.master.webtool.faults(self.second_path(self.slave))
            pair.run("failover")
            self.wake()
        self.a_minute_passes()  # what was missed is caught up

    # -- people

    def operations(self) -> None:
        pair = self.pair
        pair.changed(acknowledged=False)
        for asked in (
            {"operation": "pause", "until": "2031-03-02T06:00:00+00:00"},
            {"operation": "pause", "until": EARLIER},
            {"operation": "pause", "until": "soon"},
            {"operation": "resume"},
            {"operation": "resume"},
            {"operation": "acknowledge"},
            {"operation": "halt"},
            {"operation": "release"},
            {"operation": "initialise"},
            {"operation": "initialise", "active": "slave"},
            {"operation": "initialise", "active": "master"},
        ):
            pair.run("operations", reason="people", **asked)
        pair.run("operations", operation="resume", reason=" ")
        pair.run("operations", operation="check", test_message=True)
        pair.run("switchover", direction="to_slave", reason=" ")
        for unusable in (pair.lose_record, pair.lose_newest, partial(pair.tamper, {"phase": "nonsense"})):
            with self.record():
                unusable()
                pair.run("operations", operation="resume", reason="people")
        with self.record(operation=operation("sync", "importing", lease=timedelta(hours=1))):
            pair.run("operations", operation="initialise", active="master", reason="people")
        with self.record(phase="halted", halted=HALT):
            pair.lose_newest()
            pair.run("operations", operation="release", reason="people")
        with self.silence():
            pair.run("operations", operation="initialise", active="master", reason="people")
        pair.run("sync")

    def drills(self) -> None:
        pair, drill = self.pair, {"operation": "drill", "reason": "can it run?"}
        pair.run("operations", **drill)
        add_job(self.master, "Finance", "drilled", "0 0 0 1 1 ? 2099")
        pair.run("sync")
        with self.time_of_drills():
            pair.run("operations", **drill)
            self.slave.scheduler.results("ERROR", match="drilled")
            pair.run("operations", **drill)
            self.slave.scheduler.results("COMPLETE")
        with self.record(paused=PAUSE):
            pair.run("operations", **drill)
        pair.run("operations", operation="drill", reason=" ")
        self.a_minute_passes()
        pair.run("sync")

    def doctors(self) -> None:
        pair, asked = self.pair, {"operation": "doctor", "reason": "a new version", "hash_names": False}
        self.patch.setattr(trial, "PAUSE", 0.0)
        pair.run("operations", **asked, probe=False)
        pair.run("operations", **asked, probe=True)
        with self.record(scratch=SCRATCH):
            pair.run("operations", **asked, probe=True)
        act(self.slave, "enable", one(states(self.slave).keys()))
        pair.run("operations", **asked, probe=True)
        act(self.slave, "disable", *enabled(self.slave))

    def approvals(self) -> None:
        self.patch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **_: None)
        asking = self.copy_to("asking")
        with self.silence():
            for option in ("Reject", "Approve"):
                asking.changed(approval=None)
                run = asking.run("failover")
                answer = {"chosen_options": [option], "params_input": {}, "responded_at": datetime.now(UTC)}
                run.task("approve", answer={**answer, "responded_by_user": {"id": "1", "name": "bob"}})

    def stopped_monitor(self) -> None:
        """What Airflow calls when a run of the failover DAG is late."""
        callback = self.pair.dags["failover"].deadline[0].callback
        late = {"dag_run": {"dag_run_id": "scheduled__1", "queued_at": EARLIER}}
        resolve_name(callback.path)(**callback.kwargs, context=late)

    def switchovers_while_a_job_runs(self) -> None:
        job = one(enabled(self.master))
        self.master.scheduler.duration(DAY, f"^{re.escape(job)}$")
        act(self.master, "start", job)
        self.run_to_slave(drain_timeout=1)
        self.run_to_slave(drain_timeout=1, at_drain_timeout="stop_them")
        self.master.scheduler.duration(0)
        self.a_minute_passes()
        self.pair.run("switchover", direction="to_master", reason="done")
        self.a_minute_passes()
        self.pair.run("sync")
