"""What a sync sends to a slave, over which channel and when, judged by the slave's audit and journal."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from denodo_ha.record import Role
from denodo_scheduler.steps.sync import deliver
from support.delivery import (
    EVERY_10_SECONDS,
    at_write,
    audit,
    channels,
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
from support.sync import (
    TASKS,
    Books,
    Sync,
    add_job,
    edit,
    enabled,
    states,
    untouched,
)

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


def test_the_event_says_of_each_piece_how_much_of_it_was_sent(small: Sync) -> None:
    """Of a type that is not proven yet one job is written first, and read back."""
    new = [job(name, kind="VDPCache") for name in ("a", "b", "c")]
    refill(small.master, source(), *new)
    out = small.synced()
    assert out.event
    written = [piece for piece in out.event["delivered"] if piece["channel"] == "rest"]
    assert [piece["elements"] for piece in written] == [1, 2]
    assert [piece["why"].partition(", which can never fire ")[2] for piece in written] == [
        "(3 new); 1 of these 3",
        "(2 new)",
    ]


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
    put(
        small.master,
        job("soon there", sealed="s", cron="5 12 1 * * ?"),
        job("past there", sealed="s", cron="5 7 1 * * ?"),
    )
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


def test_a_wait_in_vain_leaves_the_slave_as_clean_as_it_was(small: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slave's clock stands, so the moment does not come; nothing was sent, so the rest is committed."""
    small.options |= NEW_YORK
    small.synced()
    put(small.master, job("soon", sealed="s", cron="5 7 1 * * ?"))
    small.slave.scheduler.clock(now="2026-03-02T06:07:00Z")
    monkeypatch.setattr(deliver, "time", SimpleNamespace(sleep=small.sleep))
    with untouched(small.slave):
        out = small.synced()
    assert out.event
    assert out.event["before"]["dirty"] is False
    assert [(str(each.key), each.code) for each in small.record.pending] == [("Sales / soon", "waits_for_moment")]


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


# -- what the slave can do is learned


JOBS = (
    source(),
    *(job(f"{kind} {number}", kind=kind) for kind in ("VDP", "VDPCache") for number in range(3)),
    job("sealed 1", sealed="1"),
    job("sealed 2", sealed="2"),
    job("last", after="VDP 0"),
)


def test_an_import_that_replaces_everything_is_noticed_and_everything_is_brought_back(small: Sync) -> None:
    """In step at the end of the same run, by the whole archive from then on."""
    refill(small.master, *JOBS)
    small.synced()
    small.slave.scheduler.guesses(replace_everything=True)
    another_version(small)
    put(small.master, job("sealed 1", sealed="s", description="changed"))
    out = small.synced()
    assert known(small).import_replaces is True
    assert in_step(small)
    assert channels(out)[0] == "archive"
    put(small.master, job("sealed 2", sealed="s", description="changed"))
    assert channels(small.synced()) == ["whole"]
    assert in_step(small)


def test_an_import_that_replaces_everything_on_a_slave_that_has_no_quiet_moment(small: Sync) -> None:
    """A slave without most of its jobs is never committed; what a person sends then repairs it."""
    refill(small.master, *JOBS[:8], job("restless", cron=EVERY_10_SECONDS))
    small.synced()
    committed = small.record.snapshot_id
    small.slave.scheduler.guesses(replace_everything=True)
    another_version(small)
    put(small.master, job("sealed 1", sealed="s", description="changed"))
    for _ in range(2):
        out = small.run()
        assert out.code("verify") == "not_delivered"
        assert "always in the way: Sales / restless" in out.message("verify")
        assert "Deliver now" in out.message("verify")
        assert small.record.snapshot_id == committed
        assert small.record.dirty is not None
        assert not enabled(small.slave)
    small.slave.scheduler.clock(now="2026-03-02T06:07:00Z")
    refill(small.master, *JOBS[:7], job("sealed 1", sealed="s", description="changed"))
    small.synced(accept_mass_change=True)
    assert in_step(small)


