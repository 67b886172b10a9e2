"""Whatever is wrong before the import is refused with words for a person, and neither server is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from denodo_scheduler.steps.outcome import Blocked
from denodo_standin.webtool import BASE_PATH
from support.sync import (
    UNANSWERED,
    Sync,
    act,
    add_job,
    enabled,
    states,
    untouched,
)


def refused(sync: Sync, task: str, **asked: Any) -> str:
    """The message of a run that must fail at ``task`` without changing either server or what is committed."""
    committed = sync.record.snapshot_id if sync.state.values else None
    with untouched(sync.master, sync.slave):
        out = sync.run(**asked)
    assert task in out.errors, (out.errors, out.verdict)
    assert not out.ok
    assert out.event is None
    assert (sync.record.snapshot_id if sync.state.values else None) == committed
    return out.message(task)


# -- mass changes


def test_a_master_whose_jobs_are_all_disabled_is_not_believed(sync: Sync) -> None:
    sync.synced()
    act(sync.master, "disable", *states(sync.master))
    message = refused(sync, "export_metadata")
    assert message.startswith("[mass_change] all 12 jobs are disabled; a paused server looks exactly like this.")
    assert "Next: nothing was changed; look at the active server" in message
    assert sync.record.dirty is None


def test_a_paused_master_is_not_believed_not_even_at_the_first_sync(sync: Sync) -> None:
    sync.master.scheduler.control("POST", "/pause", json={"paused": True})
    assert "[mass_change] all 12 jobs are disabled" in refused(sync, "export_metadata")
    sync.master.scheduler.control("POST", "/pause", json={"paused": False})
    sync.synced()
    assert len(states(sync.slave)) == 12


def test_a_master_that_lost_most_of_its_jobs_is_not_believed(sync: Sync) -> None:
    sync.synced()
    for project in sync.master.request("GET", "/projects")[1:]:
        sync.master.request("DELETE", f"/projects/{project['id']}")
    message = refused(sync, "export_metadata")
    assert "[mass_change] 8 jobs vanished and 0 became disabled, which is 8 of 12 jobs; the limit is 20 %" in message
    assert "'accept a mass change' ticked and a reason" in message


def test_a_mass_change_that_a_person_accepts_is_synced(sync: Sync) -> None:
    sync.synced()
    act(sync.master, "disable", *states(sync.master))
    refused(sync, "export_metadata")
    out = sync.synced(accept_mass_change=True, actor="ana", reason="maintenance")
    assert out.event
    assert (out.event["enabled"], out.event["reason"]) == (0, "maintenance")
    assert sync.synced().event, "the accepted state is the new baseline"


def test_a_refused_mass_change_leaves_no_snapshot_behind(sync: Sync) -> None:
    sync.synced()
    files = sync.files
    act(sync.master, "disable", *states(sync.master))
    refused(sync, "export_metadata")
    assert sync.files == files


# -- bad exports, over the wire


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncate", "connection was cut before the whole answer came"),
        ("html", "answer (200) is an HTML page: a login page or another application"),
        ("garbage", "is not an export file but JSON"),
        ("empty", "exported content is empty"),
    ],
)
def test_an_export_that_does_not_arrive_as_one_is_refused(sync: Sync, kind: str, message: str) -> None:
    sync.synced()
    files = sync.files
    sync.master.webtool.faults({"kind": kind, "match": {"path": "serverMetadata/export"}})
    assert message in refused(sync, "export_metadata")
    assert sync.record.dirty is None
    assert sync.files == files


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda content: content[: len(content) // 2], "cut off: it ends after"),
        (lambda content: _flip(content, len(content) // 3), "damaged"),
        (lambda content: _flip(content, content.rindex(b"PK\x01\x02") + 16), "damaged"),
        (lambda _: b"", "is empty"),
        (lambda _: b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
        (lambda _: b"PK\x03\x04 and so on", "cut off"),
        (lambda _: b'{"status": "200 OK"}', "is not an export file but JSON"),
    ],
    ids=["half of it", "a flipped bit", "a flipped bit in the directory", "nothing", "a web page", "rubbish", "JSON"],
)
def test_a_damaged_export_is_refused_before_the_import(
    sync: Sync, tamper: Callable[..., Any], alter: Callable[[bytes], bytes], message: str
) -> None:
    damage: list[Callable[[bytes], bytes]] = []
    tamper(sync.master, "serverMetadata/export", lambda content: damage[0](content) if damage else content)
    sync.synced()
    files = sync.files
    add_job(sync.master, "default", "something new")
    damage.append(alter)
    assert message in refused(sync, "export_metadata")
    assert sync.record.dirty is None
    assert sync.files == files


def _flip(content: bytes, index: int) -> bytes:
    return content[:index] + bytes([content[index] ^ 0x10]) + content[index + 1 :]


def test_a_damaged_export_is_named_with_its_code_and_the_next_step(sync: Sync, tamper: Callable[..., Any]) -> None:
    tamper(sync.master, "serverMetadata/export", lambda content: content[:-30])
    message = refused(sync, "export_metadata")
    assert message.startswith("[export_refused] the master's export cannot be used: The export was cut off")
    assert message.endswith("Next: nothing was changed; look at the master's web tool and clear this task.")


# -- connections


@pytest.mark.parametrize(("role", "task"), [("master", "export_metadata"), ("slave", "guard")])
def test_a_wrong_password_is_said_so(sync: Sync, connect: Callable[..., None], role: str, task: str) -> None:
    sync.synced()
    connect(getattr(sync.servers, role), password="wrong")
    message = refused(sync, task)
    assert "login refused. Check login and password of the connection" in message
    assert f"'denodo_scheduler_{role}'" in message


@pytest.mark.parametrize(("role", "task"), [("master", "export_metadata"), ("slave", "guard")])
def test_a_uri_where_nothing_listens_is_said_so(sync: Sync, connect: Callable[..., None], role: str, task: str) -> None:
    connect(getattr(sync.servers, role), extra={"scheduler_uri": "//127.0.0.1:9"})
    message = refused(sync, task)
    assert "Check that the Scheduler server runs and that its uri is right" in message
    assert "//127.0.0.1:9" in message


def test_two_connections_with_one_address_are_refused_at_once(sync: Sync, connect: Callable[..., None]) -> None:
    connect(sync.master, "slave")
    message = refused(sync, "guard")
    assert message.startswith(
        "[same_server] the connections denodo_scheduler_master and denodo_scheduler_slave name the same Scheduler "
    )
    assert sync.master.uri in message
    assert "correct host, port or scheduler_uri of denodo_scheduler_slave" in message


def _to_the_master_by_another_name(sync: Sync, connect: Callable[..., None]) -> None:
    other = sync.master.uri.replace("127.0.0.1", "localhost")
    connect(sync.master, "slave", host="localhost", extra={"scheduler_uri": other})


def test_a_slave_that_is_the_master_by_another_name_is_refused_at_the_start(
    sync: Sync, connect: Callable[..., None]
) -> None:
    _to_the_master_by_another_name(sync, connect)
    assert refused(sync, "guard").startswith("[not_initialised]")
    with pytest.raises(Blocked, match=r"\[same_server\]"):
        sync.initialise()


def test_a_slave_that_became_the_master_by_another_name_is_refused(sync: Sync, connect: Callable[..., None]) -> None:
    sync.synced()
    record = dict(sync.state.values)
    _to_the_master_by_another_name(sync, connect)
    assert "[slave_changed]" in refused(sync, "guard")
    with pytest.raises(Blocked, match=r"\[same_server\]"):
        sync.initialise()
    assert sync.state.values == record


def test_a_lost_import_is_not_repaired_on_the_master_by_another_name(sync: Sync, connect: Callable[..., None]) -> None:
    """The operation is still in flight, so the guard would keep that server's jobs disabled."""
    sync.synced()
    add_job(sync.master, "default", "one more")
    sync.slave.webtool.faults({"kind": "hang", "match": {"path": "serverMetadata/import"}})
    lost = sync.dag_run(pair=UNANSWERED)
    for task in ("guard", "export_metadata", "import_metadata"):
        lost.task(task)
    assert lost.code("import_metadata") == "import_unanswered"
    _to_the_master_by_another_name(sync, connect)
    assert "[slave_changed]" in refused(sync, "guard")


