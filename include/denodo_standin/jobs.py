"""Convert jobs to and from the JSON of the public API, which has ids of this server where the store has names."""

from __future__ import annotations

from typing import Any

from denodo_ha.quartz.cron import validate
from denodo_standin.definition import SECTIONS, Sections, params_of, sections_of
from denodo_standin.engine import Engine
from denodo_standin.errors import illegal_argument, internal, invalid
from denodo_standin.model import JOB_TYPES, DataSource, Job, iso
from denodo_standin.params import without_secrets
from denodo_standin.store import Store
from denodo_standin.unknown import DATA_SOURCE_SECTION, JOB_SECTION, lost_by_writing, with_unknown, without

Json = dict[str, Any]

_NOT_SECTIONS = ("id", "type", "name", "description", "disabled", "draft", "projectId", "projectName")


def job_json(store: Store, job: Job) -> Json:
    """Return the whole definition [V] without its secrets; ``draft`` is included only for a draft [G]."""
    settings = store.settings
    sections = without_secrets(job.sections) if job.has_secrets else job.sections
    extraction = {
        name: value
        for name, value in sections.get("extractionSection", {}).items()
        if name not in ("dataSource", "dataSourceProject")
    }
    if job.data_source[0] is not None:
        source = store.data_source_of(job)
        extraction = {"dataSourceID": source.id if source else None, **extraction}
    triggers = [_trigger_json(store, job, trigger) for trigger in job.triggers]
    found = {
        "id": job.id,
        "type": job.type,
        "name": job.name,
        "description": job.description,
        "disabled": job.disabled or (settings.paused and settings.guesses.pause_hides_flags),
        **({"draft": True} if job.draft else {}),
        "projectId": job.project_id,
        "projectName": store.projects[job.project_id].name,
        **sections,
        "extractionSection": extraction,
        "triggerSection": {**sections.get("triggerSection", {}), "triggers": triggers},
    }
    return with_unknown(found, JOB_SECTION, settings.guesses, store.id_offset)


def status_json(engine: Engine, job: Job) -> Json:
    """Return the status: no ``result`` while RUNNING, no ``nextExecution`` if DISABLED or without next trigger [V]."""
    state = engine.state(job)
    status = {
        "jobID": job.id,
        "jobName": job.name,
        "projectID": job.project_id,
        "projectName": engine.store.projects[job.project_id].name,
        "state": state.value,
    }
    if state != "RUNNING":
        status["result"] = job.result.value
    if job.previous_execution is not None:
        status["previousExecution"] = iso(job.previous_execution)
    if job.next_execution is not None and state not in ("DISABLED", "DRAFT"):
        status["nextExecution"] = iso(job.next_execution)
    return status


def data_source_json(store: Store, source: DataSource) -> Json:
    """Return a data source without its secrets, which are write-only [V]."""
    found = {
        **without_secrets(source.params),
        "id": source.id,
        "type": source.type,
        "name": source.name,
        "projectId": source.project_id,
        "projectName": store.projects[source.project_id].name,
    }
    return with_unknown(found, DATA_SOURCE_SECTION, store.settings.guesses, store.id_offset)


def report_json(job: Job, run: Json) -> Json:
    """Return an ended run; the names of its fields are a guess [G]."""
    return {
        "id": run["seq"],
        "jobID": job.id,
        "jobName": run["job"],
        "startTime": run["start"],
        "endTime": run["end"],
        "result": run["result"],
    }