def test_a_section_that_writing_loses_makes_its_type_one_that_is_imported(small: Sync) -> None:
    refill(small.master, *JOBS)
    small.slave.scheduler.guesses(put_loses=["extractionSection.loadProcess"])
    out = small.synced()
    assert (known(small).unfaithful, known(small).faithful) == (("VDPCache",), ("VDP",))
    assert in_step(small)
    assert "archive" in channels(out)
    edit(small.master, "Sales / VDPCache 1", description="changed")
    slave = Books(small.slave)
    assert channels(small.synced()) == ["archive"]
    assert {name for name, *_ in audit(slave)} == {"Sales / VDPCache 1"}
    assert in_step(small)


def test_what_writing_loses_is_noticed_where_the_pair_does_not_compare_definitions(small: Sync) -> None:
    small.options["verify_definitions"] = False
    refill(small.master, *JOBS)
    small.slave.scheduler.guesses(put_loses=["extractionSection.loadProcess"])
    small.synced()
    assert known(small).unfaithful == ("VDPCache",)
    assert in_step(small)


def test_a_type_that_is_refused_is_imported(small: Sync) -> None:
    refill(small.master, *JOBS)
    small.slave.scheduler.guesses(unwritable_types=["VDPCache"])
    small.slave.webtool.reset_requests()
    small.synced()
    assert known(small).unfaithful == ("VDPCache",)
    assert in_step(small)
    edit(small.master, "Sales / VDPCache 1", description="changed")
    small.slave.webtool.reset_requests()
    assert channels(small.synced()) == ["archive"]
    assert "PUT /projects/{id}/jobs/{id}" not in requests(small.slave)


def test_one_job_that_is_refused_does_not_condemn_its_type(small: Sync) -> None:
    refill(small.master, *JOBS)
    fault = {"kind": "status", "status": 500, "times": 1, "match": {"method": "POST", "path": "/projects/[0-9]+/jobs$"}}
    small.slave.webtool.faults(fault)
    out = small.synced()
    assert known(small).unfaithful == ()
    assert known(small).faithful == ("VDP", "VDPCache")
    assert "archive" in channels(out)
    assert in_step(small)


def test_a_slave_that_does_not_honour_disabled_is_noticed_at_the_first_job_of_a_type(small: Sync) -> None:
    refill(small.master, *JOBS)
    small.slave.scheduler.guesses(born_disabled=False)
    slave = Books(small.slave)
    small.synced()
    by_rest = [name for name, change, by in audit(slave) if (change, by) == ("enabled", "api")]
    assert len(by_rest) == 2
    assert known(small).unfaithful == ("VDP", "VDPCache")
    assert in_step(small)


@pytest.mark.parametrize(
    "switch",
    [
        {"new_ids": True},
        {"keeps_disabled": True},
        {"import_warnings": ["The driver is not installed"]},
        {"past_start_fires": True},
        {"volatile_fields": True, "newer_fields": True, "server_fields": True, "crlf": True},
    ],
    ids=lambda switch: "+".join(switch),
)
def test_each_switch_of_the_slave(small: Sync, switch: dict[str, Any]) -> None:
    refill(small.master, *JOBS, job("begun", start="2026-01-01T00:00:00Z"))
    small.slave.scheduler.guesses(**switch)
    small.synced()
    assert not enabled(small.slave)
    edit(small.master, "Sales / VDP 0", description="changed")
    put(small.master, job("sealed 1", sealed="changed", description="changed"), job("new", after="sealed 1"))
    out = small.synced()
    assert not enabled(small.slave)
    assert definition(small.slave, "Sales / VDP 0")["description"] == "changed"
    assert definition(small.slave, "Sales / sealed 1")["description"] == "changed"
    assert small.record.pending == ()
    assert out.event
    assert out.event["warnings"] == switch.get("import_warnings", [])


