"""An occurrence within a second of the enabling: servers tell their time in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_ha.outage import missed_in_outage
from denodo_ha.promotion import EnableOrder

KEY = JobKey(project="P", name="minutely")
AT = datetime(2026, 3, 2, 6, 1, tzinfo=UTC)


def missed(told: float, ran: datetime | None) -> list[datetime]:
    """The occurrences that are listed of a job that was told to be enabled so many seconds after ``AT``."""
    job = SimpleNamespace(key=KEY, crons=("0 * * * * ?",), next_execution=AT, enabled=True)
    manifest: Any = SimpleNamespace(by_key={KEY: job})
    status: Any = SimpleNamespace(key=KEY, previous_execution=ran)
    found, _ = missed_in_outage(
        manifest,
        EnableOrder((KEY,), ()),
        told={KEY: AT + timedelta(seconds=told)},
        left=(),
        statuses=[status],
        since=AT - timedelta(seconds=20),
        verified=AT + timedelta(seconds=2),
        last_sign=AT,
        skew=timedelta(0),
        zone=UTC,
        last_run={},
    )
    return [each.at for each in found]


def test_one_that_nobody_ran_is_listed() -> None:
    assert missed(0.5, None) == missed(-0.5, None) == [AT]


def test_one_that_the_new_server_ran_is_not() -> None:
    assert missed(-0.5, AT) == missed(-1.5, None) == []
