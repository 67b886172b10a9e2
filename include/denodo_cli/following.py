"""Follow a run of one of a pair's DAGs to its end: live progress, and what has come of it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self
from urllib.parse import quote

import httpx
from rich.console import Console

from denodo_cli.airflow_api import AirflowApiError, ApiClient, Json
from denodo_cli.options import CliError, explained, shown_url
from denodo_cli.reading import read_state
from denodo_cli.runs import RunError, ended, run_path
from denodo_ha.decisions import Action
from denodo_ha.durations import format_duration
from denodo_ha.pairs import Pair
from denodo_ha.status import Level, level
from denodo_ha.text import one_line

Say = Callable[[str], object]

LOST = ("missing", "outdated", "still_disabled", "interrupted", "not_caught_up", "failed", "pending")
"""The details of an event that name jobs which did not come along unharmed."""

_WORDS = {
    "scheduled": "waits for the pair's slot or a worker",
    "queued": "waits for a worker",
    "running": "runs",
    "deferred": "waits",
    "awaiting_input": "waits for an approval",
    "up_for_retry": "failed and is tried again",
    "up_for_reschedule": "waits",
    "restarting": "is started again",
    "success": "is done",
    "skipped": "is skipped",
    "failed": "has failed",
}
_UNDER_WAY = ("running", "deferred", "awaiting_input", "up_for_retry", "queued", "scheduled")
_ACTS = (Action.ENABLE_JOBS, Action.QUENCH_MASTER, Action.REPAIR_SLAVE)
_WORK = {"sync": "verify", "failover": "decide", "switchover": "switch_over", "operations": "operate"}
"""The task of each DAG without which a run has only looked."""

_LOOKS = {"sync": "export_metadata", "failover": "decide", "switchover": "check"}
"""The task of each DAG that says what a dry run has found."""


class Progress:
    """Tell how far a run is: a moving line on a terminal, otherwise a line for each change, both on standard error."""

    def __init__(self, api: ApiClient, dag_id: str, run_id: str, url: str, say: Say) -> None:
        self._api, self._dag_id, self._run_id, self._say = api, dag_id, run_id, say
        self._where = f"{shown_url(url).rstrip('/')}/dags/{dag_id}/runs/{quote(run_id, safe='')}"
        self._told: set[str] = set()
        self._began = time.monotonic()
        self._line = Console(stderr=True).status("", spinner="line") if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._line:
            self._line.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._line:
            self._line.stop()

    def __call__(self, run: Json | None) -> None:
        """:param run: as Airflow shows it; None where Airflow does not answer."""
        if run is None:
            self._tell("Airflow does not answer; the run goes on as soon as Airflow does")
        elif run["state"] == "queued":
            ahead = self._api.running(self._dag_id)
            self._tell("is queued" + f"; the run {ahead} of this DAG is under way" * bool(ahead))
        else:
            self._tell(*self._tasks())

    def _tasks(self) -> list[str]:
        told = []
        for task in self._api.task_instances(self._dag_id, self._run_id):
            if (state := task["state"]) not in _WORDS or (self._line and state not in _UNDER_WAY):
                continue
            where = f" in Airflow, under Required actions: {self._where}" if state == "awaiting_input" else ""
            again = f" (try {task['try_number']})" if state == "running" and (task.get("try_number") or 0) > 1 else ""
            told.append(f"{task['task_id']} {_WORDS[state]}{where}{again}")
        return told

    def _tell(self, *texts: str) -> None:
        if self._line:
            passed = format_duration(timedelta(seconds=time.monotonic() - self._began))
            self._line.update(f"{passed}  {'; '.join(texts)}".replace("[", r"\["))
            return
        for text in texts:
            if text not in self._told:
                self._say(text)
        self._told = set(texts)


def follow(args: argparse.Namespace, api: ApiClient, dag_id: str, run_id: str, say: Say) -> int:
    """Wait for the end of a run, and tell what has come of it.

    :raises RunError: what becomes of it is not known, though it goes on.
    """
    again = f"The run {run_id} of {dag_id} goes on. Next: follow it again: denodo-ha follow {args.pair} {run_id}"
    try:
        with Progress(api, dag_id, run_id, args.url, say) as progress:
            run = ended(api, dag_id, run_id, args.patience, seen=progress)
        found, text = result(api, args.pair, dag_id, run)
    except KeyboardInterrupt:
        raise RunError(f"no longer followed. {again}", Level.UNKNOWN) from None
    except RunError:
        waited = format_duration(args.patience)
        raise RunError(f"the run has not ended after {waited}, and is not followed. {again}", Level.UNKNOWN) from None
    except (httpx.HTTPError, AirflowApiError, CliError) as error:
        raise RunError(f"{explained(error, args.url)}. {again}", Level.UNKNOWN) from None
    print(f"{found.name} - pair {args.pair}: {text}")
    return found


def follow_again(args: argparse.Namespace, api: ApiClient, say: Say) -> int:
    """Follow a run that was started before, by whomever.

    :raises RunError: none of the pair's DAGs has it.
    """
    read_state(api, args.pair)  # an unknown pair is told as such
    pair = Pair(name=args.pair)
    kinds = (pair.dag_id_switchover, pair.dag_id_sync, pair.dag_id_failover, pair.dag_id_operations, pair.dag_id_drill)
    for dag_id in kinds:
        try:
            api.get(run_path(dag_id, args.run_id))
        except AirflowApiError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        else:
            return follow(args, api, dag_id, args.run_id, say)
    raise RunError(f"no DAG of the pair has a run {args.run_id!r}", Level.UNKNOWN)


def result(api: ApiClient, pair: str, dag_id: str, run: Mapping[str, Any]) -> tuple[Level, str]:
    """Return what has come of a run that has ended, and its note, which says it in words.

    OK: it has done what it was started for. WARNING: it has only looked, or there is something to be seen to.
    """
    run_id, conf = str(run["dag_run_id"]), run.get("conf") or {}
    note = one_line(run.get("note") or "") or f"the run {run_id} of {dag_id} has left no note; see its log"
    if run["state"] != "success":
        return Level.CRITICAL, note
    kind = dag_id.removesuffix(f"__{pair}").rpartition("_")[2]
    if conf.get("dry_run"):
        return Level.WARNING, f"only looked: {_plan(api, dag_id, run_id, kind) or note}"
    task = _WORK.get(kind, "")
    if kind == "operations" and conf.get("operation") in ("check", "doctor", "drill"):
        return Level.OK, note
    skipped = _skipped(api, dag_id, run_id)
    if kind == "failover" and task not in skipped:
        judged = _xcom(api, dag_id, run_id, task, "judgement")
        if judged and judged["action"] not in _ACTS:
            return level(judged["code"], judged["verdict"]), note
        task = judged.get("action", task)
    if task in skipped:
        return Level.WARNING, f"only looked: {note}"
    if not task:
        return Level.OK, note
    if not (left := _xcom(api, dag_id, run_id, task)):  # as where a person has marked the run
        return Level.UNKNOWN, f"the run ended as a success, and its task {task} has left no result to be read: {note}"
    return (Level.WARNING if _lost(left) else Level.OK), note


def _skipped(api: ApiClient, dag_id: str, run_id: str) -> set[str]:
    return {task["task_id"] for task in api.task_instances(dag_id, run_id) if task["state"] == "skipped"}


def _lost(event: Mapping[str, Any]) -> bool:
    """Whether the event of what was done names jobs that a person has to see to."""
    counts = (event.get(name) for name in LOST)
    missed = (event.get("missed") or {}).get("occurrences", 0)
    return missed != 0 or any(isinstance(each, dict) and each.get("jobs") for each in counts)


def _plan(api: ApiClient, dag_id: str, run_id: str, kind: str) -> str:
    """All that a dry run has found; its note may hold the first line only."""
    found = _left(api, dag_id, run_id, _LOOKS.get(kind, ""))
    text = found.get("text") if isinstance(found, dict) else found
    return one_line(text) if isinstance(text, str) else ""


def _xcom(api: ApiClient, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Json:
    """The object that a task has left, if it can be read."""
    value = _left(api, dag_id, run_id, task_id, key)
    return value if isinstance(value, dict) else {}


def _left(api: ApiClient, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
    with suppress(AirflowApiError):
        return api.xcom(dag_id, run_id, task_id, key)
    return None