def test_all_switches_at_once(small: Sync) -> None:
    refill(small.master, *JOBS)
    small.slave.scheduler.guesses(
        replace_everything=True,
        put_loses=["extractionSection.loadProcess"],
        unwritable_types=["VDPIndexer"],
        past_start_fires=True,
        new_ids=True,
        born_disabled=False,
        keeps_disabled=True,
        import_warnings=["The driver is not installed"],
    )
    for description in ("one", "two", "three"):
        small.run()
        assert not enabled(small.slave)
        put(small.master, job("sealed 1", sealed=description, description=description))
        edit(small.master, "Sales / last", description=description)
    small.synced(deliver_now=True)
    assert not enabled(small.slave)


def test_a_job_with_a_past_start_and_a_secret_is_never_imported_unasked(small: Sync) -> None:
    small.slave.scheduler.guesses(past_start_fires=True)
    put(small.master, job("begun", start="2026-01-01T00:00:00Z", sealed="s"))
    small.synced()
    assert [(str(each.key), each.code) for each in small.record.pending] == [("Sales / begun", "restless")]
    assert "Sales / begun" not in states(small.slave)


def another_version(small: Sync) -> None:
    """Forget what is known, as for a server of another version."""
    learned = small.record.capabilities
    small.change(capabilities={role: each.model_copy(update={"version": "9.0.0"}) for role, each in learned.items()})


def test_what_was_learned_of_another_version_is_forgotten(small: Sync) -> None:
    refill(small.master, *JOBS)
    small.slave.scheduler.guesses(unwritable_types=["VDPCache"])
    small.synced()
    assert known(small).unfaithful == ("VDPCache",)
    small.slave.scheduler.guesses(unwritable_types=[])
    another_version(small)
    edit(small.master, "Sales / VDPCache 1", description="changed")
    out = small.run(dry_run=True)
    assert out.exported
    assert "REST, born disabled" in out.exported.text
    assert channels(small.synced()) == ["rest"]
    assert (known(small).unfaithful, known(small).faithful) == ((), ("VDPCache",))


# -- bad nights


