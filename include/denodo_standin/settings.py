"""The settings of a running server that tests and the demo can change: guesses, run lengths and results."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from denodo_standin.model import Result


class Guesses(BaseModel):
    """Behaviour that is unpublished [G]; the defaults are the more likely ones.

    :param replace_everything: an import deletes what the file does not hold
    :param keeps_disabled: an import leaves a replaced job disabled if it was
    :param new_ids: an import gives a replaced job or data source a new id
    :param import_seconds: how long an import takes; jobs are enabled as it proceeds, and it proceeds to its end even if
        the client has given up
    :param refuses_import_while_running: 500 while a job is RUNNING
    :param misfire: what happens to an occurrence missed by more than ``misfire_threshold_seconds`` (stopped process,
        paused server, job enabled later): run once now [Q], or only note the result MISFIRED
    :param import_warnings: warnings in the answer to every import
    :param salted_secrets: no two exports hold the same secrets
    :param export_padding_mb: megabytes of drivers added to every export
    """

    model_config = ConfigDict(extra="forbid")

    replace_everything: bool = False
    keeps_disabled: bool = False
    new_ids: bool = False
    import_seconds: NonNegativeFloat = 0
    refuses_import_while_running: bool = False
    misfire: Literal["fire_once", "record"] = "fire_once"
    misfire_threshold_seconds: NonNegativeFloat = 60
    import_warnings: list[str] = []
    salted_secrets: bool = True
    export_padding_mb: NonNegativeInt = 0


class Duration(BaseModel):
    """The length of the runs of jobs whose ``project / name`` matches (searched); None: of all jobs."""

    model_config = ConfigDict(extra="forbid")

    seconds: NonNegativeFloat
    match: re.Pattern[str] | None = None


class Outcome(BaseModel):
    """The result of the runs of jobs whose ``project / name`` matches (searched); None: of all jobs."""

    model_config = ConfigDict(extra="forbid")

    result: Result
    match: re.Pattern[str] | None = None


class Settings(BaseModel):
    """All switches of one server; they survive a restart.

    :param now: the time of a manual clock
    """

    guesses: Guesses = Guesses()
    durations: list[Duration] = Field(default=[Duration(seconds=1)])
    outcomes: list[Outcome] = Field(default=[Outcome(result=Result.COMPLETE)])
    vdp_up: bool = True
    paused: bool = False
    now: datetime | None = None

    def seconds_of(self, job: str) -> float:
        return next(each.seconds for each in reversed(self.durations) if _fits(each.match, job))

    def result_of(self, job: str) -> Result:
        return next(each.result for each in reversed(self.outcomes) if _fits(each.match, job))


def _fits(pattern: re.Pattern[str] | None, job: str) -> bool:
    return pattern is None or pattern.search(job) is not None
