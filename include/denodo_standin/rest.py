"""The internal API of the Scheduler process, which replaces its RMI: the paths of the public API, below /rmi."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from denodo_ha.jobs import fold
from denodo_ha.quartz.cron import validate
from denodo_standin.accounts import Account, log_in
from denodo_standin.errors import ApiError, forbidden, illegal_argument, not_found
from denodo_standin.importer import Replace
from denodo_standin.jobs import Json, data_source_json, id_list, job_json, report_json, status_json
from denodo_standin.model import Job, Project
from denodo_standin.server import SchedulerServer
from denodo_standin.unknown import crlf

# export option -> the folders of data/resources it adds [S, those of drivers and plugins G]
_RESOURCES = {
    "config": ("config", "config-dbStored"),
    "permissions": ("permissions",),
    "drivers": ("drivers",),
    "plugins": ("plugins",),
}

router = APIRouter(prefix="/rmi")


def _server(request: Request) -> SchedulerServer:
    server: SchedulerServer = request.app.state.server
    return server


Server = Annotated[SchedulerServer, Depends(_server)]


def _account(request: Request, server: Server) -> Account:
    authorization = request.headers.get("authorization", "")
    account = log_in(server.accounts, authorization, vdp_up=server.store.settings.vdp_up)
    if account is None:
        raise ApiError(401, "Unauthorized")
    return account


def _administrator(account: Annotated[Account, Depends(_account)]) -> None:
    if not account.is_administrator:
        raise forbidden()


def _visible(account: Annotated[Account, Depends(_account)], server: Server) -> list[Project]:
    """Return the projects that an account may see: all, or for a weaker one only the first [G]."""
    projects = list(server.store.projects.values())
    return projects if account.is_administrator else projects[:1]


async def _body(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        raise illegal_argument() from None


async def _object(body: Annotated[Any, Depends(_body)]) -> Json:
    if not isinstance(body, dict):
        raise illegal_argument()
    return body


Who = Annotated[Account, Depends(_account)]
Visible = Annotated[list[Project], Depends(_visible)]
Body = Annotated[Json, Depends(_object)]
_CHANGES = [Depends(_administrator)]


def _answer(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, media_type="application/json")


def _done() -> Response:
    return Response(status_code=204)


@router.get("/me")
async def me(account: Who, server: Server) -> Response:
    return _answer(
        {
            "userName": account.login,
            "permissions": [{"roleData": {"roleName": role}} for role in account.roles],
            "serverData": {"version": {"full": server.version}},
            "schedulerMode": server.mode,
        }
    )


@router.get("/projects")
async def get_projects(visible: Visible, server: Server, name: str | None = None, expand: str = "") -> Response:
    if name is None:
        return _answer([_project_json(server, project, expand) for project in visible])
    for project in visible:
        if fold(project.name) == fold(name):
            return _answer(_project_json(server, project, expand))
    raise not_found(name)


@router.post("/projects", dependencies=_CHANGES)
async def post_project(server: Server, body: Body) -> Response:
    return _answer(_project_json(server, server.create_project(body.get("name"), body.get("description")), ""), 201)


@router.delete("/projects/{project_id}", dependencies=_CHANGES)
async def delete_project(server: Server, project_id: int) -> Response:
    server.delete_project(server.project(project_id))
    return _done()


@router.get("/jobs")
async def get_jobs(visible: Visible, server: Server) -> Response:
    return _answer([job_json(server.store, job) for job in _jobs(server, visible)])


@router.get("/jobs/status")
async def get_statuses(visible: Visible, server: Server, jobIDs: str | None = None) -> Response:
    jobs = _jobs(server, visible)
    if jobIDs is not None:
        by_id = {job.id: job for job in jobs}
        jobs = [_known(by_id, job_id) for job_id in id_list(jobIDs)]
    return _answer([status_json(server.engine, job) for job in jobs])


@router.get("/projects/jobs/status")
async def get_status_by_name(visible: Visible, server: Server, projectName: str, jobName: str) -> Response:
    project = server.store.project_named(projectName)
    if project not in visible or project is None:
        raise not_found(projectName)
    if (job := server.store.job_named(project.id, jobName)) is None:
        raise not_found(jobName)
    return _answer(status_json(server.engine, job))


@router.post("/projects/jobs/validateCronExpressions")
async def validate_crons(_: Who, body: Annotated[Any, Depends(_body)]) -> Response:
    if not isinstance(body, list):
        raise illegal_argument()
    return _answer([validate(str(expression)) for expression in body])


@router.get("/projects/{project_id}/jobs")
async def get_jobs_of_project(visible: Visible, server: Server, project_id: int, type: str | None = None) -> Response:
    project = _seen(visible, project_id)
    jobs = [job for job in server.jobs_of(project) if type is None or job.type == type]
    return _answer([job_json(server.store, job) for job in jobs])


@router.post("/projects/{project_id}/jobs", dependencies=_CHANGES)
async def post_job(server: Server, project_id: int, body: Body) -> Response:
    return _answer(job_json(server.store, server.create_job(server.project(project_id), body)), 201)


@router.put("/projects/{project_id}/jobs/status", dependencies=_CHANGES)
async def put_statuses(server: Server, project_id: int, body: Body) -> Response:
    if not isinstance(body.get("IDs"), str):
        raise illegal_argument()
    server.act(_action(body), [server.job(project_id, job_id) for job_id in id_list(body["IDs"])])
    return _done()


@router.get("/projects/{project_id}/jobs/{job_id}")
async def get_job(visible: Visible, server: Server, project_id: int, job_id: int) -> Response:
    _seen(visible, project_id)
    return _answer(job_json(server.store, server.job(project_id, job_id)))


@router.put("/projects/{project_id}/jobs/{job_id}", dependencies=_CHANGES)
async def put_job(server: Server, project_id: int, job_id: int, body: Body) -> Response:
    return _answer(job_json(server.store, server.replace_job(server.job(project_id, job_id), body)))


@router.delete("/projects/{project_id}/jobs/{job_id}", dependencies=_CHANGES)
async def delete_job(server: Server, project_id: int, job_id: int) -> Response:
    server.delete_job(server.job(project_id, job_id))
    return _done()


@router.get("/projects/{project_id}/jobs/{job_id}/status")
async def get_status(visible: Visible, server: Server, project_id: int, job_id: int) -> Response:
    _seen(visible, project_id)
    return _answer(status_json(server.engine, server.job(project_id, job_id)))


@router.put("/projects/{project_id}/jobs/{job_id}/status", dependencies=_CHANGES)
async def put_status(server: Server, project_id: int, job_id: int, body: Body) -> Response:
    server.act(_action(body), [server.job(project_id, job_id)])
    return _done()


@router.get("/projects/{project_id}/jobs/{job_id}/reports")
async def get_reports(
    visible: Visible,
    server: Server,
    project_id: int,
    job_id: int,
    start: Annotated[int, Query(ge=0)],
    count: Annotated[int, Query(ge=0)],
) -> Response:
    _seen(visible, project_id)
    job = server.job(project_id, job_id)
    runs, total = server.store.reports(job, start, count)
    label = f"{server.store.projects[project_id].name} / {job.name}"
    more = [server.store.settings.report_of(label, run["result"]) for run in runs]
    reports = [{**report_json(job, run), **extra} for run, extra in zip(runs, more, strict=True) if extra is not None]
    return _answer({"list": reports, "hasMore": start + len(reports) < total, "total": total})


@router.get("/dataSources")
async def get_data_sources(visible: Visible, server: Server) -> Response:
    seen = {project.id for project in visible}
    sources = [source for source in server.store.data_sources.values() if source.project_id in seen]
    return _answer([data_source_json(server.store, source) for source in sources])


@router.post("/serverMetadata/export", dependencies=_CHANGES)
async def export_metadata(server: Server, body: Body) -> Response:
    """Export with the options of the user interface [S], and ``projects``.

    References never leave a project, secrets are only encoded and the format is always XML, so the other options have
    no effect here.
    """
    always = server.store.settings.guesses.exports_always
    chosen = [option for option in _RESOURCES if body.get(option) is True or option in always]
    folders = [folder for option in chosen for folder in _RESOURCES[option]]
    projects = body.get("projects")
    chunks = server.export(projects.split(",") if isinstance(projects, str) else projects, folders)
    name = f"scheduler-metadata-{server.clock.now():%Y%m%d-%H%M%S}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_yielding(chunks), media_type="application/zip", headers=headers)


@router.post("/serverMetadata/import", dependencies=_CHANGES)
async def import_metadata(
    request: Request,
    server: Server,
    replaceJobs: bool = False,
    replaceDataSources: bool = False,
    replacePlugins: bool = False,
    replaceDrivers: bool = False,
) -> Response:
    """Import a file; once it has arrived, the import goes on to its end, whether the client waits or not [KB]."""
    with tempfile.NamedTemporaryFile(dir=server.uploads, delete=False) as file:
        path = Path(file.name)
    try:
        with path.open("wb") as content:
            async for chunk in request.stream():
                content.write(chunk)
    except BaseException:
        path.unlink()
        raise
    replace = Replace(replaceJobs, replaceDataSources, replacePlugins, replaceDrivers)
    task = asyncio.create_task(_import(server, path, replace))
    request.app.state.imports.add(task)
    task.add_done_callback(request.app.state.imports.discard)
    return _answer({"warnings": await asyncio.shield(task)})


async def _import(server: SchedulerServer, file: Path, replace: Replace) -> list[str]:
    try:
        return await server.import_file(file, replace)
    finally:
        file.unlink()


async def _yielding(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield to other requests between the pieces."""
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


def _project_json(server: SchedulerServer, project: Project, expand: str) -> Json:
    description = crlf(project.description) if server.store.settings.guesses.crlf else project.description
    found: Json = {"id": project.id, "name": project.name, "description": description}
    parts = expand.split(",")
    if "job" in parts:
        found["jobs"] = [job_json(server.store, job) for job in server.jobs_of(project)]
    if "dataSource" in parts:
        sources = [each for each in server.store.data_sources.values() if each.project_id == project.id]
        found["dataSources"] = [data_source_json(server.store, source) for source in sources]
    return found


def _jobs(server: SchedulerServer, visible: list[Project]) -> list[Job]:
    seen = {project.id for project in visible}
    return [job for job in server.store.jobs.values() if job.project_id in seen]


def _known(by_id: dict[int, Job], job_id: int) -> Job:
    if job_id not in by_id:
        raise not_found(job_id)
    return by_id[job_id]


def _seen(visible: list[Project], project_id: int) -> Project:
    for project in visible:
        if project.id == project_id:
            return project
    raise not_found(project_id)


def _action(body: Json) -> str:
    action = body.get("action")
    if not isinstance(action, str):
        raise illegal_argument()
    return action