def test_a_master_login_that_may_not_export_is_told_which_role_it_needs(
    sync: Sync, connect: Callable[..., None]
) -> None:
    connect(sync.master, login="viewer", password="viewer")
    message = refused(sync, "export_metadata")
    assert "the user may not do this. Give it the role scheduler_admin" in message


def test_a_slave_login_that_may_not_import_is_told_which_role_it_needs(
    sync: Sync, connect: Callable[..., None]
) -> None:
    connect(sync.slave, login="viewer", password="viewer")
    message = refused(sync, "import_metadata")
    assert "the user may not do this. Give it the role scheduler_admin" in message
    connect(sync.slave)
    sync.synced()


def test_a_slave_older_than_the_export_is_refused(sync: Sync, tamper: Callable[..., Any]) -> None:
    tamper(sync.slave, "/public/api/me", lambda content: content.replace(b"9.1.0", b"8.0 20240927"))
    message = refused(sync, "import_metadata")
    assert message.startswith(
        "[version] the master's export is of version 9.1.0, the slave is of the older 8.0 20240927"
    )
    assert "update the slave" in message
    assert sync.record.dirty is None


def test_a_web_tool_that_is_another_application_is_said_so(sync: Sync, connect: Callable[..., None]) -> None:
    assert BASE_PATH.startswith("/webadmin")
    extra = {"scheduler_uri": sync.slave.uri, "base_path": "/somewhere/else"}
    connect(sync.slave, extra=extra)
    assert "Check host, port and base_path of the connection" in refused(sync, "guard")


# -- scope


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ({"projects": ["sales_*"]}, 'Project pattern "sales_*" matches no project. Projects on the server: default'),
        ({"jobs": ["nothing *"]}, 'Job pattern "nothing *" matches no job of the chosen projects'),
    ],
    ids=["projects", "jobs"],
)
def test_a_pattern_that_matches_nothing_is_said_so(sync: Sync, scope: dict[str, Any], message: str) -> None:
    said = refused(sync, "export_metadata", pair=scope)
    assert said.startswith(f"[scope_empty] {message}")
    assert "correct the pair and clear this task" in said


# -- what runs on the master


def test_a_job_outside_the_pairs_scope_holds_up_no_sync(sync: Sync) -> None:
    add_job(sync.master, "elsewhere", "long one")
    sync.master.scheduler.duration(600, "long one")
    act(sync.master, "start", "elsewhere / long one")
    sync.synced(pair={"projects": ["default", "sales"]})
    assert not enabled(sync.slave)
