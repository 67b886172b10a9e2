"""What it costs that the HA record is a row of versions: a sync and a look with them, and with an upsert as before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from bench.report import Measurement
from bench.stage import Stage
from bench.syncs import Memory, Syncs
from denodo_ha.record import Record
from denodo_ha.verdict import Watch
from denodo_scheduler.client.probe import Looker
from denodo_scheduler.state.record_store import RECORD_KEY, RecordStore
from denodo_scheduler.steps.watch.look import Case, judge

TITLE = "A sync with nothing to do and a look: versions of the record against an upsert"
JOBS, PROJECTS, ROUNDS = 500, 10, 15
CALL = 0.004
"""Seconds that a call of Airflow's API takes at least."""
NOTE = f"median of {ROUNDS} in turn, {JOBS} jobs, the record on a local disk"


class _Mirror(Memory):
    """Airflow's state store, over its API."""

    def get(self, key: str, default: Any = None) -> Any:
        time.sleep(CALL)
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        time.sleep(CALL)
        super().set(key, value)


class _Upsert(RecordStore):
    """The record as it was kept before: in Airflow's state store alone, where the last writer wins."""

    def load(self) -> Record | None:
        value = self._mirror.get(RECORD_KEY)
        return None if value is None else Record.from_json(value)

    def save(self, record: Record) -> Record:
        self._mirror.set(RECORD_KEY, record.to_json())
        return record

    def is_exclusive(self, record: Record) -> bool:
        return record.exclusive


def measure(stage: Stage) -> Iterator[Measurement]:
    with stage.pair() as pair:
        stage.fill_master(pair, jobs=JOBS, projects=PROJECTS)
        kinds = [Syncs(stage.folder / kind.__name__, mirror=_Mirror(), records=kind) for kind in (RecordStore, _Upsert)]
        with stage.progress.step("Syncing and looking, in turn"):
            for syncs in kinds:
                syncs.run()
            syncing: list[list[float]] = [[], []]
            looking: list[list[float]] = [[], []]
            for _ in range(ROUNDS):
                for syncs, synced, looked in zip(kinds, syncing, looking, strict=True):
                    synced.append(syncs.run().whole)
                    looked.append(_look(syncs))
    for what, (versions, upsert) in (("a sync", syncing), ("a look", looking)):
        yield Measurement(f"{what}, with versions", median(versions), "s", note=NOTE)
        yield Measurement(f"{what}, with an upsert", median(upsert), "s", note=NOTE)
        yield Measurement(f"{what}, ratio", median(versions) / median(upsert), at_most=1.1, note=NOTE)


def _look(syncs: Syncs) -> float:
    begin = time.perf_counter()
    context = syncs.prepared()
    with Looker(context.master, context.slave) as looker:
        watch = Watch(1)
        while (evidence := watch.add(looker.look())) is None:
            pass
        judge(Case(context, evidence))
    return time.perf_counter() - begin
