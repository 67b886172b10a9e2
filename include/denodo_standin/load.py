"""Fill a server from an export file, and write generated metadata to one.

An export file does not contain which jobs are disabled; ``FILE.disabled.json`` beside ``FILE.zip`` does: a list of
``{"project": …, "name": …}``. These jobs are disabled when the file is loaded. ``FILE.durations.json`` holds how long
jobs run, as ``POST /control/duration`` takes it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from denodo_ha.jobs import JobKey
from denodo_standin.exportfile import read_export, read_resources, write_export
from denodo_standin.generate import Generated
from denodo_standin.importer import Importer, Replace
from denodo_standin.server import SchedulerServer
from denodo_standin.settings import Duration

_EVERYTHING = Replace(jobs=True, data_sources=True, plugins=True, drivers=True)
_FLAGS = dict.fromkeys(("replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers"), "true")
_CHUNK = 1 << 16


def write(generated: Generated, file: Path) -> None:
    """Write ``file`` and, if it has them, its disabled jobs and lengths of runs beside it."""
    with file.open("wb") as output:
        output.writelines(write_export(generated.export, moment=datetime.now(UTC)))
    for beside, models in ((_disabled_file(file), generated.disabled), (_durations_file(file), generated.durations)):
        beside.unlink(missing_ok=True)
        if models:
            found = [model.model_dump(mode="json") for model in models]
            beside.write_text(json.dumps(found, ensure_ascii=False, indent=1))


def load_into_directory(file: Path, data: Path, *, id_offset: int | None = None) -> list[str]:
    """Fill the server whose state is in ``data`` while it is stopped; existing elements are replaced.

    :param id_offset: see :class:`denodo_standin.store.Store`
    :returns: warnings
    :raises ValueError: the file is damaged, or the server is running
    """
    export = read_export(file)
    server = SchedulerServer(data, id_offset=id_offset)
    store = server.store
    disabled = set(_disabled(file))
    with store.transaction():
        importer = Importer(server.engine, export, _EVERYTHING, "load")
        for _ in importer.steps(len(export.elements) or 1):
            continue
        importer.put_resources(read_resources(file))
        for job in store.jobs.values():
            if JobKey(project=store.projects[job.project_id].name, name=job.name) in disabled:
                server.engine.disable(job, "load")
            job.next_execution = None  # the server calculates it when it starts, by its own clock and zone
        store.put(*store.jobs.values())
        store.settings.durations += _durations(file)
        store.save_settings()
    warnings = importer.warnings()
    store.close()
    return warnings


def load_into_server(file: Path, server: str, login: str, password: str) -> list[str]:
    """Fill a running server; existing elements are replaced.

    :param server: ``//host:port`` of the Scheduler process itself
    :returns: warnings
    :raises ValueError: the file is damaged, or the server refuses; nothing was loaded
    """
    read_export(file)
    with httpx.Client(base_url=f"http:{server}/rmi", auth=(login, password), timeout=None, trust_env=False) as client:  # noqa: S113
        with file.open("rb") as content:
            chunks = iter(lambda: content.read(_CHUNK), b"")
            answer = _checked(client.post("/serverMetadata/import", params=_FLAGS, content=chunks))
        warnings: list[str] = answer.json()["warnings"]
        for project_id, ids in _ids_by_project(client, set(_disabled(file))):
            body = {"action": "disable", "IDs": ids}
            _checked(client.put(f"/projects/{project_id}/jobs/status", json=body))
        for duration in _durations(file):
            _checked(client.post(f"http:{server}/control/duration", json=duration.model_dump(mode="json")))
    return warnings


def _ids_by_project(client: httpx.Client, keys: set[JobKey]) -> Iterator[tuple[int, str]]:
    ids = defaultdict(list)
    for status in _checked(client.get("/jobs/status")).json() if keys else ():
        if JobKey(project=status["projectName"], name=status["jobName"]) in keys:
            ids[status["projectID"]].append(str(status["jobID"]))
    return ((project_id, ",".join(found)) for project_id, found in ids.items())


def _checked(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise ValueError(f"the server refused: {answer.status_code} {answer.text}")
    return answer


def _disabled_file(file: Path) -> Path:
    return file.with_suffix(".disabled.json")


def _disabled(file: Path) -> list[JobKey]:
    return [JobKey.model_validate(key) for key in _read(_disabled_file(file))]


def _durations_file(file: Path) -> Path:
    return file.with_suffix(".durations.json")


def _durations(file: Path) -> list[Duration]:
    return [Duration.model_validate(each) for each in _read(_durations_file(file))]


def _read(beside: Path) -> list[Any]:
    return list(json.loads(beside.read_text())) if beside.exists() else []
