"""The answers of a Scheduler server about itself and its jobs, as typed values.

Marks in docstrings: [V] verified on a live 9.5.1, [D] Denodo's manual, [KB] Denodo's knowledge base, [S] seen in a
genuine file, [G] guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache, cached_property, lru_cache
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field


@lru_cache(maxsize=65536)
def fold(name: str) -> str:
    """Return ``name`` for the comparison of names without case [D], as Java's ``equalsIgnoreCase`` has it [G].

    Java compares character by character, each in upper and then in lower case. So ``Maße`` and ``Masse``, which only
    full case folding equates, are two names.
    """
    return name.lower() if name.isascii() else "".join(map(_fold_character, name))


@cache
def _fold_character(character: str) -> str:
    """Map a character as Unicode's simple mappings do, which never yield more than one."""
    upper = next((one for one in (character.upper(), character.title()) if len(one) == 1), character)
    return upper.lower()[0]


class JobKey(BaseModel):
    """Identity of a job, or of a data source: its project and its name, compared without case [D].

    Numeric ids differ between servers [V], so they never identify anything outside one server.
    """

    model_config = ConfigDict(frozen=True)

    project: str
    name: str

    @cached_property
    def folded(self) -> tuple[str, str]:
        return fold(self.project), fold(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobKey) and self.folded == other.folded

    def __lt__(self, other: JobKey) -> bool:
        return self.folded < other.folded

    def __hash__(self) -> int:
        return hash(self.folded)

    def __str__(self) -> str:
        return f"{self.project} / {self.name}"


class JobState(StrEnum):
    """State of a job [V]; POLLING since 9.3 [V]. A state that is not known here becomes UNKNOWN."""

    NOT_RUNNING = "NOT_RUNNING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    POLLING = "POLLING"
    DISABLED = "DISABLED"
    DRAFT = "DRAFT"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> JobState:
        return cls.UNKNOWN

    @property
    def is_enabled(self) -> bool:
        """Whether the job may start by itself. To be safe, an unknown state counts as enabled."""
        return self not in (JobState.DISABLED, JobState.DRAFT)

    @property
    def is_busy(self) -> bool:
        """Whether the job runs or may start at any moment. An unknown state counts as busy."""
        return self in (JobState.RUNNING, JobState.WAITING, JobState.POLLING, JobState.UNKNOWN)


def _known(*names: str) -> AliasChoices:
    """Accept several spellings of one field: the published one first, then those that are guesses."""
    return AliasChoices(*names)


class _Answer(BaseModel):
    """Part of an answer: unknown fields are ignored, a missing required field is a validation error."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class ServerInfo(_Answer):
    """``GET /public/api/me`` [V]: the server that answers, and its version."""

    version: str
    scheduler_mode: str | None = None
    roles: tuple[str, ...] = ()


def version_of(text: str) -> tuple[int, int] | None:
    """Major and minor number in a version text such as ``9.0.5`` or ``8.0 20240927`` [S]."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


class Project(_Answer):
    """One element of ``GET /public/api/projects`` [V]. ``id`` is valid on its own server only."""

    id: int
    name: str
    description: str | None = None


class DataSource(_Answer):
    """One element of ``GET /public/api/dataSources`` [V], without its password, which is write-only [V].

    The names of its fields are those that were seen [V]; other spellings are guesses [G].
    """

    id: int = Field(validation_alias=_known("id", "dataSourceID", "dataSourceId"))
    name: str = Field(validation_alias=_known("name", "dataSourceName"))
    project_id: int | None = Field(default=None, validation_alias=_known("projectId", "projectID"))
    project: str = Field(validation_alias=_known("projectName", "project"))
    type: str | None = Field(default=None, validation_alias=_known("type", "subType", "dataSourceType"))
    login: str | None = Field(default=None, validation_alias=_known("login", "userName", "username", "user"))
    connection_uri: str | None = Field(
        default=None, validation_alias=_known("connectionURI", "connectionUri", "connectionUrl", "uri", "url")
    )

    @property
    def values(self) -> dict[str, str | None]:
        """The published fields, by their names [V]."""
        return {"type": self.type, "login": self.login, "connectionURI": self.connection_uri}

    @cached_property
    def key(self) -> JobKey:
        return JobKey(project=self.project, name=self.name)


