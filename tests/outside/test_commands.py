"""The commands: what they take, what they read of the environment, what they print, and how they end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from denodo_cli.cli import main as denodo_ha
from denodo_standin.cli import main as denodo_standin
from support.outside import DECISIONS, check_pinned

LOGIN = {"AIRFLOW_API_URL": "http://airflow.test", "AIRFLOW_USER": "duty", "AIRFLOW_PASSWORD": "s3cret"}


def at(minutes: float) -> str:
    """A moment so far from now; half a minute from where its age in whole minutes would be another."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def healthy() -> dict[str, Any]:
    """The record of a pair in order."""
    snapshot = {
        "id": "20260301T120000Z-ab",
        "taken": at(-12.5),
        "committed": at(-12),
        "imported": at(-12),
        "content_hash": "c",
        "manifest_hash": "m",
        "jobs": 60,
        "enabled": 50,
    }
    servers = {"master": "http://web-1:9090 //a:8000", "slave": "http://web-2:9090 //b:8000"}
    return {"schema_number": 2, "epoch": 3, **servers, "snapshot": snapshot}


def records() -> dict[str, Any]:
    record = healthy()
    operation = {
        "kind": "failover",
        "id": "scheduled__1/ab",
        "target": "http://web-2:9090 //b:8000",
        "step": "enabling",
        "started": at(-1.5),
        "lease_until": at(1.5),
        "plan": "20260301T120000Z-ab",
    }
    promotion = {"id": "x/1", "kind": "failover", "at": at(-30.5), "plan": "20260301T120000Z-ab", "complete": False}
    return {
        "all is well": record,
        "no snapshot": {**record, "snapshot": None},
        "a failover under way": {**record, "phase": "failing_over", "operation": operation},
        "failed over": {
            **record,
            "phase": "failed_over",
            "active": "slave",
            "last_promotion": promotion,
            "cool_down_until": at(29.5),
            "acknowledged": False,
            "dirty": {"since": at(-4.5), "reason": "handed back"},
        },
        "halted": {
            **record,
            "phase": "halted",
            "halted": {"since": at(-3.5), "code": "by_hand", "reason": "a move", "by": "ana", "phase": "normal"},
        },
        "paused, and asked for an approval": {
            **record,
            "paused": {"since": at(-7.5), "reason": "upgrade", "by": "ana", "until": at(200.5)},
            "approval": {"requested_by": "scheduled__1", "until": at(59.5)},
        },
        "no record": None,
        "a damaged record": {"phase": "nonsense"},
        "a record of a newer version": {"schema_number": 99},
    }


EVENTS = [
    {
        "id": "a",
        "kind": "failover",
        "pair": "default",
        "epoch": 4,
        "actor": "schedule",
        "reason": "two\nlines",
        "at": "2026-03-01T12:00:00+00:00",
        "operation": "op1",
        "before": {"phase": "normal", "active": "master"},
        "after": {"phase": "failed_over", "active": "slave", "complete": True},
    },
    {"id": "b", "kind": "acknowledged", "epoch": 4, "actor": "ana", "reason": "", "at": "2026-03-01T13:00:00+00:00"},
]


class ScriptedAirflow:
    """Answers as Airflow's REST API does where there is a pair ``default``."""

    def __init__(self) -> None:
        self.logins: list[str] = []
        self.healthy = True
        self.has(healthy())

    def has(self, record: Any, *, code: str = "healthy", verdict: str = "up", minutes: float = -2.5) -> None:
        """What the state store of the pair's asset holds."""
        moment = at(minutes)
        watch = {"owner": "r", "verdict": verdict, "code": code, "settled": True, "since": moment, "at": moment}
        self.state = {"watch": watch} if record is None else {"watch": watch, "record": record}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/auth/token":
            self.logins.append(request.content.decode())
            return httpx.Response(201, json={"access_token": "from the login"})
        if "authorization" not in request.headers and not path.endswith("/health"):
            return httpx.Response(401, json={})
        self.logins.append(request.headers.get("authorization", ""))
        return httpx.Response(200, json=self._answer(path))

    def _answer(self, path: str) -> Any:
        if path.endswith("/monitor/health"):
            status = "healthy" if self.healthy else "unhealthy"
            return {part: {"status": status} for part in ("metadatabase", "scheduler", "triggerer")}
        if path.endswith("/dagRuns"):
            return {"dag_runs": [], "total_entries": 0}
        if path.endswith("/assets/events"):
            rows = [{"id": number, "timestamp": event["at"], "extra": event} for number, event in enumerate(EVENTS)]
            return {"asset_events": rows[::-1], "total_entries": len(rows)}
        if path.endswith("/state-store"):
            return {"asset_state_store": [{"key": key, "value": value} for key, value in self.state.items()]}
        if path.endswith("/assets"):
            return {"assets": [{"id": 7, "name": "denodo-scheduler://default", "uri": "denodo-scheduler://default/"}]}
        return {"is_paused": False, "is_stale": False}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> ScriptedAirflow:
    scripted, client = ScriptedAirflow(), httpx.Client
    monkeypatch.setattr(
        httpx, "Client", lambda **given: client(**{**given, "transport": httpx.MockTransport(scripted)})
    )
    for name in ("AIRFLOW_TOKEN", *LOGIN):
        monkeypatch.delenv(name, raising=False)
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    return scripted


