"""What a switchover carries over, in both directions, as both servers' states, audits and journals tell it."""

from __future__ import annotations

from collections import Counter

from denodo_ha.record import Phase, Role
from denodo_ha.seen import from_bytes
from support.switchover import AT_REST, Journals, SwitchPair
from support.sync import Books, act, add_job, crons, enabled, fill, status_of, untouched

ODD = [
    ("Ventas/España", "日次 ☃ 集計"),
    ("Ventas/España", "a/b\\c ? & # %2F"),
    ("sales", "Straße"),
    ("sales", "load"),
    ("SALES 2", "LOAD"),
    ("SALES 2", "x" * 200),
]


def test_the_enabled_jobs_are_carried_over_exactly_and_back(pair: SwitchPair) -> None:
    wanted = enabled(pair.master)
    assert len(wanted) == 5
    pair.switched("slave")
    assert pair.enabled == (set(), wanted)
    pair.switched("master")
    assert pair.enabled == (wanted, set())


def test_names_of_all_kinds_and_what_was_disabled_on_purpose(empty: SwitchPair) -> None:
    for project, name in ODD:
        add_job(empty.master, project, name, cron=AT_REST)
    act(empty.master, "disable", "sales / load", "Ventas/España / a/b\\c ? & # %2F")
    wanted = enabled(empty.master)
    assert len(wanted) == 4
    empty.synced()
    empty.switched("slave")
    assert empty.enabled == (set(), wanted)
    empty.switched("master")
    assert empty.enabled == (wanted, set())


def test_a_failback_carries_over_what_people_did_meanwhile(pair: SwitchPair) -> None:
    on, off = sorted(enabled(pair.master))[0], sorted(set(crons(pair.master)) - enabled(pair.master))[0]
    pair.switched("slave")
    act(pair.slave, "disable", on)
    act(pair.slave, "enable", off)
    wanted = enabled(pair.slave)
    pair.switched("master")
    assert pair.enabled == (wanted, set())
    assert on not in wanted
    assert off in wanted


def test_after_a_failback_a_sync_makes_the_slave_promotable_again(pair: SwitchPair) -> None:
    snapshot = pair.record.snapshot
    pair.switched("slave")
    with untouched(*pair.servers.servers):
        assert "then fail back" in pair.run().verdict.message  # type: ignore[union-attr]
    pair.switched("master")
    assert pair.record.dirty is not None
    pair.synced()
    assert pair.record.dirty is None
    assert pair.record.snapshot != snapshot


def test_the_record_and_the_history_tell_of_it(pair: SwitchPair) -> None:
    event = pair.switched("slave", actor="ana", reason="maintenance")
    record = pair.record
    assert (record.phase, record.active, record.epoch) == (Phase.FAILED_OVER, Role.SLAVE, 2)
    assert record.operation is None
    assert record.last_promotion is not None
    assert (record.last_promotion.kind, record.last_promotion.complete) == ("switchover", True)
    assert record.acknowledged, "a person began it, so nobody has to acknowledge it"
    assert record.cool_down_until is None
    assert list(record.outbox)[-1] == event
    assert pair.story == ["switchover_begun", "switchover"]
    assert (event["epoch"], event["actor"], event["reason"]) == (2, "ana", "maintenance")
    assert event["before"] == {"phase": "normal", "active": "master", "enabled": 5}
    assert event["after"] == {"phase": "failed_over", "active": "slave", "enabled": 5}
    assert event["missing"]["jobs"] == event["interrupted"]["jobs"] == 0
    assert 0 <= event["gap_seconds"] < 60
    assert pair.switched("master")["kind"] == "failback"
    assert (pair.record.phase, pair.record.active, pair.record.epoch) == (Phase.NORMAL, Role.MASTER, 3)


def test_jobs_outside_the_pairs_scope_are_left_alone(pair: SwitchPair) -> None:
    add_job(pair.master, "its own", "job", cron=AT_REST)
    wanted = {name for name in enabled(pair.master) if not name.startswith("its own")}
    pair.options["projects"] = sorted({name.split(" / ")[0] for name in wanted})
    pair.switched("slave")
    assert pair.enabled == ({"its own / job"}, wanted)


def test_no_moment_with_jobs_enabled_on_both_by_the_servers_own_clocks(empty: SwitchPair) -> None:
    for number in range(12):
        add_job(empty.master, f"project {number % 3}", f"job {number}", cron=AT_REST)
    for server in empty.servers.servers:
        server.scheduler.clock(mode="real")
    empty.synced()
    for to, old, new in (("slave", empty.master, empty.slave), ("master", empty.slave, empty.master)):
        books = {server.name: Books(server) for server in (old, new)}
        empty.switched(to)
        empty.clean()
        disabled = [entry for entry in books[old.name].audit if entry["change"] == "disabled"]
        woken = [entry for entry in books[new.name].audit if entry["change"] == "enabled"]
        assert len(disabled) == len(woken) == 12
        assert max(entry["at"] for entry in disabled) < min(entry["at"] for entry in woken)


