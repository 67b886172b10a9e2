"""The fields of a Quartz cron expression, read as Quartz 2.3.2 reads them [Q]."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn


class CronError(ValueError):
    """A cron expression that Quartz refuses; the message names the field."""


@dataclass(frozen=True)
class Field:
    """The values that a field can hold. A year outside its bounds is valid [Q] and never matches."""

    name: str
    low: int
    high: int
    longest_step: int
    names: tuple[str, ...] = ()

    @property
    def everything(self) -> set[int]:
        return set(range(self.low, self.high + 1))

    def refuse(self, item: str, reason: str) -> NoReturn:
        raise CronError(f"{self.name}: '{item}' {reason}")

    def number(self, item: str, text: str) -> int:
        value = int(text)
        if self is not YEAR and not self.low <= value <= self.high:
            self.refuse(item, f"is not between {self.low} and {self.high}")
        return value

    def named(self, item: str, text: str) -> int:
        if text not in self.names:
            self.refuse(item, f"is not one of {self.names[0]} to {self.names[-1]}" if self.names else "is not a number")
        return self.low + self.names.index(text)

    def series(self, item: str, start: int, stop: int, step: int) -> set[int]:
        """Return every ``step``-th value from ``start`` to ``stop``, around the field's end if ``stop`` is smaller.

        A step of 0 means ``start`` alone [Q].
        """
        if step == 0:
            stop, step = start, 1
        if self is YEAR:
            if stop < start:
                self.refuse(item, "ends before it begins")
            return self.everything.intersection(range(start, min(stop, self.high) + 1, step))
        size = self.high - self.low + 1
        if stop < start:
            stop += size
        return {self.low + (value - self.low) % size for value in range(start, stop + 1, step)}


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
DAY_OF_MONTH = Field("day of month", 1, 31, 31)
DAY_OF_WEEK = Field("day of week", 1, 7, 7, _DAYS)
YEAR = Field("year", 1970, 2099, 10**9)
FIELDS = (
    Field("second", 0, 59, 59),
    Field("minute", 0, 59, 59),
    Field("hour", 0, 23, 23),
    DAY_OF_MONTH,
    Field("month", 1, 12, 12, _MONTHS),
    DAY_OF_WEEK,
    YEAR,
)

# Quartz reads an item from the left and ignores what follows a complete one ("JANUARY", "MON-FRIDAY") [Q].
_NAMES = re.compile(r"([A-Z]{3})(?:-(.{0,3})|#(.*)|(L))?")
_EVERY = re.compile(r"\*?/([+-]?\d+)$", re.ASCII)
_NUMBER = re.compile(r"(\d+)(.?)", re.ASCII)
_RANGE = re.compile(r"(\d++)-(\d++)(?:/(\d+)|(?!/))", re.ASCII)
_STEPS = re.compile(r"(\d+)/(\d$|\d\d+)", re.ASCII)
_TOO_LONG = re.compile(r"\d{10}")
_LAST_DAY = re.compile(r"L(?:-(\d*))?(W?)$", re.ASCII)


class FieldReader:
    """Read one field: the values, and the marks that belong to the whole field."""

    def __init__(self, field: Field, text: str) -> None:
        self.field = field
        self.values: set[int] = set()
        self.unspecified = False
        self.last = False
        self.offset = 0
        self.nearest_weekday = False
        self.nth = 0
        if _TOO_LONG.search(text):
            field.refuse(text, "has a number that is too long")
        if field in (DAY_OF_MONTH, DAY_OF_WEEK) and "L" in text and "," in text:
            field.refuse(text, "mixes L with other days: write L alone")
        if field is DAY_OF_WEEK and text.count("#") > 1:
            field.refuse(text, "has more than one '#': only one is possible")
        for item in filter(None, text.split(",")):
            self._read(item)
        if not (self.values or self.unspecified or self.last) and field is not YEAR:
            field.refuse(text, "names no value")

    def _read(self, item: str) -> None:
        if last := _LAST_DAY.match(item):
            self._read_last(item, *last.groups())
        elif "A" <= item[0] <= "Z":
            self._read_names(item)
        elif item[0] == "?":
            self._read_unspecified(item)
        elif item[0] in "*/":
            self._read_every(item)
        elif item[0].isdecimal():
            self._read_number(item)
        else:
            self.field.refuse(item, "is neither a number, a name, nor one of * ? L")

    def _read_last(self, item: str, offset: str | None, weekday: str) -> None:
        if self.field is DAY_OF_WEEK:
            self.values.add(DAY_OF_WEEK.high)
            return
        if self.field is not DAY_OF_MONTH:
            self.field.refuse(item, "is possible for days only")
        self.last, self.offset, self.nearest_weekday = True, int(offset or 0), bool(weekday)
        if item == "L-":
            self.field.refuse(item, "needs a number after '-'")
        if self.offset > 30:
            self.field.refuse(item, "goes back more than 30 days from the last")

    def _read_names(self, item: str) -> None:
        match = _NAMES.match(item)
        first, to, nth, last = match.groups() if match else (item, None, None, None)
        start = self.field.named(item, first)
        stop = start if to is None else self.field.named(item, to)
        self.values |= self.field.series(item, start, stop, 1)
        if self.field is DAY_OF_WEEK:
            self.last |= last is not None
            if nth is not None:
                self._read_nth(item, nth)

    def _read_nth(self, item: str, text: str) -> None:
        if text not in ("1", "2", "3", "4", "5"):
            self.field.refuse(item, "needs a number from 1 to 5 after '#'")
        self.nth = int(text)

    def _read_unspecified(self, item: str) -> None:
        if self.field not in (DAY_OF_MONTH, DAY_OF_WEEK):
            self.field.refuse(item, "is possible for days only")
        if len(item) > 2:
            self.field.refuse(item, "has something after '?'")
        self.unspecified = True

    def _read_every(self, item: str) -> None:
        step = 1
        if "/" in item[:2]:
            match = _EVERY.match(item) or self.field.refuse(item, "needs a number after '/'")
            step = max(1, self._step(item, match[1]))
        self.values |= self.field.series(item, self.field.low, self.field.high, step)

    def _step(self, item: str, text: str) -> int:
        if int(text) > self.field.longest_step:
            self.field.refuse(item, f"has a step longer than {self.field.longest_step}")
        return int(text)

    def _read_number(self, item: str) -> None:
        match = _NUMBER.match(item) or self.field.refuse(item, "does not begin with a number")
        value = self.field.number(item, match[1])
        mark = match[2]
        if mark == "-":
            bounds = _RANGE.match(item) or self.field.refuse(item, "is not a range like 1-5 or 1-5/2")
            stop = int(bounds[2]) and self.field.number(item, bounds[2])
            self.values |= self.field.series(item, value, stop, int(bounds[3] or 1))
        elif mark == "/":
            steps = _STEPS.match(item) or self.field.refuse(item, "needs a number after '/'")
            self.values |= self.field.series(item, value, self.field.high, self._step(item, steps[2]))
        else:
            self.values |= self.field.series(item, value, value, 1)
            self._read_mark(item, mark)

    def _read_mark(self, item: str, mark: str) -> None:
        if mark in ("L", "#") and self.field is not DAY_OF_WEEK:
            self.field.refuse(item, f"has '{mark}', which is possible for days of the week only")
        if mark == "W" and self.field is not DAY_OF_MONTH:
            self.field.refuse(item, "has 'W', which is possible for days of the month only")
        if mark == "#":
            self._read_nth(item, item.partition("#")[2])
        self.last |= mark == "L"
        self.nearest_weekday |= mark == "W"