class Environment(dict[str, str]):
    """Notes which variables of ours are asked for."""

    def __init__(self, real: MutableMapping[str, str]) -> None:
        super().__init__(real)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        self._note(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> str:
        self._note(name)
        return super().__getitem__(name)

    def _note(self, name: str) -> None:
        if name.startswith(("AIRFLOW_", "DENODO_")):
            self.asked.add(name)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    watched = Environment(os.environ)
    monkeypatch.setattr(os, "environ", watched)
    return watched


def called(capsys: pytest.CaptureFixture[str], main: Any, *words: str) -> dict[str, Any]:
    """Exit code and output, with moments and ages in seconds blotted out."""
    try:
        code = main(list(words))
    except SystemExit as ended:
        code = 1 if isinstance(ended.code, str) else ended.code
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    plain = (re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ", "<time>", line) for line in lines)
    return {"exit code": code or 0, "output": [re.sub(r"=\d+s;", "=<age>s;", line) for line in plain]}


def usages(capsys: pytest.CaptureFixture[str], main: Any) -> Iterator[tuple[str, str]]:
    """How the command and each of its subcommands is called, and the defaults that it tells of."""
    helped = usage(capsys, main)
    yield "", helped["usage"]
    for command in re.findall(r"^    ([a-z-]+)(?: |$)", helped["text"], re.MULTILINE):
        told = usage(capsys, main, command)
        defaults = re.findall(r"default: ([^)\n]+)", told["text"])
        yield command, " ".join([told["usage"], *(["# defaults:", ", ".join(defaults)] if defaults else [])])


def usage(capsys: pytest.CaptureFixture[str], main: Any, *words: str) -> dict[str, str]:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    text = capsys.readouterr().out
    said, _, rest = text.partition("\n\n")
    return {"usage": " ".join(said.removeprefix("usage: ").split()), "text": rest}


def test_arguments(
    airflow: ScriptedAirflow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.delenv("AIRFLOW_API_URL")
    check_pinned(
        "commands",
        {
            "denodo-ha": dict(usages(capsys, denodo_ha)),
            "denodo-standin": dict(usages(capsys, denodo_standin)),
        },
    )


def test_status_and_history(
    airflow: ScriptedAirflow, capsys: pytest.CaptureFixture[str], environment: Environment
) -> None:
    said = {}
    for name, record in records().items():
        airflow.has(record)
        said[name] = called(capsys, denodo_ha, "status", "default")
    airflow.has(healthy(), minutes=-61.5)
    said["nobody has looked for an hour"] = called(capsys, denodo_ha, "status", "default")
    said["the same, and that is allowed"] = called(capsys, denodo_ha, "status", "default", "--max-age", "2h")
    airflow.healthy = False
    said["Airflow is ill"] = called(capsys, denodo_ha, "status", "default")
    check_pinned(
        "output",
        {
            "status": said,
            "history": called(capsys, denodo_ha, "history", "default"),
            "history --json": json.loads(
                "\n".join(called(capsys, denodo_ha, "history", "default", "--json")["output"])
            ),
            "an unknown pair": called(capsys, denodo_ha, "status", "other"),
            "no such option": called(capsys, denodo_ha, "status", "default", "--nonsense")["exit code"],
            "variables of denodo-ha": sorted(environment.asked),
        },
    )


def test_variables_of_the_standin(capsys: pytest.CaptureFixture[str], environment: Environment) -> None:
    said = called(capsys, denodo_standin, "generate", "--jobs", "1", "--projects", "1", "--server", "//127.0.0.1:1")
    found = {"exit code without a server": said["exit code"], "variables": sorted(environment.asked)}
    check_pinned("standin", found)


def test_exit_codes(airflow: ScriptedAirflow, capsys: pytest.CaptureFixture[str]) -> None:
    """By what the last look led to, while the master was heard and while it was not."""
    found = {}
    for code in DECISIONS:
        for verdict in ("up", "down"):
            airflow.has(healthy(), code=code, verdict=verdict)
            found[f"{code}, {verdict}"] = called(capsys, denodo_ha, "status", "default")["exit code"]
    check_pinned("exit_codes", found)
