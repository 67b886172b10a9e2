"""Guards between the last look and a change: each is the only one that is left when the others have passed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.sync import send, verify
from support.sync import Sync, add_job, untouched


@pytest.fixture
def synced(sync: Sync) -> Sync:
    """A pair in step whose master has got a new job since, so that the next sync imports."""
    sync.synced()
    add_job(sync.master, "default", "new job")
    return sync


def test_an_address_that_leads_to_the_source_since_the_export_gets_no_import(
    synced: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the slave resolves to the master by now, while its connection says what it said before."""
    run = synced.dag_run()
    run.task("guard")
    run.task("export_metadata")
    statuses, pair = DenodoSchedulerHook.statuses, synced.pair()

    def of_the_master(hook: DenodoSchedulerHook) -> Any:
        return statuses(DenodoSchedulerHook(pair.master) if hook.denodo_scheduler_conn_id == pair.slave else hook)

    monkeypatch.setattr(DenodoSchedulerHook, "statuses", of_the_master)
    with untouched(synced.master, synced.slave):
        run.task("import_metadata")
    assert run.code("import_metadata") == "same_server"
    assert synced.record.operation is None


@pytest.mark.parametrize("moved", [{"epoch": 2}, {"operation": None}], ids=["another epoch", "closed by another run"])
def test_a_commit_is_of_the_record_as_it_is_then(
    synced: Sync, monkeypatch: pytest.MonkeyPatch, moved: dict[str, Any]
) -> None:
    """The pair moves on after all was read back, right before the snapshot is committed."""
    referred = verify.reference

    def late(*arguments: Any) -> Any:
        synced.change(**moved)
        return referred(*arguments)

    monkeypatch.setattr(verify, "reference", late)
    base = synced.record.snapshot_id
    out = synced.run()
    assert out.code("verify") == "superseded"
    assert out.event is None
    assert synced.record.snapshot_id == base
    assert synced.record.dirty is not None
    assert synced.record.epoch == moved.get("epoch", 1)


@pytest.mark.parametrize(("spare", "sent"), [(1, True), (-1, False)], ids=["time enough", "too little time"])
def test_an_import_that_could_outlive_its_lease_is_not_sent(
    synced: Sync, monkeypatch: pytest.MonkeyPatch, spare: float, sent: bool
) -> None:
    """The worker sleeps between intent and request, for less than the lease: it has to hold the import too."""
    options = synced.pair().sync
    asleep = options.lease - options.import_timeout - timedelta(seconds=spare)
    look = send.Sender._ensure_time_left

    def after_a_sleep(sender: send.Sender) -> None:
        synced.passed += asleep
        look(sender)

    monkeypatch.setattr(send.Sender, "_ensure_time_left", after_a_sleep)
    imports: list[Any] = []
    really = send.Sender._import
    monkeypatch.setattr(send.Sender, "_import", lambda *given: imports.append(given) or really(*given))
    out = synced.run()
    assert bool(imports) is sent
    if not sent:
        assert out.code("import_metadata") == "lease_short"
        assert (synced.record.operation, synced.record.dirty) == (None, None)
