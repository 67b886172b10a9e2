"""An occurrence within a second of the enabling: servers tell their time in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

from denodo_ha.jobs import JobKey, JobState
from denodo_ha.outage import missed_in_outage
from denodo_ha.promotion import EnableOrder

KEY = JobKey(project="P", name="minutely")
AT = datetime(2026, 3, 2, 6, 1, tzinfo=UTC)


def missed(told: float, ran: datetime | None) -> list[datetime]:
    """The occurrences that are listed of a job that was told to be enabled so many seconds after ``AT``."""
    job = SimpleNamespace(key=KEY, crons=("0 * * * * ?",), next_execution=AT, enabled=True)
    manifest: Any = SimpleNamespace(by_key={KEY: job})
    status: Any = SimpleNamespace(key=KEY, previous_execution=ran, state=JobState.NOT_RUNNING)
    found = missed_in_outage(
        manifest,
        EnableOrder((KEY,), ()),
        told={KEY: AT + timedelta(seconds=told)},
        left=(),
        statuses=[status],
        since=AT - timedelta(seconds=20),
        verified=AT + timedelta(seconds=2),
        last_sign=AT,
        idle_since=AT - timedelta(seconds=20),
        skew=timedelta(0),
        zone=UTC,
        last_run={},
    )
    assert found.late == ((KEY,) if ran else ())
    assert found.total == len(found.missed)
    return [each.at for each in found.missed]


def test_one_that_nobody_ran_is_listed() -> None:
    assert missed(0.5, None) == missed(-0.5, None) == [AT]


def test_one_that_the_new_server_ran_is_not() -> None:
    assert missed(-0.5, AT) == missed(-1.5, None) == []


def test_a_job_that_ran_late_has_missed_nothing_that_is_to_be_started_by_hand() -> None:
    """It is in one list only: who obeys "start by hand what was missed" would have it run twice."""
    assert missed(0.5, AT + timedelta(seconds=1)) == []


def test_no_job_is_in_both_lists_whatever_ran_when() -> None:
    generator = Random(11)
    for _ in range(300):
        keys = [JobKey(project="P", name=str(number)) for number in range(6)]
        jobs = {
            key: SimpleNamespace(
                key=key, crons=(f"{generator.randrange(60)} * * * * ?",), next_execution=AT, enabled=True
            )
            for key in keys
        }
        ran = {key: generator.choice([None, AT + timedelta(seconds=generator.randint(-200, 60))]) for key in keys}
        told = {key: AT + timedelta(seconds=generator.randint(0, 40)) for key in keys if generator.random() < 0.7}
        manifest: Any = SimpleNamespace(by_key=jobs)
        statuses: Any = [
            SimpleNamespace(key=key, previous_execution=ran[key], state=JobState.NOT_RUNNING) for key in keys[:5]
        ]
        since = AT - timedelta(seconds=100)
        found = missed_in_outage(
            manifest,
            EnableOrder(tuple(keys[:5]), (keys[5],)),
            told=told,
            left=keys[:1],
            statuses=statuses,
            since=since,
            verified=AT + timedelta(seconds=60),
            last_sign=AT,
            idle_since=since,
            skew=timedelta(0),
            zone=UTC,
            last_run={},
        )
        late = {key for key, at in ran.items() if at and at >= since} - {keys[5]}
        assert set(found.late) == late
        assert {each.key for each in found.missed}.isdisjoint(late)
        assert found.total == len(found.missed)
