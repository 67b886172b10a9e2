"""Quartz cron expressions, evaluated by croniter.

A Denodo trigger is a Quartz cron on the server's clock, with no time zone of its own [V]. croniter supports most of
what Quartz can express, in another notation. So an expression is read as Quartz 2.3.2 reads it [Q] and translated for
croniter. This module itself evaluates only the days that croniter cannot express (``15W``, ``LW``, ``L-3``) and the
changes of the clocks as Quartz treats them.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import takewhile

from croniter import croniter

from denodo_ha.quartz.fields import DAY_OF_MONTH, FIELDS, CronError, FieldReader

__all__ = ["CronError", "NearestDay", "QuartzCron", "read_fields", "validate"]


@dataclass(frozen=True)
class NearestDay:
    """A day of month such as ``15W``, ``LW`` and ``L-3``, which croniter cannot express."""

    day: int | None
    offset: int
    weekday: bool

    @classmethod
    def of_field(cls, days: FieldReader) -> NearestDay | None:
        """Return what the field of the day of month says, if it is of this kind."""
        if days.unspecified or not (days.nearest_weekday or days.offset):
            return None
        return cls(None if days.last else min(days.values), days.offset, days.nearest_weekday)

    def of(self, year: int, month: int) -> int:
        """Return the day as Quartz 2.3.2 finds it [Q]; it is beyond the ends of the month when this month has none."""
        last = calendar.monthrange(year, month)[1]
        day = last - self.offset if self.day is None else self.day
        if not self.weekday or day < 1:
            return day
        falls_on = (date(year, month, 1) + timedelta(days=day - 1)).weekday()
        if falls_on == calendar.SATURDAY:
            return day + 2 if day == 1 else day - 1
        if falls_on == calendar.SUNDAY:
            return day - 2 if day == last else day + 1
        return day

    def matches(self, moment: date) -> bool:
        return moment.day == self.of(moment.year, moment.month)

    @property
    def candidates(self) -> set[int]:
        """Return all days that it can ever be, which croniter is asked for."""
        days = set(range(28 - self.offset, 32 - self.offset)) if self.day is None else {self.day}
        slack = range(-2, 3) if self.weekday else (0,)
        return DAY_OF_MONTH.everything.intersection(day + shift for day in days for shift in slack)


def read_fields(expression: str) -> list[FieldReader]:
    """Read the seven fields of an expression, the year included.

    :raises CronError: as :class:`QuartzCron` says.
    """
    texts = re.split(r"[ \t]+", expression.upper().strip(" \t"))
    if len(texts) < 6:
        raise CronError(f"'{expression}' ends too early: 6 or 7 fields are needed, seconds first")
    fields = [_read_field(number, text.strip()) for number, text in enumerate([*texts, "*"][: len(FIELDS)])]
    if fields[3].unspecified == fields[5].unspecified:
        raise CronError("day of month, day of week: exactly one of the two must be '?'")
    return fields


@lru_cache(maxsize=4096)
def _read_field(number: int, text: str) -> FieldReader:
    """Read one field, once; thousands of crons have few different ones. Nobody changes what was read."""
    return FieldReader(FIELDS[number], text)


class QuartzCron:
    """One Quartz cron expression, 6 fields or 7 with a year from 1970 to 2099.

    Changes of the clocks are treated as Quartz does [Q]: a time that the change skips is left out, and a time that
    comes twice fires once, the second time. (Asked during the first pass of a repeated hour, Quartz also omits the part
    of the second pass that its clock shows as over; here the answers are those of a trigger that was set before.)

    :param expression: as the server stores it
    :raises CronError: Quartz refuses the expression; or it is one of the few that Quartz accepts without being able to
        evaluate them (an empty field, a day 0) or by mistake (98 and 99, its internal marks for ``?`` and ``*``)
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        *clock, days, months, weekdays, years = read_fields(expression)
        self._nearest = NearestDay.of_field(days)
        self._engine: croniter | None = None
        if years.values:
            second, minute, hour = (_listed(reader) for reader in clock)
            fields = minute, hour, self._days(days), _listed(months), _weekdays(weekdays), second, _listed(years)
            self._engine = croniter(" ".join(fields), max_years_between_matches=130)

    def _days(self, days: FieldReader) -> str:
        if days.unspecified:
            return "*"
        if self._nearest:
            return ",".join(map(str, sorted(self._nearest.candidates)))
        return "l" if days.last else _listed(days)

    def __repr__(self) -> str:
        return f"QuartzCron({self.expression!r})"

    def next_after(self, moment: datetime, tz: tzinfo) -> datetime | None:
        """Return the first time after ``moment`` (aware) on a clock in ``tz``, in UTC; None when there is none left."""
        return next(self._after(moment, tz), None)

    def between(self, start: datetime, end: datetime, tz: tzinfo) -> Iterator[datetime]:
        """Yield every time with ``start`` < time <= ``end``, in UTC and in order."""
        return takewhile(lambda instant: instant <= end, self._after(start, tz))

    def _after(self, moment: datetime, tz: tzinfo) -> Iterator[datetime]:
        local = moment.astimezone(tz)
        # In the first pass of a repeated hour this is an hour back: the walls of that hour fire in the second pass.
        second_pass = local.replace(fold=1).utcoffset() or timedelta()
        for wall in self._walls((moment.astimezone(UTC) + second_pass).replace(tzinfo=None)):
            instant = wall.replace(tzinfo=tz, fold=1).astimezone(UTC)
            exists = instant.astimezone(tz).replace(tzinfo=None) == wall
            if exists and instant > moment:
                yield instant

    def _walls(self, wall: datetime) -> Iterator[datetime]:
        """Yield the times after ``wall`` on a clock that never changes."""
        if self._engine is None:
            return
        engine = copy(self._engine)
        engine.set_current(wall)
        while True:
            try:
                wall = engine.get_next(datetime)
            except (ValueError, OverflowError):  # croniter's own, or a year that Python does not have
                return
            if self._nearest is None or self._nearest.matches(wall):
                yield wall
            else:
                engine.set_current(wall.replace(hour=23, minute=59, second=59))


def _listed(reader: FieldReader) -> str:
    if reader.values == reader.field.everything:
        return "*"
    return ",".join(map(str, sorted(reader.values)))


def _weekdays(reader: FieldReader) -> str:
    """Return the days of week for croniter, whose Sunday is 0. With ``L`` and ``#`` Quartz uses the first only [Q]."""
    if reader.unspecified:
        return "*"
    first = min(reader.values) - 1
    if reader.last:
        return f"L{first}"
    if reader.nth:
        return f"{first}#{reader.nth}"
    return ",".join(str(day - 1) for day in sorted(reader.values))


def validate(expression: str) -> str:
    """Return ``""`` for a valid expression, otherwise what is wrong, as ``validateCronExpressions`` does [V]."""
    try:
        QuartzCron(expression)
    except CronError as error:
        return str(error)
    return ""
