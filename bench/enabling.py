"""Enabling many jobs in a failover, with a look at the master before each batch, side by side with one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from bench.report import Measurement
from bench.stage import LATENCY, BenchError, Stage
from bench.syncs import Syncs
from denodo_demo.standin import StandinPair
from denodo_ha.situation import Heard
from denodo_ha.verdict import Evidence, Watch
from denodo_scheduler.client.probe import Looker
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.promote import failover as failing_over
from denodo_scheduler.steps.watch.look import Case

TITLE = "Enabling 5,000 jobs in 20 projects in a failover, 20 ms latency per request"
JOBS = 5_000
PROJECTS = 20


def measure(stage: Stage) -> Iterator[Measurement]:
    with stage.pair() as pair:
        stage.fill_master(pair, jobs=JOBS, projects=PROJECTS)
        syncs = Syncs(stage.folder)
        with stage.progress.step(f"Syncing {JOBS:,} jobs"):
            syncs.run()
        for server in pair.servers:
            server.webtool.faults(LATENCY)
        pair.master.scheduler.kill()
        pair.slave.webtool.reset_requests()

        with stage.progress.step("Failing over, from the verdict to the end"):
            event, seconds = _fail_over(syncs.prepared())
        _ensure_enabled(pair)
        requests = sum(number for what, number in pair.slave.webtool.requests().items() if what.startswith("PUT"))
        yield Measurement("whole failover", seconds, "s", note="looks, read-backs and the record included")
        yield Measurement("requests that enable", requests, note="as the slave's web tool counts them")
        if event["enabled"] != JOBS:
            raise BenchError(f"The failover says that it has enabled {event['enabled']} jobs.")

        hook = DenodoSchedulerHook(syncs.pair.slave)
        hook.set_jobs_status("disable", [status.key for status in hook.statuses().jobs])
        with stage.progress.step(f"Enabling them with {JOBS:,} requests, which takes minutes"):
            begin = time.perf_counter()
            _enable_one_by_one(hook)
            single = time.perf_counter() - begin
        _ensure_enabled(pair)
        yield Measurement("one request per job", single, "s", note="over one kept connection, without any look")
        yield Measurement("times faster", single / seconds, at_least=20)


def _fail_over(context: PairContext) -> tuple[dict[str, Any], float]:
    """The event, and the seconds that the task took."""
    with Looker(context.master, context.slave, second_path=context.pair.watch.second_path) as looker:
        evidence = _evidence(looker, context.pair.watch.fall)
        begin = time.perf_counter()
        event = failing_over.enable_jobs(Case(context, evidence, heard=Heard(second_good=context.now())), looker.look)
        return event, time.perf_counter() - begin


def _evidence(looker: Looker, fall: int) -> Evidence:
    watch = Watch(fall)
    while (found := watch.add(looker.look())) is None:
        pass
    return found


def _enable_one_by_one(hook: DenodoSchedulerHook) -> None:
    """What a script without the bulk request would do, over a session like the hook's own."""
    api = f"{hook.base_url}{hook.settings.base_path}/public/api"
    statuses = hook.statuses().jobs
    with hook.get_conn() as session:
        for status in statuses:
            answer = session.put(
                f"{api}/projects/{status.project_id}/jobs/{status.job_id}/status",
                params={"uri": hook.settings.scheduler_uri},
                json={"action": "enable"},
                timeout=hook.settings.timeout,
            )
            answer.raise_for_status()


def _ensure_enabled(pair: StandinPair) -> None:
    enabled = pair.slave.scheduler.state()["enabled"]
    if enabled != JOBS:
        raise BenchError(f"{enabled} of {JOBS} jobs are enabled on the slave.")
