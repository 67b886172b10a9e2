"""Where a switchover must not begin: each refusal has a code and a next step, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from denodo_ha.record import Role
from denodo_ha.transitions import claim, halted, paused
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from support.switchover import AT_REST, SwitchPair
from support.sync import act, add_job, delete, edit, enabled, states, untouched

Prepare = Callable[[SwitchPair], object]


def refused(pair: SwitchPair, to: str = "slave", **asked: Any) -> Blocked | NotYet:
    """The refusal of a check, and of the task that switches when the same comes up after the check."""
    state = dict(pair.state.values)
    with untouched(*pair.servers.servers):
        with pytest.raises((Blocked, NotYet)) as error:
            pair.begin(to, **asked).check()
        late = pair.begin(to, **asked)
        kept = pair.state.get("record")
        late.plan = {"epoch": kept["epoch"] if isinstance(kept, dict) and "epoch" in kept else 1}
        with pytest.raises((Blocked, NotYet)) as again:
            late.switch_over()
    assert pair.state.values == state
    assert error.value.code == again.value.code
    assert "Next: " in str(error.value)
    return error.value


def _operation(pair: SwitchPair, kind: Any, **age: float) -> None:
    record = pair.record
    now = pair.now() - timedelta(**age)
    claimed = claim(
        record,
        kind="switchover",
        to=Role.SLAVE,
        operation_id="other/1",
        target="",
        plan="",
        now=now,
        lease=timedelta(minutes=2),
    ).operation
    assert claimed is not None
    pair.change(operation=claimed.model_copy(update={"kind": kind}))


def _halt(pair: SwitchPair) -> None:
    pair.save(halted(pair.record, now=pair.now(), code="x", reason="servers are moved", by="ana"))


def _pause(pair: SwitchPair) -> None:
    pair.save(paused(pair.record, now=pair.now(), reason="holidays", by="ana", until=None))


def _restored(pair: SwitchPair) -> None:
    """The folder of the record is of yesterday, Airflow's database of today."""
    pair.lose_newest()


TO_SLAVE: dict[str, tuple[Prepare, str]] = {
    "paused": (_pause, "paused: holidays"),
    "halted": (_halt, "halted: servers are moved"),
    "operation_open": (lambda pair: _operation(pair, "switchover", hours=2), "the switchover other/1"),
    "record_lost": (_restored, "were lost or restored from a backup"),
    "servers_changed": (lambda pair: pair.change(slave="http://elsewhere //elsewhere:8000"), "led to http://elsewhere"),
    "sync_first": (lambda pair: pair.change(snapshot=None), "no committed snapshot"),
    "target_enabled": (
        lambda pair: act(pair.slave, "enable", *sorted(states(pair.slave))[:1]),
        "1 jobs of the slave are enabled",
    ),
    "nothing_enabled": (
        lambda pair: pair.master.scheduler.control("POST", "/pause", json={"paused": True}),
        "no job of the master is enabled",
    ),
    "looks_paused": (
        lambda pair: (
            act(pair.slave, "enable", *sorted(states(pair.slave))[:1]),
            pair.slave.scheduler.control("POST", "/pause", json={"paused": True}),
        ),
        "the definitions of 1 jobs say that they are enabled",
    ),
    "missing_on_target": (lambda pair: add_job(pair.master, "p", "new", cron=AT_REST), "1 enabled jobs do not exist"),
    "different": (
        lambda pair: edit(pair.slave, sorted(states(pair.slave))[0], description="edited"),
        "1 jobs have another definition",
    ),
}


@pytest.mark.parametrize("code", TO_SLAVE)
def test_to_the_slave(pair: SwitchPair, code: str) -> None:
    prepare, text = TO_SLAVE[code]
    prepare(pair)
    error = refused(pair)
    assert error.code == code
    assert text in str(error)
    assert isinstance(error, Blocked)


def test_a_dirty_slave(pair: SwitchPair) -> None:
    pair.switched("slave")
    pair.switched("master")
    assert refused(pair).code == "sync_first"


