"""``denodo-ha`` against a real Airflow: what it shows and starts, with a token, over TLS, and without rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from denodo_cli.cli import main
from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import FINISHED
from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from denodo_ha.status import Level
from support.certificates import certificate
from support.forwarding import address
from support.logins import token
from support.sync import untouched
from support.sync_dag import History

pytestmark = pytest.mark.e2e

SYNC, OPERATIONS = "denodo_scheduler_sync__default", "denodo_scheduler_operations__default"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def _unpaused(airflow: LocalAirflow) -> Iterator[None]:
    for dag_id in (SYNC, OPERATIONS):
        airflow.wait_for_dag(dag_id)
        airflow.api.set_paused(dag_id, False)
    yield
    for dag_id in (SYNC, OPERATIONS):
        airflow.api.set_paused(dag_id, True)
        for run in airflow.api.dag_runs(dag_id):
            if run["state"] not in FINISHED:
                airflow.api.set_run_state(dag_id, run["dag_run_id"], "failed")


@pytest.fixture
def run(airflow: LocalAirflow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, by the admin's token; exit code and output."""
    monkeypatch.setenv("AIRFLOW_API_URL", airflow.url)
    monkeypatch.setenv("AIRFLOW_TOKEN", token(airflow, airflow.user))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AIRFLOW_USER", "AIRFLOW_PASSWORD", "AIRFLOW_CA_FILE"):
        monkeypatch.delenv(name, raising=False)

    def call(command: str, *words: str) -> tuple[int, str]:
        code = main([command, *words, "--timeout", f"{allow(30):.0f}"])
        return code, capsys.readouterr().out

    return call


@pytest.mark.usefixtures("_unpaused")
def test_it_shows_and_operates(airflow: LocalAirflow, pair: StandinPair, history: History, run: Run) -> None:
    """Nothing watches the pair, so that its status is critical throughout."""
    record = history.dag.record
    code, out = run("list", "--json")
    rows = {row["pair"]: row for row in json.loads(out)}
    assert (code, rows["default"]["epoch"], rows["default"]["active"]) == (Level.CRITICAL, 1, "master")
    assert len(rows) == 7
    code, out = run("status", "default", "--json")
    assert {**json.loads(out), "at": 0, "perfdata": 0} == {**rows["default"], "at": 0, "perfdata": 0}

    def paused() -> Any:
        return (record() or {})["paused"]

    with untouched(pair.master, pair.slave):
        code, out = run("pause", "default", "--reason", "a test", "--until", "2h")
        assert (code, out.partition(" - ")[0], paused()["reason"]) == (Level.OK, "OK", "a test"), out
        assert run("status", "default")[1].count("automation is paused: a test") == 1
        code, out = run("resume", "default", "--reason", "a test")
        assert (code, paused()) == (Level.OK, None), out
        code, out = run("sync", "default", "--dry-run")
        assert (code, out.partition(":")[0]) == (Level.WARNING, "WARNING - pair default"), out
    before = (record() or {})["snapshot"]["id"]
    code, out = run("sync", "default", "--reason", "by the command")
    assert (code, out.partition(": ")[0]) == (Level.OK, "OK - pair default"), out
    assert (record() or {})["snapshot"]["id"] > before
    (begun, *_) = airflow.api.dag_runs(SYNC)
    assert (begun["conf"], begun["triggering_user_name"]) == ({"reason": "by the command"}, airflow.user)


@pytest.mark.usefixtures("_unpaused")
def test_a_user_without_rights(airflow: LocalAirflow, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_TOKEN", token(airflow, "viewer"))
    runs = len(airflow.api.dag_runs(SYNC))
    assert len(run("list")[1].splitlines()) == 7
    code, out = run("sync", "default")
    assert (code, len(out.splitlines())) == (Level.UNKNOWN, 1)
    assert f"does not let this user start runs of {SYNC} (403). Next: have an administrator give" in out
    assert len(airflow.api.dag_runs(SYNC)) == runs


def test_tokens_that_are_no_longer_or_never_were_valid(
    airflow: LocalAirflow, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    valid = jwt.decode(token(airflow, airflow.user), options={"verify_signature": False})
    past = {**valid, "exp": int((datetime.now(UTC) - timedelta(hours=1)).timestamp())}
    expired = jwt.encode(past, airflow._secrets["jwt_secret"], algorithm="HS512")
    for each, said in ((expired, "Token Expired"), ("garbage", "Invalid JWT")):
        monkeypatch.setenv("AIRFLOW_TOKEN", each)
        for words in (("status", "default"), ("list",), ("pause", "default", "--reason", "x")):
            code, out = run(*words)
            assert (code, len(out.splitlines())) == (Level.UNKNOWN, 1)
            assert "refuses the login" in out
            assert said in out
            assert "Next: make a new token" in out


def test_tls_with_a_private_ca(
    airflow: LocalAirflow, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path / "own.pem", names=["127.0.0.1"])
    with address(httpx.URL(airflow.url).port or 0, certificate=pem) as secure:
        monkeypatch.setenv("AIRFLOW_API_URL", f"https://127.0.0.1:{secure.port}")
        code, out = run("list")
        assert code == Level.UNKNOWN
        assert "name the CA of Airflow's certificate" in out
        code, out = run("list", "--ca-file", str(pem))
        assert len(out.splitlines()) == 7
        monkeypatch.setenv("AIRFLOW_CA_FILE", str(pem))
        assert "pair default" in run("status", "default")[1]