def test_a_job_that_waits_for_others_is_enabled_before_them(empty: SwitchPair) -> None:
    add_job(empty.master, "p", "n", cron=AT_REST)
    for name, waits_for in (("m", "p / n"), ("z", "p / m")):
        ids = [status_of(empty.master, waits_for)["jobID"]]
        trigger = {"type": "cron", "cronExpression": AT_REST, "dependencyInfo": {"jobIDs": ids}}
        add_job(empty.master, "p", name, triggerSection={"triggers": [trigger]})
    empty.options["enable_batch"] = 1
    empty.synced()
    book = Books(empty.slave)
    empty.switched("slave")
    assert [entry["job"] for entry in book.audit] == ["z", "m", "n"]


# -- occurrences


def test_an_occurrence_that_the_old_server_has_just_run_does_not_run_again(
    empty: SwitchPair, passing_time: list[float]
) -> None:
    """The trigger on the other server is due since then too, and Quartz would make up for so short a delay."""
    add_job(empty.master, "p", "at ten past", cron="0 10 * * * ?")
    add_job(empty.master, "p", "idle", cron=AT_REST)
    empty.slave.scheduler.guesses(misfire="record")
    empty.synced()
    journals = Journals(empty)
    empty.advance(minutes=3, seconds=20)
    assert len(journals.occurrences("master")) == 1
    empty.switched("slave")
    assert 40 < sum(passing_time) < 60
    empty.advance(hours=2)
    found = journals.occurrences()
    assert set(found.values()) == {1}, found
    assert len(journals.occurrences("slave")) == 2


def test_clocks_that_are_far_apart_do_not_make_it_wait_for_days(empty: SwitchPair, passing_time: list[float]) -> None:
    add_job(empty.master, "p", "at ten past", cron="0 10 * * * ?")
    empty.synced()
    empty.advance(minutes=3, seconds=20)
    empty.slave.scheduler.clock(now="2026-03-01T00:00:00Z")
    empty.switched("slave")
    assert sum(passing_time) < 70


def test_every_occurrence_of_a_day_of_switchovers_runs_exactly_once(
    empty: SwitchPair, passing_time: list[float]
) -> None:
    crons_of = {"hourly": "0 0 * * * ?", "often": "0 3/15 * * * ?"}
    for name, cron in crons_of.items():
        add_job(empty.master, "p", name, cron=cron)
    for server in empty.servers.servers:
        server.scheduler.guesses(misfire="record")
    empty.synced()
    journals, since = Journals(empty), empty.now()
    for number in range(6):
        to = "slave" if number % 2 == 0 else "master"
        empty.switched(to)
        empty.clean()
        empty.advance(minutes=137)
        empty.advance(seconds=120)  # away from the next execution
    minutes = int((empty.now() - since).total_seconds() // 60)
    found = journals.occurrences()
    assert set(found.values()) == {1}, found
    runs = Counter(job for job, _ in found)
    assert abs(runs["p / often"] - minutes / 15) <= 1
    assert abs(runs["p / hourly"] - minutes / 60) <= 1
    assert all(len(journals.occurrences(server)) > 20 for server in ("master", "slave"))


def test_through_the_other_web_tool_where_the_masters_own_is_dead(pair: SwitchPair) -> None:
    wanted = enabled(pair.master)
    pair.master.webtool.kill()
    run = pair.begin("slave")
    plan = run.check()
    assert (plan["connection"], plan["uri"]) == ("denodo_scheduler_slave", pair.master.uri)
    run.switch_over()
    pair.master.webtool.start()
    assert pair.enabled == (set(), wanted)


def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(pair: SwitchPair) -> None:
    record = dict(pair.state.values)
    with untouched(*pair.servers.servers):
        plan = pair.begin("slave", dry_run=True).check()
    assert pair.state.values == record
    assert (plan["from"], plan["to"]) == ("master", "slave")
    assert set(plan["enable"]["names"]) == enabled(pair.master)
    assert set(plan["stay_disabled"]["names"]) == set(crons(pair.master)) - enabled(pair.master)
    assert plan["different"]["jobs"] == 0


def test_many_jobs_are_disabled_with_one_request_per_project(empty: SwitchPair) -> None:
    fill(empty.master, jobs=60, projects=3, disabled=3)
    empty.synced()
    empty.master.webtool.reset_requests()
    empty.switched("slave")
    sent = {path: count for path, count in empty.master.webtool.requests().items() if path.startswith("PUT")}
    assert sum(sent.values()) == 3, sent


def test_both_servers_are_kept_for_the_page_as_they_are_at_the_end(pair: SwitchPair) -> None:
    wanted = enabled(pair.master)
    pair.switched("slave")
    found = from_bytes(pair.snapshots("test").read_seen()).servers
    on = {role: {str(job.key) for job in server.jobs if job.enabled} for role, server in found.items()}
    assert on == {Role.MASTER: set(), Role.SLAVE: wanted}