def test_a_sync_under_way_is_waited_for(pair: SwitchPair) -> None:
    _operation(pair, "sync")
    error = refused(pair)
    assert (error.code, type(error)) == ("operation_open", NotYet)


def test_without_a_record(empty: SwitchPair) -> None:
    assert refused(empty).code == "record_lost"


def test_an_unreadable_record(pair: SwitchPair) -> None:
    pair.tamper({"schema_number": 2, "phase": "dancing"})
    with untouched(*pair.servers.servers), pytest.raises(Blocked, match="record_unusable"):
        pair.begin("slave").check()


def test_the_active_server_already(pair: SwitchPair) -> None:
    assert refused(pair, "master").code == "already_active"
    pair.switched("slave")
    assert refused(pair, "slave").code == "already_active"


def test_one_server_under_two_names(pair: SwitchPair, connect: Callable[..., None]) -> None:
    connect(pair.master, "slave")
    assert refused(pair).code == "servers_changed"
    pair.change(slave=None)
    assert refused(pair).code == "same_server"


def test_one_server_behind_two_web_tools(pair: SwitchPair, connect: Callable[..., None]) -> None:
    connect(pair.slave, "slave", extra={"scheduler_uri": pair.master.uri})
    pair.change(slave=None)
    assert refused(pair).code == "same_server"


def test_a_failback_while_the_slaves_jobs_are_not_all_enabled_yet(pair: SwitchPair) -> None:
    pair.switched("slave")
    promotion = pair.record.last_promotion
    assert promotion is not None
    pair.change(last_promotion=promotion.model_copy(update={"complete": False}))
    assert refused(pair, "master").code == "promotion_incomplete"


def test_a_failback_that_would_lose_what_was_made_on_the_slave(pair: SwitchPair) -> None:
    pair.switched("slave")
    name = sorted(enabled(pair.slave))[0]
    edit(pair.slave, name, description="edited on the slave")
    add_job(pair.slave, "p", "new", cron=AT_REST)
    assert "p / new" in str(refused(pair, "master"))
    delete(pair.slave, "p / new")
    assert name in str(refused(pair, "master"))
    plan = pair.begin("master", accept_differences=True).check()
    assert plan["different"] == {"jobs": 1, "names": [name]}
    assert pair.switched("master", accept_differences=True)["kind"] == "failback"


def test_differences_do_not_count_where_the_pair_does_not_verify_definitions(pair: SwitchPair) -> None:
    edit(pair.slave, sorted(states(pair.slave))[0], description="edited")
    pair.options["verify_definitions"] = False
    assert pair.begin("slave").check()["different"]["jobs"] == 1


def test_a_job_that_is_due_within_the_window(empty: SwitchPair) -> None:
    add_job(empty.master, "p", "soon", cron="0 8 * * * ?")
    empty.synced()
    run = empty.begin("slave", pair={"quiet_window": "5m"}, quiet_window=True)
    run.check()
    with untouched(*empty.servers.servers), pytest.raises(NotYet, match=r"soon is due at.*with 'drain'"):
        run.switch_over()
    assert empty.record.operation is None


# -- the past


def test_a_task_of_an_older_epoch_changes_nothing(pair: SwitchPair) -> None:
    old = pair.begin("slave")
    old.check()
    old.switch_over()
    pair.switched("master")
    pair.synced()
    state = dict(pair.state.values)
    with (
        untouched(*pair.servers.servers),
        pytest.raises(NothingToDo, match=r"superseded.*epoch 3, it belongs to 1"),
    ):
        old.switch_over()
    assert pair.state.values == state


def test_a_dry_run_never_switches(pair: SwitchPair) -> None:
    run = pair.begin("slave", dry_run=True)
    run.check()
    with untouched(*pair.servers.servers), pytest.raises(NothingToDo, match="dry_run"):
        run.switch_over()


def test_a_record_of_an_older_version_does_not_know_the_masters_address(pair: SwitchPair) -> None:
    pair.change(master=None)
    pair.switched("slave")
