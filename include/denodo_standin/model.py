"""The elements that a Scheduler server stores: projects, data sources and jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, get_args

from pydantic import BaseModel

from denodo_standin.params import has_secrets

JobType = Literal["VDP", "VDPCache", "VDPIndexer", "VDPDataLoad", "VDPDagLoad"]  # [V]
JOB_TYPES: tuple[str, ...] = get_args(JobType)


class Result(StrEnum):
    """Result of the last execution [V]."""

    COMPLETE = "COMPLETE"
    WARNING = "WARNING"
    ERROR = "ERROR"
    STOPPED = "STOPPED"
    NEVER_EXECUTED = "NEVER_EXECUTED"
    MISFIRED = "MISFIRED"


class Project(BaseModel):
    id: int
    name: str
    description: str | None = None


class DataSource(BaseModel):
    """A data source; ``params`` are those of its element in an export file, see :mod:`denodo_standin.params`."""

    id: int
    project_id: int
    name: str
    type: str
    draft: bool = False
    params: dict[str, Any] = {}


class Job(BaseModel):
    """One job, and the state that the engine keeps of it.

    :param sections: the REST sections (``extractionSection``, …), with names in place of ids, see
        :mod:`denodo_standin.definition`, and the fields that the stand-in does not know
    :param next_execution: the next time its trigger is due; kept while the job is disabled, as Quartz does with a
        paused trigger [Q], which is why enabling may find it in the past
    """

    id: int
    project_id: int
    name: str
    type: str
    draft: bool = False
    description: str | None = None
    disabled: bool = False
    sections: dict[str, Any] = {}
    result: Result = Result.NEVER_EXECUTED
    previous_execution: datetime | None = None
    last_end: datetime | None = None
    next_execution: datetime | None = None

    @cached_property
    def has_secrets(self) -> bool:
        return has_secrets(self.sections)

    @property
    def triggers(self) -> list[dict[str, Any]]:
        triggers: list[dict[str, Any]] = self.sections.get("triggerSection", {}).get("triggers", [])
        return triggers

    @property
    def data_source(self) -> tuple[str | None, str | None]:
        """Return the name of its data source, and its project if that is another one [G]."""
        extraction = self.sections.get("extractionSection", {})
        return extraction.get("dataSource"), extraction.get("dataSourceProject")

    @property
    def dependencies(self) -> list[str]:
        """Return the names of the jobs of the same project that it waits for."""
        return [name for trigger in self.triggers for name in trigger.get("dependencyInfo", {}).get("jobs", [])]


def iso(moment: datetime | None) -> str | None:
    """Format a time as the public API does: ISO 8601, UTC, ``Z`` [V]."""
    if moment is None:
        return None
    moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
