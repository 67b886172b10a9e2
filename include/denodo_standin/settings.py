"""The settings of a running server that tests and the demo can change: guesses, run lengths and results."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from denodo_standin.model import JobType, Result


class Guesses(BaseModel):
    """Behaviour that is unpublished [G]; the defaults are the more likely ones.

    :param replace_everything: an import deletes what the file does not hold
    :param keeps_disabled: an import leaves a replaced job disabled if it was
    :param imports_disabled: an import leaves the jobs that it brings disabled
    :param replaces: what an import makes of its switches to replace: what they say, or it replaces always, or never
    :param bulk: a request for several jobs changes all of them; false: only the first
    :param new_ids: an import gives a replaced job or data source a new id
    :param import_seconds: how long an import takes; jobs are enabled as it proceeds, and it proceeds to its end even if
        the client has given up
    :param refuses_import_while_running: 500 while a job is RUNNING
    :param misfire: what happens to an occurrence missed by more than ``misfire_threshold_seconds`` (stopped process,
        paused server, job enabled later): run once now [Q], or only note the result MISFIRED
    :param import_warnings: warnings in the answer to every import
    :param salted_secrets: no two exports hold the same secrets
    :param export_padding_mb: megabytes of drivers added to every export
    :param exports_always: options of the export that are taken for true, whatever the client says
    :param volatile_fields: jobs and data sources in JSON have unknown fields that change at each read
    :param server_fields: jobs and data sources in JSON have unknown fields that are the same in all of one server, and
        differ between servers of different ``--id-offset``
    :param newer_fields: jobs and data sources in JSON have the fields of a newer version, empty, false or zero
    :param crlf: line ends of texts in JSON come back as CRLF
    :param put_loses: sections or fields, by dotted path, that POST and PUT of a job lose; a path goes through lists,
        as in ``triggerSection.triggers.startTime``
    :param unwritable_types: types of jobs that POST and PUT refuse with 500
    :param born_disabled: POST and PUT honour ``"disabled": true`` [V]; false: the job is enabled
    :param past_start_fires: a trigger whose ``startTime`` is past fires at once when its job is written and enabled
        [Q]; false: it is next due by its cron
    :param disable_while_paused: what ``disable`` does to a job of a paused server: its flag is set, nothing happens
        (204), or 500
    :param pause_hides_flags: while the server is paused, the definition of every job is ``disabled`` too, not only its
        status
    :param stuck: the trigger of a job whose ``project / name`` matches (searched) never fires; its next execution stays
        an hour before the moment at which it got stuck
    :param clock_offset_seconds: how far the server's clock is ahead of the real time, if it is not a manual one
    """

    model_config = ConfigDict(extra="forbid")

    replace_everything: bool = False
    keeps_disabled: bool = False
    imports_disabled: bool = False
    replaces: Literal["as_asked", "always", "never"] = "as_asked"
    bulk: bool = True
    new_ids: bool = False
    import_seconds: NonNegativeFloat = 0
    refuses_import_while_running: bool = False
    misfire: Literal["fire_once", "record"] = "fire_once"
    misfire_threshold_seconds: NonNegativeFloat = 60
    import_warnings: list[str] = []
    salted_secrets: bool = True
    export_padding_mb: NonNegativeInt = 0
    exports_always: list[Literal["config", "drivers", "plugins", "permissions"]] = []
    volatile_fields: bool = False
    server_fields: bool = False
    newer_fields: bool = False
    crlf: bool = False
    put_loses: list[str] = []
    unwritable_types: list[JobType] = []
    born_disabled: bool = True
    past_start_fires: bool = False
    disable_while_paused: Literal["kept", "ignored", "refused"] = "kept"
    pause_hides_flags: bool = False
    stuck: re.Pattern[str] | None = None
    clock_offset_seconds: float = 0


class Duration(BaseModel):
    """The length of the runs of jobs whose ``project / name`` matches (searched); None: of all jobs."""

    model_config = ConfigDict(extra="forbid")

    seconds: NonNegativeFloat
    match: re.Pattern[str] | None = None


class Outcome(BaseModel):
    """The result of the runs of jobs whose ``project / name`` matches (searched); None: of all jobs.

    :param report: what their reports hold besides [G]; None: runs with this result leave no report, as of a job that
        keeps reports of errors only [S].
    """

    model_config = ConfigDict(extra="forbid")

    result: Result
    report: dict[str, Any] | None = {}
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
        return self._outcome_of(job).result

    def report_of(self, job: str, result: str) -> dict[str, Any] | None:
        """What the report of a run with this result holds besides, None if there is none."""
        outcome = self._outcome_of(job)
        return outcome.report if result == outcome.result else {}

    def _outcome_of(self, job: str) -> Outcome:
        return next(each for each in reversed(self.outcomes) if _fits(each.match, job))


def _fits(pattern: re.Pattern[str] | None, job: str) -> bool:
    return pattern is None or pattern.search(job) is not None
