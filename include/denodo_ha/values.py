"""The kinds of values that the HA record is made of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


def _of_this_age(value: datetime) -> datetime:
    if not 1970 < value.year < 9000:
        raise ValueError("is no time of this age")
    return value.astimezone(UTC)


def in_utc(value: datetime) -> datetime:
    """Return a time in UTC; the first or last one that there is where it would be beyond, as a person may write it."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return (datetime.min if value.year == 1 else datetime.max).replace(tzinfo=UTC)


Time = Annotated[AwareDatetime, AfterValidator(_of_this_age)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Value(BaseModel):
    """A part of the record: it never changes, and has no field that this version does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
