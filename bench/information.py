"""For information, without targets: where the time goes that is not spent on requests."""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import ObjectStoragePath

from bench.report import Measurement
from bench.stage import BenchError, Stage
from bench.syncs import Syncs
from denodo_ha.quartz.forecast import forecast
from denodo_ha.snapshot.archive import inspect
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

TITLE = "For information"


def measure(stage: Stage) -> Iterator[Measurement]:
    with stage.pair() as pair:
        syncs = Syncs(stage.folder)
        stage.fill_master(pair, jobs=500, projects=12)
        with stage.progress.step("Syncing 500 jobs, task by task"):
            synced = syncs.run()
        for task, seconds in synced.seconds.items():
            yield Measurement(f"task {task}, 500 jobs", seconds, "s")
        yield Measurement("all tasks, 500 jobs", sum(synced.seconds.values()), "s", note="without Airflow between them")

        stage.fill_master(pair, jobs=5_000, projects=20)
        hook = DenodoSchedulerHook(syncs.pair.master)
        jobs, statuses = hook.jobs(), hook.statuses()
        file = ObjectStoragePath(f"file://{stage.folder / 'export.zip'}")
        hook.export_metadata(file)
        window, margin = syncs.pair.sync.quiet_window, syncs.pair.sync.quiet_margin
        with stage.progress.step("Forecast of quiet windows for 5,000 jobs"):
            begin = time.perf_counter()
            found = forecast(jobs, statuses.jobs, now=statuses.server_time, window=window, margin=margin)
            seconds = time.perf_counter() - begin
        if found is None:
            raise BenchError("The forecast could not tell the server's time zone.")
        yield Measurement("forecast of quiet windows, 5,000 jobs", seconds, "s", note=f"{len(found.windows)} windows")
        with stage.progress.step("Check of an export of 5,000 jobs"):
            begin = time.perf_counter()
            contents = inspect(file)
            seconds = time.perf_counter() - begin
        note = f"{contents.counts['jobs']:,} jobs in {file.stat().st_size / 2**20:.1f} MB"
        yield Measurement("check of the export, 5,000 jobs", seconds, "s", note=note)
