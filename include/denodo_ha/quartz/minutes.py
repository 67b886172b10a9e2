"""The minutes in which crons are due: sets of minutes, so that it makes no difference how often a cron is due.

The times are those of :class:`~denodo_ha.quartz.cron.QuartzCron`, which steps from one to the next. Here the fields are
evaluated as sets, a day at a time, for thousands of crons in a fraction of a second. A set of minutes is a whole number
whose bit ``n`` stands for the minute ``n`` of the period.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import reduce
from itertools import count, takewhile

from denodo_ha.quartz.cron import NearestDay, read_fields

_MINUTE = timedelta(minutes=1)
_WEEK = 7


class _Cron:
    """The fields of one expression.

    :raises CronError: Quartz refuses it.
    """

    def __init__(self, expression: str) -> None:
        seconds, minutes, hours, self._days, self._months, self._weekdays, self._years = read_fields(expression)
        self.seconds = frozenset(seconds.values)
        hour = sum(1 << minute for minute in minutes.values)
        self.day = sum(hour << 60 * each for each in hours.values)
        self._nearest = NearestDay.of_field(self._days)

    def is_due_on(self, day: date) -> bool:
        """Whether it is due on that day at all."""
        return (
            day.month in self._months.values
            and day.year in self._years.values
            and (self._days.unspecified or self._is_day(day))
            and (self._weekdays.unspecified or self._is_weekday(day))
        )

    def _is_day(self, day: date) -> bool:
        if self._nearest:
            return self._nearest.matches(day)
        if self._days.last:
            return day.day == calendar.monthrange(day.year, day.month)[1]
        return day.day in self._days.values

    def _is_weekday(self, day: date) -> bool:
        """Quartz counts from Sunday, 1. With ``L`` and ``#`` it uses the first day only [Q]."""
        reader, today = self._weekdays, day.isoweekday() % _WEEK + 1
        if not (reader.last or reader.nth):
            return today in reader.values
        if today != min(reader.values):
            return False
        if reader.last:
            return day.day + _WEEK > calendar.monthrange(day.year, day.month)[1]
        return (day.day - 1) // _WEEK + 1 == reader.nth


@dataclass(frozen=True)
class _Stretch:
    """Minutes of one day on the server's clock, one after the other: ``length`` of them from ``minute`` of ``day`` on,
    which are those from ``at`` on in the period."""

    day: date
    minute: int
    at: int
    length: int


class Period:
    """Some minutes, and the server's clock in them.

    :param begin: a whole minute. :param length: how many minutes. :param zone: the server's time zone.
    """

    def __init__(self, begin: datetime, length: int, zone: tzinfo) -> None:
        self.begin, self.length = begin.astimezone(UTC), length
        self._stretches: list[_Stretch] = []
        self._known: dict[str, tuple[int, frozenset[int]]] = {}
        first: datetime | None = None
        at = 0
        for number in range(length + 1):
            wall = (self.begin + number * _MINUTE).astimezone(zone)
            # A time that comes twice fires the second time [Q].
            fires = number < length and wall.utcoffset() == wall.replace(fold=1).utcoffset()
            wall = wall.replace(tzinfo=None, fold=0)
            if first and (not fires or wall.date() != first.date() or wall != first + (number - at) * _MINUTE):
                self._stretches.append(_Stretch(first.date(), first.hour * 60 + first.minute, at, number - at))
                first = None
            if fires and first is None:
                first, at = wall, number

    def due(self, crons: Iterable[str]) -> Counter[int]:
        """Return when a job with these crons is due: sets of minutes, and how often in each of their minutes.

        Two crons at the same time count as one.

        :raises CronError: Quartz refuses one of them.
        """
        found = [self._minutes(cron) for cron in crons]
        if len(found) == 1:
            minutes, seconds = found[0]
            return Counter({minutes: len(seconds)})
        return Counter(
            reduce(int.__or__, (minutes for minutes, seconds in found if second in seconds))
            for second in frozenset[int]().union(*(seconds for _, seconds in found))
        )

    def _minutes(self, expression: str) -> tuple[int, frozenset[int]]:
        """The minutes in which a cron is due, and the seconds of each."""
        if expression not in self._known:
            cron, minutes = _Cron(expression), 0
            days = {stretch.day: cron.is_due_on(stretch.day) for stretch in self._stretches}
            for stretch in self._stretches:
                if days[stretch.day]:
                    part = (cron.day >> stretch.minute) & ((1 << stretch.length) - 1)
                    minutes |= part << stretch.at
            self._known[expression] = minutes, cron.seconds
        return self._known[expression]

    def minute_of(self, moment: datetime) -> int:
        """The number of the minute in which ``moment`` is; negative before the period."""
        return (moment - self.begin) // _MINUTE


class Tally:
    """Counts, for each minute, how often it was in a set: a column of binary digits for each minute, added at once."""

    def __init__(self) -> None:
        self._digits: list[int] = []

    def add(self, minutes: int, times: int = 1) -> None:
        for place in takewhile(lambda place: times >> place, count()):
            if times >> place & 1:
                self._add(minutes, place)

    def _add(self, carried: int, place: int) -> None:
        while carried:
            while place >= len(self._digits):
                self._digits.append(0)
            digit = self._digits[place]
            self._digits[place], carried = digit ^ carried, digit & carried
            place += 1

    def counts(self, length: int) -> list[int]:
        """Return the counts of the first ``length`` minutes."""
        columns: Sequence[str] = [f"{digit:0{length}b}"[::-1] for digit in reversed(self._digits)]
        found = [int("".join(digits), 2) for digits in zip(*columns, strict=False)]
        return found[:length] if found else [0] * length