def job_from(store: Store, project_id: int, body: Json) -> Job:
    """Make the job that a POST or PUT describes, with id 0.

    Sections that are not given are empty [V]; unknown fields are kept; a PUT without ``disabled`` enables the job [G].
    The data source may be one of another project [V]; a job on which it depends may not [G].

    :raises ApiError: as of the real server: 400 for a validation error, 500 for an invalid cron
    """
    guesses = store.settings.guesses
    for path in lost_by_writing(guesses):
        body = without(body, path)
    name, job_type = body.get("name"), body.get("type")
    if not isinstance(name, str) or not name.strip():
        raise invalid("name", "must not be blank")
    if job_type not in JOB_TYPES:
        raise invalid("type", f"must be one of {', '.join(JOB_TYPES)}")
    if job_type in guesses.unwritable_types:
        raise internal(f"a job of type {job_type} cannot be written")
    sections = {section: body.get(section) or {} for section in SECTIONS}
    if any(not isinstance(section, dict) for section in sections.values()):
        raise illegal_argument()
    sections |= {name: value for name, value in body.items() if name not in (*SECTIONS, *_NOT_SECTIONS)}
    try:
        _check(sections)
        named = _with_names(store, project_id, sections)
        # The way through the file's form gives a section the same shape as it has after an import.
        named = sections_of(params_of(name, None, named))
    except (AttributeError, KeyError, TypeError):
        raise illegal_argument() from None
    return Job(
        id=0,
        project_id=project_id,
        name=name,
        type=job_type,
        draft=body.get("draft") is True,
        description=body.get("description"),
        disabled=guesses.born_disabled and body.get("disabled") is True,
        sections=named,
    )


def _check(sections: Sections) -> None:
    for index, exporter in enumerate(sections["exportationSection"].get("exporters") or []):
        if exporter.get("type") == "CSV" and not exporter.get("filter"):
            raise invalid(f"exportationSection.exporters[{index}].filter", "must not be null")
    for trigger in sections["triggerSection"].get("triggers") or []:
        is_cron = trigger.get("type", "cron") == "cron"
        if is_cron and (problem := validate(str(trigger.get("cronExpression") or ""))):
            raise internal(problem)


def _with_names(store: Store, project_id: int, sections: Sections) -> Sections:
    extraction = dict(sections["extractionSection"])
    source_id = extraction.pop("dataSourceID", None)
    if source_id is not None:
        source = store.data_sources.get(int(source_id))
        if source is None:
            raise invalid("extractionSection.dataSourceID", f"there is no data source {source_id}")
        elsewhere = source.project_id != project_id
        project = {"dataSourceProject": store.projects[source.project_id].name} if elsewhere else {}
        extraction = {"dataSource": source.name, **project, **extraction}
    triggers = [
        _trigger_with_names(store, project_id, trigger) for trigger in sections["triggerSection"].get("triggers") or []
    ]
    trigger_section = {**sections["triggerSection"], "triggers": triggers}
    return {**sections, "extractionSection": extraction, "triggerSection": trigger_section}


def _trigger_with_names(store: Store, project_id: int, trigger: Json) -> Json:
    info = trigger.get("dependencyInfo")
    if not info:
        return {name: value for name, value in trigger.items() if name != "dependencyInfo"}
    names = []
    for job_id in id_list(info.get("jobIDs")):
        job = store.jobs.get(job_id)
        if job is None or job.project_id != project_id:
            raise invalid("triggerSection.triggers.dependencyInfo.jobIDs", f"there is no job {job_id} in the project")
        names.append(job.name)
    others = {name: value for name, value in info.items() if name != "jobIDs"}
    return {**trigger, "dependencyInfo": {**others, "jobs": names, "executeAnyway": info.get("executeAnyway") is True}}


def _trigger_json(store: Store, job: Job, trigger: Json) -> Json:
    info = trigger.get("dependencyInfo")
    if not info:
        return trigger
    found = [store.job_named(job.project_id, name) for name in info["jobs"]]
    ids = [dependency.id for dependency in found if dependency is not None]
    others = {name: value for name, value in info.items() if name != "jobs"}
    return {**trigger, "dependencyInfo": {**others, "jobIDs": ids}}


def id_list(value: Any) -> list[int]:
    """Read ids from a list, or from one comma-separated string [KB].

    :raises ApiError: 400, it is neither
    """
    parts = value.split(",") if isinstance(value, str) else value
    try:
        return [int(part) for part in parts]
    except (TypeError, ValueError):
        raise illegal_argument() from None
