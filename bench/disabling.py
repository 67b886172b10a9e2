"""Disabling many jobs: one request per project, side by side with one request per job."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.report import Measurement
from bench.stage import LATENCY, BenchError, Stage
from denodo_demo.standin import StandinPair
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

TITLE = "Disabling 5,000 jobs in 20 projects, 20 ms latency per request"
JOBS = 5_000
PROJECTS = 20


def measure(stage: Stage) -> Iterator[Measurement]:
    with stage.pair() as pair:
        stage.fill_master(pair, jobs=JOBS, projects=PROJECTS)
        hook = DenodoSchedulerHook("denodo_scheduler_master")
        keys = [status.key for status in hook.statuses().jobs]
        webtool = pair.master.webtool
        webtool.faults(LATENCY)

        webtool.reset_requests()
        with stage.progress.step("Disabling them with one request per project"):
            begin = time.perf_counter()
            hook.set_jobs_status("disable", keys)
            bulk = time.perf_counter() - begin
        _ensure_disabled(pair)
        yield Measurement("requests", sum(webtool.requests().values()), at_most=22, note="as the web tool counts them")
        yield Measurement("one request per project", bulk, "s")

        hook.set_jobs_status("enable", keys)
        with stage.progress.step(f"Disabling them with {JOBS:,} requests, which takes minutes"):
            begin = time.perf_counter()
            disable_one_by_one(hook)
            single = time.perf_counter() - begin
        _ensure_disabled(pair)
        yield Measurement("one request per job", single, "s", note="over one kept connection, as the hook's")
        yield Measurement("times faster", single / bulk, at_least=100)


def disable_one_by_one(hook: DenodoSchedulerHook) -> None:
    """What a script without the bulk request would do, over a session like the hook's own."""
    statuses = hook.statuses().jobs
    api = f"{hook.settings.base_path}/public/api"
    with hook.get_conn() as session:
        for status in statuses:
            answer = session.put(
                f"{hook.base_url}{api}/projects/{status.project_id}/jobs/{status.job_id}/status",
                params={"uri": hook.settings.scheduler_uri},
                json={"action": "disable"},
                timeout=hook.settings.timeout,
            )
            answer.raise_for_status()


def _ensure_disabled(pair: StandinPair) -> None:
    enabled = pair.master.scheduler.state()["enabled"]
    if enabled:
        raise BenchError(f"{enabled} jobs are still enabled.")
