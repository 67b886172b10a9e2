"""What a sync sends to a slave, over which channel and when, judged by the slave's audit and journal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from denodo_ha.record import Role
from denodo_standin.params import Element
from support.delivery import (
    EVERY_10_SECONDS,
    SMALL,
    audit,
    channels,
    content,
    data_source,
    definition,
    in_step,
    job,
    put,
    refill,
    requests,
    source,
    woken,
)
from support.sync import Books, Sync, act, add_job, crons, delete, edit, enabled, last, states, status_of, untouched

RESTLESS = (source(), job("first"), job("sealed", sealed="s", cron=EVERY_10_SECONDS))
NEW_YORK = {"slave_timezone": "America/New_York"}


@pytest.fixture(autouse=True)
def _nothing_runs_on_the_slave(small: Sync) -> Any:
    """Whatever a test does: the slave runs no job."""
    slave = Books(small.slave)
    yield
    assert slave.journal == []


def known(sync: Sync) -> Any:
    return sync.record.capabilities[Role.SLAVE]


# -- over REST


def test_a_changed_job_without_a_secret_is_written_disabled_with_the_ids_of_the_slave(small: Sync) -> None:
    small.synced()
    edit(small.master, "Sales / second", description="changed")
    slave = Books(small.slave)
    small.slave.webtool.reset_requests()
    out = small.synced()
    assert audit(slave) == [("Sales / second", "replaced", "api")]
    found = definition(small.slave, "Sales / second")
    assert found["disabled"] is True
    assert found["description"] == "changed"
    assert found["extractionSection"]["dataSourceID"] == data_source(small.slave)["id"]
    (trigger,) = found["triggerSection"]["triggers"]
    assert trigger["dependencyInfo"]["jobIDs"] == [definition(small.slave, "Sales / first")["id"]]
    assert {text: number for text, number in requests(small.slave).items() if not text.startswith("GET")} == {
        "PUT /projects/{id}/jobs/{id}": 1
    }
    assert out.event
    assert (out.event["exposure_seconds"], out.event["exposure_after_answer_seconds"]) == (0.0, 0.0)
    assert channels(out) == ["rest"]
    assert in_step(small)


def test_new_jobs_are_made_after_those_that_they_depend_on(small: Sync) -> None:
    small.synced()
    new = [source(project="New"), job("c", project="New"), job("b", project="New", after="c")]
    put(small.master, *new, job("a", project="New", after="b"))
    slave = Books(small.slave)
    out = small.synced()
    assert [row for row in audit(slave) if row[1] == "created"] == [
        (f"New / {name}", "created", "api") for name in ("c", "b", "a")
    ]
    assert woken(slave) == []
    assert out.event
    assert out.event["exposure_seconds"] == 0.0
    assert in_step(small)


# -- in archives


def test_a_changed_job_with_a_secret_is_imported_alone(small: Sync) -> None:
    small.synced()
    put(small.master, job("sealed", sealed="s", description="changed"))
    slave = Books(small.slave)
    out = small.synced()
    assert {name for name, *_ in audit(slave)} == {"Sales / sealed"}
    assert woken(slave) == ["Sales / sealed"]
    assert channels(out) == ["archive"]
    assert out.event
    assert out.event["exposure_seconds"] > 0
    assert in_step(small)


@pytest.mark.parametrize("zone", [NEW_YORK, {}], ids=["zone given", "zone unknown"])
def test_a_job_with_a_secret_is_imported_when_it_does_not_fire_on_the_slaves_clock(
    small: Sync, zone: dict[str, str]
) -> None:
    """Each is due on the slave within seconds, and on the master at another hour."""
    small.options |= zone
    small.synced()
    new = [job(f"at {second}", sealed="s", cron=f"{second} 7 1 * * ?") for second in (4, 12, 25)]
    put(small.master, *new)
    slave = Books(small.slave)
    out = small.synced()
    assert sorted(woken(slave)) == [f"Sales / at {second}" for second in (12, 25, 4)]
    assert "archive" in channels(out)
    assert in_step(small)


def test_without_a_known_zone_every_quarter_of_an_hour_counts(small: Sync) -> None:
    """Due in Calcutta in this minute, which the slave might be in as far as is known."""
    small.synced()
    small.slave.scheduler.clock(now="2026-03-02T06:07:00Z")
    put(small.master, job("of Calcutta", sealed="s", cron="5 37 11 * * ?"))
    unknown = small.run(dry_run=True)
    assert unknown.exported
    assert "06:07:06" in unknown.exported.text
    given = small.run(dry_run=True, pair=NEW_YORK)
    assert given.exported
    assert "06:07:06" not in given.exported.text
    assert "none of them fires" in given.exported.text


def test_the_slaves_own_clock_counts_not_that_of_the_master(small: Sync) -> None:
    """It is five minutes ahead."""
    small.options |= NEW_YORK
    small.synced()
    small.slave.scheduler.clock(now="2026-03-02T06:12:00Z")
    put(small.master, job("soon there", sealed="s", cron="5 12 1 * * ?"), job("past there", sealed="s", cron="5 7 1 * * ?"))
    slave = Books(small.slave)
    small.synced()
    assert sorted(woken(slave)) == ["Sales / past there", "Sales / soon there"]
    assert in_step(small)


# -- what never rests


def test_a_restless_job_with_a_secret_is_left_out_told_once_and_sent_where_a_person_says_so(small: Sync) -> None:
    refill(small.master, *RESTLESS)
    out = small.synced()
    (pending,) = small.record.pending
    assert (str(pending.key), pending.code, pending.on_target) == ("Sales / sealed", "restless", False)
    assert set(states(small.slave)) == {"Sales / first"}
    assert out.event
    assert out.event["pending"] == {"jobs": 1, "names": ["Sales / sealed"]}
    assert out.event["alert"] == "pending"
    again = small.synced()
    assert again.event
    assert "alert" not in again.event
    assert again.event["pending"] == {"jobs": 1, "names": ["Sales / sealed"]}
    assert small.record.pending == (pending,)
    slave = Books(small.slave)
    small.slave.scheduler.clock(now="2026-03-02T06:07:00Z")
    sent = small.synced(deliver_now=True, pair={"slave_timezone": "UTC"})
    assert sent.event
    assert woken(slave) == ["Sales / sealed"]
    assert small.record.pending == ()
    assert not enabled(small.slave)
    assert "alert" not in sent.event


# -- data sources alone


def test_a_changed_data_source_is_imported_without_any_job(small: Sync) -> None:
    small.synced()
    put(small.master, source("//vdp-c:9999/admin"))
    slave = Books(small.slave)
    small.slave.webtool.reset_requests()
    out = small.synced()
    assert data_source(small.slave)["connectionURI"] == "//vdp-c:9999/admin"
    assert slave.audit == []
    assert not [text for text in requests(small.slave) if text.endswith("/jobs/status") and text.startswith("PUT")]
    assert channels(out) == ["resources"]
    assert out.event
    assert out.event["exposure_seconds"] == 0.0
