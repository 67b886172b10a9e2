"""An occurrence within a second of the enabling: servers tell their time in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from denodo_ha.jobs import JobKey, JobState
from denodo_ha.outage import missed_in_outage
from denodo_ha.promotion import EnableOrder

KEY = JobKey(project="P", name="minutely")
AT = datetime(2026, 3, 2, 6, 1, tzinfo=UTC)


class Server:
    """A server that takes over at ``AT``, and whose clock may be ahead."""

    def __init__(self, cron: str, *, told: float, ran: tuple[float, ...] = (), skew: float = 0, **job: Any) -> None:
        entry = SimpleNamespace(key=KEY, crons=(cron,), next_execution=AT - timedelta(hours=1), enabled=True)
        ahead = timedelta(seconds=skew)
        entry.next_execution += ahead
        self.ahead = ahead
        manifest: Any = SimpleNamespace(by_key={KEY: entry})
        statuses: Any = [
            SimpleNamespace(
                key=KEY,
                previous_execution=AT + timedelta(seconds=each) + ahead,
                state=job.get("state", JobState.NOT_RUNNING),
            )
            for each in ran
        ]
        self.found = missed_in_outage(
            manifest,
            EnableOrder((KEY,), ()),
            told={KEY: AT + timedelta(seconds=told)},
            left=(),
            statuses=statuses,
            since=AT - timedelta(seconds=620),
            verified=AT + timedelta(seconds=told + 70),
            last_sign=AT,
            idle_since=AT - timedelta(seconds=620),
            skew=ahead,
            zone=UTC,
            last_run={},
        )

    @property
    def missed(self) -> list[float]:
        assert self.found.total == len(self.found.missed)
        return [(each.at - self.ahead - AT).total_seconds() for each in self.found.missed]

    @property
    def is_late(self) -> bool:
        return self.found.late == (KEY,)


TWICE = "0 56,1,2 5,6 * * ?"
"""Due five minutes before ``AT``, at ``AT`` and a minute later."""


@pytest.mark.parametrize(
    ("ran", "late", "lost"),
    [
        ((), False, [-300, 0]),
        ((60,), False, [-300, 0]),
        ((60.4,), False, [-300, 0]),
        ((61,), True, []),
        ((31,), True, []),
        ((30, 60), True, []),
        ((60, 60), False, [-300, 0]),
    ],
    ids=[
        "not at all",
        "on time",
        "on time, told with fractions",
        "a second late",
        "at once",
        "at once and on time",
        "read twice",
    ],
)
def test_a_job_that_ran_on_time_has_missed_what_was_before(
    ran: tuple[float, ...], late: bool, lost: list[float]
) -> None:
    """It was enabled half a minute after it was due for the second time, and is due again half a minute later."""
    server = Server(TWICE, told=30, ran=ran)
    assert (server.is_late, server.missed) == (late, lost)


def test_the_time_of_the_crons_and_that_of_the_enabling_are_by_the_clock_of_the_server() -> None:
    """40 seconds ahead: it is asked at 40 seconds past ``AT`` by its clock, so it is due 20 seconds later."""
    ahead = Server("40 56,1,2 5,6 * * ?", told=30, ran=(60,), skew=40)
    assert (ahead.is_late, ahead.missed) == (False, [-300, 0])
    assert Server("40 56,1,2 5,6 * * ?", told=60.5, ran=(60,), skew=40).is_late


def test_a_run_within_a_second_of_the_enabling_may_be_the_one_that_was_overdue() -> None:
    for told in (58.9, 59.5, 60, 60.7):
        server = Server(TWICE, told=told, ran=(60,))
        assert server.is_late is (told > 59)
        assert server.missed == ([-300, 0] if told < 59 else [])


def test_what_was_due_within_a_second_of_the_enabling_has_run_where_the_next_one_ran_on_time() -> None:
    assert Server(TWICE, told=-0.5, ran=(60,)).missed == [-300]
    assert Server(TWICE, told=-0.5).missed == [-300, 0]


def test_a_job_that_runs_began_on_time_or_late() -> None:
    assert not Server(TWICE, told=30, ran=(60,), state=JobState.RUNNING).is_late
    assert Server(TWICE, told=30, ran=(31,), state=JobState.RUNNING).is_late


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
    assert found.late == ((KEY,) if ran else ()), "it is due again a minute later only"
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
        ran_since = {key for key, at in ran.items() if at and at >= since} - {keys[5]}
        on_time = ran_since - set(found.late)
        assert set(found.late) <= ran_since
        assert all((ran[key] or AT).second == int(jobs[key].crons[0].split()[0]) for key in on_time)
        assert {each.key for each in found.missed}.isdisjoint(found.late)
        assert not {(each.key, each.at) for each in found.missed} & {(key, ran[key]) for key in on_time}
        assert found.total == len(found.missed)
