"""The quiet windows of the coming day: from crons whose time zone nobody said."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.jobs import Job, JobState, JobStatus, Trigger
from denodo_ha.quartz.cron import QuartzCron
from denodo_ha.quartz.forecast import Forecast, forecast, next_by_cron
from denodo_ha.quiet_window import SETTLED, Assessment, assess

NOW = datetime(2026, 11, 22, 12, 3, 7, tzinfo=UTC)
DAY = timedelta(hours=24)
WINDOW, MARGIN = timedelta(minutes=5), timedelta(seconds=30)
REACH = WINDOW + MARGIN
MADRID = "Europe/Madrid"


def hour(number: float) -> datetime:
    return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=number)


class Server:
    """Jobs on a clock in ``zone``, with the statuses that such a server reports at ``now``."""

    def __init__(self, zone: str = MADRID, now: datetime = NOW) -> None:
        self.zone = ZoneInfo(zone)
        self.now = now
        self.jobs: list[Job] = []
        self.statuses: list[JobStatus] = []

    def add(
        self, name: str, *crons: str, state: JobState = JobState.NOT_RUNNING, due: datetime | None = None, **times: str
    ) -> Server:
        number = len(self.jobs)
        triggers = tuple(Trigger(cron=cron, **times) for cron in crons)
        if due is None and state.is_enabled:
            coming = [QuartzCron(cron).next_after(self.now, self.zone) for cron in crons]
            due = min((each for each in coming if each), default=None)
        self.jobs.append(Job(id=number, name=name, type="VDP", project_id=1, project="sales", triggers=triggers))
        self.statuses.append(
            JobStatus(job_id=number, name=name, project_id=1, project="sales", state=state, next_execution=due)
        )
        return self

    def forecast(self, zone: str | None = None) -> Forecast | None:
        return forecast(
            self.jobs,
            self.statuses,
            now=self.now,
            window=WINDOW,
            margin=MARGIN,
            zone=ZoneInfo(zone) if zone else None,
        )

    def windows(self, zone: str | None = None) -> list[tuple[datetime, datetime]]:
        found = self.forecast(zone)
        assert found is not None
        return list(found.windows)


def blocked(found: Forecast | None) -> dict[str, float]:
    assert found is not None
    return {share.key.name: round(share.blocked, 3) for share in found.blockers}


def test_no_job_at_all() -> None:
    assert Server().windows() == [(NOW, NOW + DAY + REACH)]


def test_a_nightly_job_tells_the_time_zone() -> None:
    server = Server().add("nightly", "0 30 3 * * ?")
    assert server.windows() == [(NOW, hour(26.5)), (hour(26.5) + SETTLED, NOW + DAY + REACH)]
    assert blocked(server.forecast()) == {"nightly": 0.004}


@pytest.mark.parametrize("zone", ["UTC", MADRID, "America/New_York", "Asia/Kolkata", "Asia/Kathmandu"])
def test_office_hours_are_found_in_any_time_zone(zone: str) -> None:
    server = Server(zone).add("office", "0 0/5 9-16 * * ?").add("nightly", "0 30 3 * * ?")
    windows = server.windows()
    assert windows == server.windows(zone)
    begins = [begin.astimezone(ZoneInfo(zone)).time() for begin, _ in windows if begin > NOW]
    assert time(16, 55, 1) in begins
    assert not any(time(9) <= begin < time(16, 55) for begin in begins)


def test_a_day_full_of_executions() -> None:
    found = Server().add("often", "0 0/5 * * * ?").add("nightly", "0 30 3 * * ?").forecast()
    assert found is not None
    assert found.windows == ()
    assert blocked(found) == {"often": 1.0}
    assert str(found) == "no quiet window in sight; in the way: sales / often (in the way 100% of the time)"


@pytest.mark.parametrize("cron", ["0/15 * * * * ?", "* * * * * ?", "0 0/5 * * * ?"])
def test_the_time_zone_need_not_be_known_where_it_makes_no_difference(cron: str) -> None:
    found = Server().add("often", cron).forecast()
    assert found is not None
    assert found.windows == ()


def test_several_jobs_together_leave_no_window() -> None:
    server = Server()
    for minute in range(0, 60, 5):
        server.add(f"at {minute}", f"0 {minute} * * * ?")
    found = server.forecast()
    assert found is not None
    assert found.windows == ()
    assert len(found.blockers) == 12
    assert set(blocked(found).values()) <= {0.092, 0.091}


def test_a_gap_exactly_as_long_as_window_and_margin_is_too_short() -> None:
    settled = hour(12) + timedelta(minutes=1) + SETTLED
    server = Server(now=hour(12)).add("a", "0 0,1 * * * ?").add("b", "31 6 * * * ?")
    assert settled not in {begin for begin, _ in server.windows()}
    server = Server(now=hour(12)).add("a", "0 0,1 * * * ?").add("b", "32 6 * * * ?")
    assert settled in {begin for begin, _ in server.windows()}


def test_undecided_time_zone_no_forecast() -> None:
    """An office-hours cron before its first hour: every zone in which it is now before nine could be the one."""
    assert Server("Asia/Kolkata").add("office", "0 0/10 9-17 * * ?").forecast() is None


def test_contradicting_executions_no_forecast() -> None:
    server = Server().add("nightly", "0 30 3 * * ?").add("moved", "0 0 5 * * ?", due=hour(20))
    assert server.forecast() is None
    assert server.forecast(MADRID) is None


def test_a_time_zone_that_contradicts_the_server_no_forecast() -> None:
    server = Server().add("nightly", "0 30 3 * * ?")
    assert server.forecast(MADRID) is not None
    assert server.forecast("America/New_York") is None


def test_a_change_of_the_clocks_ahead_is_not_guessed() -> None:
    """Before the change Madrid and Lagos show the same time: a job before the change cannot tell them apart."""
    before = datetime(2027, 3, 27, 20, 0, 5, tzinfo=UTC)
    server = Server(now=before).add("evening", "0 30 21,23 * * ?")
    assert server.forecast() is None
    assert server.forecast(MADRID) is not None
    server.add("after the change", "0 0 6 * * ?")
    assert server.windows() == server.windows(MADRID)


@pytest.mark.parametrize("state", [JobState.DISABLED, JobState.DRAFT])
def test_jobs_that_cannot_start_do_not_count(state: JobState) -> None:
    server = Server().add("nightly", "0 30 3 * * ?")
    server.add("often", "0/10 * * * * ?", state=state).add("soon", "0 * * * * ?", state=state, due=hour(12.1))
    assert blocked(server.forecast()) == {"nightly": 0.004}


def test_jobs_without_a_cron_do_not_count() -> None:
    server = Server().add("dependent").add("nightly", "0 30 3 * * ?")
    assert blocked(server.forecast()) == {"nightly": 0.004}


def test_an_enabled_job_without_next_execution_is_over_or_has_not_begun() -> None:
    server = Server().add("nightly", "0 30 3 * * ?").add("often", "0 * * * * ?")
    server.statuses[1] = server.statuses[1].model_copy(update={"next_execution": None})
    assert blocked(server.forecast()) == {"nightly": 0.004}


def test_a_start_time_ahead_the_job_counts_from_its_next_execution() -> None:
    server = Server().add("nightly", "0 30 3 * * ?")
    server.add("from six", "0 * * * * ?", due=hour(30), start_time="2026-11-23T07:00:00")
    windows = server.windows()
    assert windows == [(NOW, hour(26.5)), (hour(26.5) + SETTLED, hour(30))]


def test_an_end_time_is_the_server_s_own_and_ends_the_job() -> None:
    server = Server().add("nightly", "0 30 3 * * ?")
    server.add("until ten", "0 * * * * ?", end_time="2026-11-22T22:00:00")
    assert server.windows()[0] == (hour(21) + SETTLED, hour(26.5))


def test_an_end_time_that_cannot_be_read_is_no_end() -> None:
    server = Server().add("nightly", "0 30 3 * * ?").add("often", "0 * * * * ?", end_time="some day")
    assert server.windows() == []


def test_a_job_with_two_crons_blocks_with_both() -> None:
    server = Server().add("nightly", "0 30 3 * * ?").add("twice", "0 0 4 * * ?", "0 0 20 * * ?")
    assert server.windows() == [
        (NOW, hour(19)),
        (hour(19) + SETTLED, hour(26.5)),
        (hour(26.5) + SETTLED, hour(27)),
        (hour(27) + SETTLED, NOW + DAY + REACH),
    ]
    assert blocked(server.forecast()) == {"nightly": 0.004, "twice": 0.008}


def test_a_cron_that_cannot_be_evaluated_no_forecast() -> None:
    server = Server().add("nightly", "0 30 3 * * ?")
    server.jobs.append(server.jobs[0].model_copy(update={"name": "odd", "triggers": (Trigger(cron="0 0 99 * * ?"),)}))
    server.statuses.append(server.statuses[0].model_copy(update={"name": "odd"}))
    assert server.forecast(MADRID) is None


def test_what_people_read() -> None:
    found = Server().add("nightly", "0 30 3 * * ?").add("noon", "0 0 12 * * ?").forecast()
    assert str(found) == (
        "next quiet windows: 2026-11-22 12:03:07 UTC to 2026-11-23 02:30:00 UTC, "
        "2026-11-23 02:30:01 UTC to 2026-11-23 11:00:00 UTC, 2026-11-23 11:00:01 UTC to 2026-11-23 12:08:37 UTC"
    )


_second = st.sampled_from(["0", "0/15", "0/5", "10,50"])
_minute = st.sampled_from(["*", "0", "30", "0/5", "0/6", "3/7", "0-20", "15-45/5"])
_hour = st.sampled_from(["*", "9-17", "22-2", "0/2", "13"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(_second, _minute, _hour).map(" ".join), min_size=1, max_size=3))
def test_windows_are_those_of_every_single_execution(clocks: list[str]) -> None:
    server = Server()
    for number, clock in enumerate(clocks):
        server.add(f"job {number}", f"{clock} * * ?")
    end = NOW + DAY + REACH
    executions = {
        execution for clock in clocks for execution in QuartzCron(f"{clock} * * ?").between(NOW, end, server.zone)
    }
    begins = [NOW, *(execution + SETTLED for execution in sorted(executions))]
    every = [
        (begin, stop) for begin, stop in zip(begins, [*sorted(executions), end], strict=True) if stop - begin > REACH
    ]
    assert server.windows(MADRID) == every


# -- the look at the statuses keeps what the forecast promises

_LATE = timedelta(seconds=0.3)
"""How late a server starts its jobs."""
_HOURS = timedelta(hours=3)


def _assess(server: Server, moment: datetime, reach: timedelta) -> Assessment:
    """What the sensor sees at that moment: jobs that take no time, and a clock that is read in whole seconds."""
    statuses = [
        status.model_copy(
            update={
                "next_execution": min(
                    each
                    for trigger in job.triggers
                    if (each := QuartzCron(trigger.cron or "").next_after(moment - _LATE, server.zone))
                )
            }
        )
        for job, status in zip(server.jobs, server.statuses, strict=True)
    ]
    return assess(statuses, now=moment.replace(microsecond=0), window=reach, margin=timedelta())


def _found(server: Server, moment: datetime, reach: timedelta) -> datetime | None:
    """When the sensor, which sleeps as it is told, finds a window to begin; None: not within the hours ahead."""
    end = moment + _HOURS
    while moment <= end:
        found = _assess(server, moment, reach)
        if found.quiet:
            return moment
        moment += found.check_again_at - found.now
    return None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_second, _minute, _hour).map(" ".join), min_size=1, max_size=3),
    st.floats(0, 3600).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    st.integers(2, 400).map(lambda seconds: timedelta(seconds=seconds)),
)
def test_the_sensor_finds_the_first_window_of_the_forecast(
    clocks: list[str], moment: datetime, reach: timedelta
) -> None:
    server = Server(now=moment)
    for number, clock in enumerate(clocks):
        server.add(f"job {number}", f"{clock} * * ?")
    began = moment.replace(microsecond=0)
    foreseen = forecast(
        server.jobs,
        server.statuses,
        now=began,
        horizon=_HOURS,
        window=reach,
        margin=timedelta(),
        zone=server.zone,
    )
    assert foreseen is not None
    found = _found(server, moment, reach)
    promised = [begin for begin, _ in foreseen.windows if begin < began + _HOURS]
    if promised:
        assert found is not None
        assert timedelta() <= found - promised[0] < timedelta(seconds=2)
    elif found is not None:
        assert found >= began + _HOURS


# -- a job of which the server says nothing usable

_STUCK = NOW - timedelta(hours=5)


def _by_cron(server: Server, zone: str | None = None) -> dict[str, datetime | None]:
    known = ZoneInfo(zone) if zone else None
    keys = {status.key for status in server.statuses if status.next_execution == _STUCK}
    found = next_by_cron(server.jobs, server.statuses, keys, now=server.now, zone=known)
    return {key.name: execution for key, execution in found.items()}


def test_a_stuck_job_is_due_by_its_cron_in_the_zone_that_the_other_jobs_tell() -> None:
    server = Server().add("nightly", "0 30 3 * * ?").add("stuck", "0 0 15 * * ?", "0 0 5 * * ?", due=_STUCK)
    assert _by_cron(server) == {"stuck": hour(14)}
    assert _by_cron(server, MADRID) == {"stuck": hour(14)}


def test_in_doubt_about_the_zone_the_earliest_execution_counts() -> None:
    assert _by_cron(Server().add("stuck", "0 10 15 * * ?", due=_STUCK)) == {"stuck": hour(12 + 10 / 60)}


@pytest.mark.parametrize(
    ("cron", "times", "expected"),
    [
        ("0 0 15 * * ?", {}, hour(14)),
        ("0 0 15 1 1 ?", {}, None),
        ("0 0 15 * * ?", {"end_time": "2026-11-22T12:30:00"}, None),
    ],
)
def test_a_stuck_job_that_is_not_due_any_more(cron: str, times: dict[str, str], expected: datetime | None) -> None:
    assert _by_cron(Server().add("stuck", cron, due=_STUCK, **times), MADRID) == {"stuck": expected}


def test_nothing_is_said_of_a_stuck_job_without_a_usable_cron_or_zone() -> None:
    server = Server().add("no cron", due=_STUCK)
    server.jobs.append(server.jobs[0].model_copy(update={"name": "odd", "triggers": (Trigger(cron="0 0 99 * * ?"),)}))
    server.statuses.append(server.statuses[0].model_copy(update={"name": "odd"}))
    server.add("stuck", "0 0 15 * * ?", due=_STUCK)
    assert _by_cron(server, MADRID) == {"stuck": hour(14)}
    server.add("nightly", "0 30 3 * * ?")
    assert _by_cron(server, "America/New_York") == {}
