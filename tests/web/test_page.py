"""The page's answers over the real API server: who may see what, what is asked of the database, what stays the same."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow import plugins_manager, settings
from airflow.api_fastapi.app import get_auth_manager
from airflow.models.asset import AssetEvent, AssetModel
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session
from starlette.routing import Mount

from denodo_ha.pairs import Pair
from denodo_ha.record import Record, SnapshotRef
from denodo_scheduler.plugin import DenodoSchedulerPlugin
from denodo_scheduler.web import reading
from denodo_scheduler.web.app import HEADERS, PageApp, build
from support import page
from support.databases import postgresql, postgresql_folder

SYNC = {"id": "s", "kind": "sync", "at": "2026-01-01T00:00:00+00:00", "actor": "schedule", "reason": ""}
PATHS = (
    "/api/pairs",
    "/api/pairs/emea",
    "/api/pairs/emea/events",
    "/api/pairs/emea/events?limit=odd",
    "/api/pairs/emea/events/1",
    "/api/pairs/none",
    "/page/index.html",
    "/page/none.js",
    "/docs/none.html",
    "/none",
    "/openapi.json",
)


def looked(**more: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    return {"verdict": "up", "code": "healthy", "at": at, "since": at, "epoch": 1, "settled": True, **more}


def get(person: TestClient, path: str, **headers: str) -> Any:
    return person.get(f"{page.Airflow.url}{path}", headers=headers)


def only(monkeypatch: pytest.MonkeyPatch, *pairs: str, starts: bool = True) -> None:
    """Let people see the DAGs of these pairs only, and start runs of them or of none."""
    manager, ask = get_auth_manager(), type(get_auth_manager()).is_authorized_dag

    def may(*, method: str, details: Any = None, **rest: Any) -> bool:
        mine = details is not None and any(details.id.endswith(f"__{pair}") for pair in pairs)
        return mine and (starts or method == "GET") and ask(manager, method=method, details=details, **rest)

    monkeypatch.setattr(manager, "is_authorized_dag", may)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_login_everything_is_refused(airflow: page.Airflow, path: str) -> None:
    page.pair("emea", Record())
    for method in ("GET", "POST", "HEAD", "DELETE"):
        answer = airflow.nobody().request(method, f"{airflow.url}{path}")
        assert answer.status_code == 401
        assert "emea" not in answer.text
        assert all(answer.headers[name] == value for name, value in HEADERS.items())
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/docs/runbooks.html?a=1&b=%22%3E", "/page/index.html", "/none"])
def test_a_browser_without_a_login_is_led_to_it_and_back(airflow: page.Airflow, path: str) -> None:
    answer = get(airflow.nobody(), path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert answer.headers["cache-control"] == "no-store"
    [login] = re.findall(r'href="([^"]+)"', answer.text)
    asked = urlsplit(unescape(login))
    assert asked.path == "/api/v2/auth/login"
    assert parse_qs(asked.query) == {"next": [airflow.url + path]}
    led = airflow.nobody().get(unescape(login), follow_redirects=False)
    assert led.status_code == 307, led.text
    for accept in ("*/*", "application/json"):
        assert get(airflow.nobody(), path, Accept=accept).json() == {"detail": "Not authenticated"}


def test_the_way_to_the_login_begins_with_the_path_that_airflow_is_served_at(airflow: page.Airflow) -> None:
    person = TestClient(airflow.app, root_path="/airflow", headers={"Accept": "text/html"})
    answer = person.get("/airflow/denodo-ha/docs/on-duty.html")
    assert answer.status_code == 401
    assert 'href="/airflow/api/v2/auth/login?next=%2Fairflow%2Fdenodo-ha%2Fdocs%2Fon-duty.html"' in answer.text


def test_every_route_asks_for_the_login() -> None:
    """Also one that somebody adds without thinking of it."""
    app = build()
    assert [each.dependency.__name__ for each in app.router.dependencies] == ["user"]
    assert not any(isinstance(route, Mount) for route in app.routes)  # what is mounted would be public


def test_nothing_can_be_changed(airflow: page.Airflow) -> None:
    page.pair("emea", Record())
    methods = {
        method for route in build().routes for method in getattr(route, "methods", ()) if "{path" not in route.path
    }
    assert methods == {"GET"}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = airflow.person("ADMIN").request(method, f"{airflow.url}/api/pairs/emea")
        assert answer.status_code == 404


@pytest.mark.parametrize("role", ["ADMIN", "OP", "USER", "VIEWER"])
def test_who_may_read_the_dags_sees_the_pair_and_who_may_run_them_may_act(airflow: page.Airflow, role: str) -> None:
    page.pair("emea", Record(), looked(), [SYNC])
    person = airflow.person(role)
    assert [row["pair"] for row in get(person, "/api/pairs").json()["pairs"]] == ["emea"]
    found = get(person, "/api/pairs/emea").json()
    assert {each["allowed"] for each in found["actions"]} == {role != "VIEWER"}
    assert bool(found["actions"][0]["why_not"]) is (role == "VIEWER")


def test_who_may_read_nothing_sees_no_pair(airflow: page.Airflow) -> None:
    numbers = page.pair("emea", Record(), looked(), [SYNC])
    page.import_error("PairsError: pairs.emea: wrong")
    nobody = airflow.person(None)
    answer = get(nobody, "/api/pairs").json()
    assert (answer["pairs"], answer["import_error"]) == ([], None)
    unknown = get(nobody, "/api/pairs/unknown")
    for path in ("", "/events", f"/events/{numbers[0]}"):
        refused = get(nobody, f"/api/pairs/emea{path}")
        assert refused.status_code == 404
        assert refused.json() == unknown.json()


def test_a_person_sees_only_their_own_pairs(airflow: page.Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    page.pair("emea", Record(), looked(), [SYNC])
    theirs = page.pair("apac", Record(), looked(), [SYNC], stale=True)
    mine = page.pair("mine", Record(), looked(), [SYNC])
    page.import_error("Traceback\nPairsError: 2 mistakes\nx:1: pairs.apac: wrong\nx:2: pairs.emea.watch: wrong")
    everything = get(airflow.person("OP"), "/api/pairs").json()
    assert "pairs.apac: wrong" in everything["import_error"]
    assert "Traceback" not in everything["import_error"]
    assert "pairs.apac: wrong" in everything["pairs"][0]["what"]
    only(monkeypatch, "emea", "mine")
    person = airflow.person("OP")
    listed = get(person, "/api/pairs")
    assert "apac" not in listed.text
    assert sorted(row["pair"] for row in listed.json()["pairs"]) == ["emea", "mine"]
    assert get(person, "/api/pairs/apac").status_code == 404
    assert get(person, f"/api/pairs/apac/events/{theirs[0]}").status_code == 404
    assert get(person, f"/api/pairs/mine/events/{theirs[0]}").status_code == 404, "an event of another pair"
    assert get(person, f"/api/pairs/mine/events/{mine[0]}").status_code == 200


def test_a_right_to_see_is_no_right_to_act(airflow: page.Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    page.pair("emea", Record(), looked())
    only(monkeypatch, "emea", starts=False)
    assert not any(each["allowed"] for each in get(airflow.person("OP"), "/api/pairs/emea").json()["actions"])


def test_import_errors_are_for_those_who_may_read_them(airflow: page.Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    page.pair("emea", Record(), looked(), stale=True)
    page.import_error("PairsError: x:1: pairs.emea: wrong")
    monkeypatch.setattr(get_auth_manager(), "is_authorized_view", lambda **_: False)
    found = get(airflow.person("OP"), "/api/pairs").json()
    assert found["import_error"] is None
    assert "pairs.emea: wrong" not in found["pairs"][0]["what"]
    assert found["pairs"][0]["level"] == "CRITICAL"


def test_a_pair_that_airflow_does_not_find_any_more_is_critical(airflow: page.Airflow) -> None:
    page.pair("emea", Record(), looked(), stale=True)
    [row] = get(airflow.person("OP"), "/api/pairs").json()["pairs"]
    assert row["level"] == "CRITICAL"
    assert row["what"] == "monitor stopped: Airflow does not find the failover DAG"
    assert "airflow dags delete denodo_scheduler_failover__emea" in row["next_step"]


def test_an_answer_that_has_not_changed_is_not_sent_again(airflow: page.Airflow) -> None:
    page.pair("emea", Record(), looked(), [SYNC])
    person = airflow.person("OP")
    for path in ("/api/pairs", "/api/pairs/emea", "/api/pairs/emea/events"):
        first = get(person, path)
        again = get(person, path, **{"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert all(again.headers[name] == value for name, value in HEADERS.items())
        assert get(person, path, **{"If-None-Match": '"other"'}).status_code == 200
    tags = {path: get(person, path).headers["etag"] for path in ("/api/pairs", "/api/pairs/emea/events")}
    page.clear()
    page.healthy()
    page.pair("emea", Record(), looked(), [SYNC, {**SYNC, "id": "t"}])
    for path, tag in tags.items():
        assert get(person, path, **{"If-None-Match": tag}).status_code == 200


def test_an_answer_has_the_same_tag_after_a_restart(airflow: page.Airflow) -> None:
    page.pair("emea", Record(), looked(), [SYNC])
    person = airflow.person("OP")
    tag = get(person, "/api/pairs").headers["etag"]
    mount = next(route for route in airflow.app.routes if getattr(route, "path", "") == airflow.url)
    mount.app._app = None
    assert get(person, "/api/pairs", **{"If-None-Match": tag}).status_code == 304


def test_a_hundred_pairs_take_as_many_queries_as_one(airflow: page.Airflow) -> None:
    person, counts = airflow.person("OP"), []
    for number in range(100):
        page.pair(f"p{number:03}", Record(), looked(), [SYNC])
        if number in (0, 99):
            with page.counted_queries() as said:
                found = get(person, "/api/pairs").json()["pairs"]
            assert len(found) == number + 1
            assert all(row["last_event"]["kind"] == "sync" for row in found)
            counts.append(len(said))
    assert counts[0] == counts[1] <= 15


def test_one_pair_is_told_in_the_words_of_the_contract(airflow: page.Airflow) -> None:
    now = datetime.now(UTC)
    snapshot = SnapshotRef(
        id="s", taken=now, committed=now, imported=now, content_hash="c", manifest_hash="m", jobs=9, enabled=5
    )
    paths = {"master": {"said": "alive", "what": "it answers", "at": now.isoformat(), "seconds": 0.1}}
    initialised = {"id": "i", "kind": "initialised", "actor": "anna", "reason": "begin", "after": {"active": "master"}}
    watch = looked(jobs={"master": [5, 9], "slave": [0, 9]}, paths=paths, oldest_snapshot=7200)
    page.pair("emea", Record(snapshot=snapshot, master="m:8000"), watch, [initialised, SYNC])
    page.running(Pair(name="emea").dag_id_sync, "manual__1")
    found = get(airflow.person("OP"), "/api/pairs/emea").json()
    assert set(found) >= {
        "at", "pair", "level", "what", "next_step", "active", "phase", "epoch", "verdict", "looked", "enabled",
        "snapshot", "pending", "doubts", "paused", "last_event", "since", "because", "story", "findings", "servers",
        "paths", "sync", "operation", "halted", "acknowledged", "check", "runs", "actions", "links",
    }  # fmt: skip
    assert (found["active"], found["phase"], found["epoch"], found["verdict"]) == ("master", "normal", 1, "up")
    assert found["enabled"] == {"master": [5, 9], "slave": [0, 9]}
    assert found["because"] == "an initialisation by anna: begin"
    assert found["servers"]["master"] == {
        "connection": "denodo_scheduler_master", "address": "m:8000", "role": "active", "enabled": 5, "jobs": 9,
        "read": found["looked"],
    }  # fmt: skip
    assert [(each["id"], each["from"], each["to"], each["said"]) for each in found["paths"]] == [
        ("master", "airflow", "master", "alive"),
        ("second", "slave", "master", None),
        ("slave", "airflow", "slave", None),
    ]
    assert found["sync"]["state"] == "running"
    assert found["snapshot"]["limit"] == 7200
    assert [(run["run_id"], run["url"]) for run in found["runs"]] == [
        ("manual__1", "dags/denodo_scheduler_sync__emea/runs/manual__1")
    ]
    assert set(found["actions"][0]) >= {"id", "title", "what", "url", "allowed", "why_not", "group"}


def test_the_history_is_paged_by_number(airflow: page.Airflow) -> None:
    numbers = page.pair("emea", Record(), looked(), [{**SYNC, "id": str(n)} for n in range(5)])
    person = airflow.person("VIEWER")
    first = get(person, "/api/pairs/emea/events?limit=2").json()
    assert ([each["n"] for each in first["events"]], first["more"]) == (numbers[:-3:-1], True)
    rest = get(person, f"/api/pairs/emea/events?after={numbers[2]}").json()
    assert ([each["n"] for each in rest["events"]], rest["more"]) == (numbers[:2:-1], False)
    one = get(person, f"/api/pairs/emea/events/{numbers[0]}").json()
    assert one["event"] == {**SYNC, "id": "0"}
    assert one["text"]
    assert all(len(each) == 2 for each in one["facts"])
    assert get(person, "/api/pairs/emea/events?limit=0").status_code == 422


def test_two_thousand_events_are_small(airflow: page.Airflow) -> None:
    text, names = "a sentence of usual length about what has happened to the pair " * 2, ["P/" + "j" * 60] * 200
    events = [{**SYNC, "id": str(n), "text": text, "missed": names} for n in range(2000)]
    page.pair("emea", Record(), looked(), events)
    answer = get(airflow.person("VIEWER"), "/api/pairs/emea/events")
    assert len(answer.json()["events"]) == 2000
    assert len(answer.content) < 1_000_000


def test_the_events_of_a_pair_are_found_by_the_index_of_its_asset(airflow: page.Airflow) -> None:
    page.pair("emea", Record(), looked(), [SYNC])
    person, plans = airflow.person("VIEWER"), []

    def explain(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "asset_event" in statement:
            plan = connection.connection.dbapi_connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.append("; ".join(row[3] for row in plan))

    event.listen(settings.engine, "before_cursor_execute", explain)
    try:
        for path in ("", "/emea", "/emea/events?limit=5"):
            assert get(person, f"/api/pairs{path}").status_code == 200
    finally:
        event.remove(settings.engine, "before_cursor_execute", explain)
    assert len(plans) == 5
    for plan in plans:
        assert "idx_asset_id_timestamp (asset_id=?)" in plan
        assert "SCAN asset_event" not in plan
        assert "TEMP B-TREE" not in plan, "the newest ones are read, not all of them sorted"


def test_odd_names_and_texts_come_as_they_are(airflow: page.Airflow) -> None:
    odd = "<script>alert(1)</script> \u202eabc \ud800" + "x" * 300
    name = "n&<b>.v2"
    [number] = page.pair(name, Record(), looked(), [{**SYNC, "reason": odd}])
    person = airflow.person("VIEWER")
    path = "/api/pairs/n%26%3Cb%3E.v2"
    assert get(person, path).json()["pair"] == name
    answer = get(person, f"{path}/events/{number}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["event"]["reason"] == odd.replace("\ud800", "?")
    assert get(person, f"{path}/events").json()["events"][0]["why"].startswith("<script>")


@pytest.mark.parametrize("state", ["odd", "[1]", '{"schema_number": 99}', "{", '"x"'])
def test_damaged_entries_are_told(airflow: page.Airflow, state: str) -> None:
    page.pair("emea", state, state, [{"kind": ["odd"], "at": 7}], check=state)  # type: ignore[arg-type]
    person = airflow.person("VIEWER")
    [row] = get(person, "/api/pairs").json()["pairs"]
    assert row["level"] in ("CRITICAL", "UNKNOWN")
    assert get(person, "/api/pairs/emea").json()["story"]["now"]
    assert get(person, "/api/pairs/emea/events").status_code == 200


def test_damaged_events_are_listed_and_what_nobody_can_have_is_not_found(airflow: page.Airflow) -> None:
    odd = {"kind": "failover", "id": ["x"], "at": "0001-01-01T00:00:00+23:00", "seconds": 10**400}
    numbers = page.pair("emea", Record(), looked(), [odd, {**odd, "at": "9999-12-31T23:59:59-23:00", "seconds": 1e300}])
    person = airflow.person("VIEWER")
    listed = get(person, "/api/pairs/emea/events").json()["events"]
    assert [each["n"] for each in listed] == [numbers[1]], "they have the same id"
    assert listed[0]["at"] > "2026"
    assert listed[0]["seconds"] is None
    assert get(person, "/api/pairs/emea").status_code == get(person, "/api/pairs").status_code == 200
    assert get(person, f"/api/pairs/emea/events/{10**30}").status_code == 422
    assert get(person, f"/api/pairs/emea/events?after={10**30}").status_code == 422
    for name in ("a%00b", "a%0Ab", "%ff"):
        assert get(person, f"/api/pairs/{name}").status_code == 404


@pytest.mark.skipif(not postgresql_folder(), reason="PostgreSQL is not installed")
def test_on_postgresql_an_event_with_a_nul_hides_no_change() -> None:
    change = {"kind": "switchover", "what": "a\0b", "half": "\ud800"}
    with postgresql() as server:
        url = server.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql:", "postgresql+psycopg2:")
        engine = create_engine(url)
        for model in (AssetModel, AssetEvent):
            model.__table__.create(engine)
        with Session(engine) as session:
            asset = AssetModel(name=Pair(name="emea").asset_uri, uri="u", group="g")
            session.add(asset)
            session.flush()
            others = [{**SYNC, "what": "\0"}, {**SYNC, "inside": {"kind": "failover"}}]
            session.add_all([page.event_of(asset.id, "emea", each) for each in (change, *others)])
            session.commit()
            found = reading._change(session, "emea")
        assert found is not None
        assert found.extra == change
        engine.dispose()


def test_a_file_of_the_page_has_a_tag_and_nothing_else_is_served(
    airflow: page.Airflow, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / ".hidden").write_text("x")
    monkeypatch.setattr("denodo_scheduler.web.files.STATIC", tmp_path)
    person = airflow.person(None)
    answer = get(person, "/page/index.html")
    assert (answer.status_code, answer.text) == (200, "<!doctype html>")
    assert answer.headers["content-type"].startswith("text/html")
    assert get(person, "/page/index.html", **{"If-None-Match": answer.headers["etag"]}).status_code == 304
    for name in (".hidden", "..%2Fapp.py", "%2e%2e/app.py", "none.js", ""):
        assert get(person, f"/page/{name}").status_code == 404


def test_the_plugin_costs_the_other_components_no_import() -> None:
    code = (
        "import sys, denodo_scheduler.web.app as app; app.PageApp(); "
        "sys.exit(any(name.split('.')[0] in ('fastapi', 'airflow', 'denodo_ha') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_the_plugin_registers() -> None:
    [app] = DenodoSchedulerPlugin.fastapi_apps
    assert isinstance(app["app"], PageApp)
    assert app["url_prefix"] == "/denodo-ha"
    shown = [view for view in plugins_manager._get_ui_plugins()[0] if "denodo-ha/" in view["href"]]
    views = [(view["destination"], view["url_route"], view["href"]) for view in shown]
    assert views == [
        ("nav", "denodo-pairs", "denodo-ha/page/index.html"),
        ("dag", "denodo-pair", "denodo-ha/page/index.html?dag_id={DAG_ID}"),
        ("dag_run", "denodo-pair-run", "denodo-ha/page/index.html?dag_id={DAG_ID}"),
    ]