class JobStatus(_Answer):
    """Status of one job [V]; the names of the four identifying fields are a guess [G], hence the spellings.

    ``next_execution`` is missing when the job is DISABLED, has no trigger or its trigger is exhausted [V].
    """

    job_id: int = Field(validation_alias=_known("jobID", "jobId", "id"))
    name: str = Field(validation_alias=_known("jobName", "name"))
    project_id: int = Field(validation_alias=_known("projectID", "projectId"))
    project: str = Field(validation_alias=_known("projectName", "project"))
    state: JobState
    result: str | None = None
    previous_execution: datetime | None = Field(default=None, validation_alias="previousExecution")
    next_execution: datetime | None = Field(default=None, validation_alias="nextExecution")

    @cached_property
    def key(self) -> JobKey:
        return JobKey(project=self.project, name=self.name)


@dataclass(frozen=True)
class Statuses:
    """
    The state of every job of one server, at one moment.

    :param jobs: one status per job.
    :param server_time: that moment (UTC) by the clock of the machine that answered, by the local clock if it said none.
    """

    jobs: tuple[JobStatus, ...]
    server_time: datetime

    @cached_property
    def by_key(self) -> dict[JobKey, JobStatus]:
        return {status.key: status for status in self.jobs}


def _ids(value: Any) -> Any:
    """Read job ids, which come as a JSON list or as one comma-separated string [KB]."""
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()]
    return value or []


JobIds = Annotated[tuple[int, ...], BeforeValidator(_ids)]


class DependencyInfo(_Answer):
    job_ids: JobIds = Field(default=(), validation_alias=_known("jobIDs", "jobIds"))
    execute_anyway: bool = Field(default=False, validation_alias="executeAnyway")


class Trigger(_Answer):
    """One element of ``triggerSection.triggers`` [V]; the cron is Quartz, on the server's clock [V]."""

    type: str = "cron"
    cron: str | None = Field(default=None, validation_alias="cronExpression")
    start_time: str | None = Field(default=None, validation_alias="startTime")
    end_time: str | None = Field(default=None, validation_alias="endTime")
    dependency: DependencyInfo | None = Field(default=None, validation_alias="dependencyInfo")


class Job(_Answer):
    """Whole definition of one job as ``GET /public/api/jobs`` gives it [V].

    ``definition`` is the answer as it came; ids inside it are valid on its own server only.
    """

    id: int
    name: str
    type: str
    project_id: int = Field(validation_alias=_known("projectId", "projectID"))
    project: str = Field(validation_alias=_known("projectName", "project"))
    disabled: bool = False
    triggers: tuple[Trigger, ...] = ()
    definition: dict[str, Any] = Field(default_factory=dict, repr=False)

    @cached_property
    def key(self) -> JobKey:
        return JobKey(project=self.project, name=self.name)

    @property
    def is_flagged_enabled(self) -> bool:
        """Whether its own definition says that it is enabled [V]; a draft, and what says nothing, does not.

        The status may say otherwise: a server paused through RMI shows every job DISABLED [D].
        """
        return "disabled" in self.definition and not self.disabled and self.definition.get("draft") is not True


class Report(_Answer):
    """One element of ``GET …/reports`` [V]; only the names below are needed, and none but ``result`` is published."""

    result: str | None = None
    start: datetime | None = Field(default=None, validation_alias=_known("startTime", "start", "startDate"))
    end: datetime | None = Field(default=None, validation_alias=_known("endTime", "end", "endDate"))
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)
