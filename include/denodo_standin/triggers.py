"""Calculate when a trigger is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from denodo_ha.quartz.cron import CronError, QuartzCron

_SECOND = timedelta(seconds=1)


def next_time(trigger: dict[str, object], after: datetime, timezone: tzinfo) -> datetime | None:
    """Return the next time of a trigger within ``startTime`` and ``endTime``; None if exhausted, or an invalid cron."""
    if trigger.get("type", "cron") != "cron":
        return None
    start, end = (_moment(trigger.get(name), timezone) for name in ("startTime", "endTime"))
    if start is not None and start > after:
        after = start - _SECOND
    try:
        moment = _next_of_cron(str(trigger.get("cronExpression", "")), after.replace(microsecond=0), timezone)
    except CronError:
        return None
    return None if moment is None or (end is not None and moment > end) else moment


def first_time(trigger: dict[str, object], timezone: tzinfo) -> datetime | None:
    """Return the first time of a trigger from its ``startTime`` on, past or not; None without one."""
    start = _moment(trigger.get("startTime"), timezone)
    return None if start is None else next_time(trigger, start - _SECOND, timezone)


@lru_cache(maxsize=4096)
def _next_of_cron(expression: str, after: datetime, timezone: tzinfo) -> datetime | None:
    return QuartzCron(expression).next_after(after, timezone)


def _moment(value: object, timezone: tzinfo) -> datetime | None:
    """Read a trigger's ``startTime``: ISO 8601, in the server's time zone if it names none, or milliseconds [G]."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    if not value:
        return None
    moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone)