def test_a_job_that_somebody_made_on_the_slave_meanwhile_is_replaced(
    small: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.synced()
    put(small.master, job("new"))
    with at_write(monkeypatch, 0, lambda: add_job(small.slave, "Sales", "new", disabled=True)):
        out = small.synced()
    assert known(small).unfaithful == ()
    assert channels(out) == ["rest", "rest"]
    assert in_step(small)


OUTSIDE = (source(project="Shared", name="common"), job("first"), job("sealed", sealed="s"))


def test_a_data_source_that_the_slave_lacks_and_that_is_out_of_scope(small: Sync) -> None:
    """Its jobs are left out by name until somebody makes it there; the others are delivered."""
    small.options["projects"] = ["Sales"]
    refill(small.master, source(), *OUTSIDE)
    common = data_source(small.master, "common")["id"]
    found = definition(small.master, "Sales / first")["extractionSection"]
    edit(small.master, "Sales / first", extractionSection={**found, "dataSourceID": common})
    put(small.master, job("after it", after="first"), job("other"))
    small.synced()
    pending = {str(each.key): each for each in small.record.pending}
    assert {name: each.code for name, each in pending.items()} == {
        "Sales / first": "lacks_reference",
        "Sales / after it": "waits_for_pending",
    }
    assert "Shared / common" in pending["Sales / first"].why
    assert set(states(small.slave)) == {"Sales / sealed", "Sales / other"}
    put(small.slave, source(project="Shared", name="common"))
    small.synced()
    assert in_step(small)


def test_names_with_a_slash(small: Sync) -> None:
    names = {"project": "a/b %2F?"}
    put(small.master, source(**names), job("c/d", **names), job("e/f", sealed="s", after="c/d", **names))
    out = small.synced()
    assert {"resources", "rest", "archive"} <= set(channels(out))
    assert in_step(small)
    edit(small.master, "a/b %2F? / c/d", description="changed")
    assert channels(small.synced()) == ["rest"]
    assert in_step(small)


def test_the_web_tool_dies_between_two_pieces(small: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    refill(small.master, *JOBS)
    slave = Books(small.slave)
    with at_write(monkeypatch, 3, small.slave.webtool.kill):
        out = small.run()
    assert not out.ok
    assert not out.committed
    assert slave.audit
    assert small.record.dirty is not None
    small.servers.heal()
    small.synced()
    assert in_step(small)


def test_two_syncs_at_once(small: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one begins in the middle of the first, which then ends."""
    refill(small.master, *JOBS)
    other = small.dag_run()
    with at_write(monkeypatch, 3, lambda: [other.task(task) for task in TASKS]):
        first = small.run()
    assert not enabled(small.slave)
    assert first.committed or other.committed
    assert not (first.committed and other.committed)
    small.synced()
    assert in_step(small)


@pytest.mark.parametrize("at", [0, 2, 5])
def test_the_source_is_edited_while_pieces_are_under_way(small: Sync, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """What was exported is delivered, and the next run brings the edit."""
    refill(small.master, *JOBS)
    with at_write(monkeypatch, at, lambda: edit(small.master, "Sales / last", description="edited")):
        small.synced(master_changes=True)
    assert not enabled(small.slave)
    small.synced()
    assert definition(small.slave, "Sales / last")["description"] == "edited"
    assert in_step(small)


def test_the_source_is_edited_between_export_and_delivery(small: Sync) -> None:
    """Only what was to be delivered is pending; an edit of another job is brought by the next run like any other."""
    small.synced()
    put(small.master, job("new"), job("locked", sealed="s"))

    def edited() -> None:
        for name in ("first", "new", "locked"):
            edit(small.master, f"Sales / {name}", description="edited")

    out = small.synced(between={"import_metadata": edited}, master_changes=True)
    assert {str(each.key): each.code for each in small.record.pending} == {
        "Sales / new": "edited",
        "Sales / locked": "edited",
    }
    assert out.event
    assert not enabled(small.slave)
    small.synced()
    assert in_step(small)


# -- nothing to deliver


def test_a_sync_with_nothing_to_deliver_asks_little_and_waits_for_nothing(small: Sync) -> None:
    """Whatever runs on the master, where a job waits, polls or never ends."""
    refill(small.master, *JOBS, job("restless", cron=EVERY_10_SECONDS), source(project="Other"))
    small.synced()
    small.master.scheduler.duration(36_000)
    small.master.scheduler.clock(advance_seconds=15)
    assert "RUNNING" in states(small.master).values()
    passed = small.passed
    with untouched(small.slave):
        for server in small.servers.servers:
            server.webtool.reset_requests()
        out = small.synced()
        asked = requests(*small.servers.servers)
    assert sum(asked.values()) <= 10, asked
    assert out.code("import_metadata") == "unchanged"
    assert out.exported
    assert out.exported.wait_until is None
    assert small.passed - passed < timedelta(seconds=1)


# -- a paused slave


@pytest.mark.parametrize("hidden", [False, True], ids=["own flags", "hidden flags"])
def test_a_paused_slave_is_told_and_read_back(small: Sync, hidden: bool) -> None:
    refill(small.master, *JOBS)
    small.slave.scheduler.control("POST", "/pause", json={"paused": True})
    small.slave.scheduler.guesses(pause_hides_flags=hidden)
    small.synced()
    small.slave.scheduler.control("POST", "/pause", json={"paused": False})
    assert in_step(small)
    small.advance(hours=26)


@pytest.mark.parametrize("answer", ["ignored", "refused"])
def test_a_paused_slave_that_disables_nothing_is_not_committed(small: Sync, answer: str) -> None:
    small.slave.scheduler.control("POST", "/pause", json={"paused": True})
    small.slave.scheduler.guesses(disable_while_paused=answer)
    out = small.run()
    assert not out.committed
    assert small.record.snapshot is None
    assert small.record.dirty is not None
    assert out.code("disable_jobs") == "looks_paused"
    small.slave.scheduler.control("POST", "/pause", json={"paused": False})
    small.synced()
    assert in_step(small)
