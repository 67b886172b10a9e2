"""Airflow's REST API on a real port, as far as ``denodo-ha`` asks it, around pairs that a test makes up."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from denodo_ha.record import Record

Json = dict[str, Any]
DONE: Json = {
    ("verify", "return_value"): {"kind": "sync"},
    ("switch_over", "return_value"): {"kind": "switchover"},
    ("operate", "return_value"): {"what": "done"},
    ("decide", "judgement"): {"code": "healthy", "verdict": "up", "action": "nothing_to_do"},
}
"""What the tasks of runs leave that have done what they were to do."""

NOW = datetime.now(UTC)
"""When the pairs were looked at two minutes ago; the tests' clock stands there."""


class RestAirflow(ThreadingHTTPServer):
    """Answers as Airflow 3.3 does; each run takes one step of ``steps`` at each look at it.

    :ivar steps: the run's state and the states of its tasks, look by look; the last one stays.
    :ivar note: of a run that has ended. :ivar xcoms: by task and key.
    :ivar refuse: status and detail that requests are answered with from now on, by method and part of the path.
    :ivar lose_answers: so many answers to the start of a run are lost, though it is started.
    :ivar away: so many requests find nobody.
    """

    daemon_threads = True

    def __init__(self, certificate: Path | None = None, base_path: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base_path, self.tls = base_path, certificate is not None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.pairs: dict[str, Json] = {}
        self.paused: set[str] = set()
        self.gone: set[str] = set()
        self.runs: dict[str, Json] = {}
        self.steps: list[tuple[str, Json]] = [("success", {})]
        self.note: str | None = "done"
        self.xcoms: Json = dict(DONE)
        self.refuse: dict[tuple[str, str], tuple[int, str]] = {}
        self.lose_answers = self.away = 0
        self.requests: list[tuple[str, str, Any, str]] = []
        self.tokens: set[str] | None = None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http{'s' * self.tls}://127.0.0.1:{self.server_address[1]}{self.base_path}"

    def has(self, pair: str, record: Record | None, **watch: Any) -> None:
        epoch = record.epoch if record else 0
        seen = {"owner": "r", "verdict": "up", "code": "healthy", "settled": True, "epoch": epoch}
        moments = {"since": (NOW - timedelta(hours=1)).isoformat(), "at": (NOW - timedelta(minutes=2)).isoformat()}
        self.pairs[pair] = {"watch": seen | moments | watch, **({"record": record.to_json()} if record else {})}

    @property
    def started(self) -> list[Json]:
        """The runs, by what they were started with."""
        return [{"dag_id": run["dag_id"], "conf": run["conf"]} for run in self.runs.values()]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        for (of, part), (status, detail) in self.refuse.items():
            if of == method and part in path:
                return status, {"detail": detail}
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match parts:
            case ["monitor", "health"]:
                return 200, {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "triggerer")}
            case ["assets", *rest]:
                return 200, self._assets(rest, query)
            case ["dags"]:
                ids = [f"{query['dag_id_prefix_pattern']}{name}" for name in sorted(self.pairs)]
                first = int(query.get("offset", 0))
                return 200, {"dags": [self._dag(each) for each in ids][first : first + int(query["limit"])]}
            case ["dags", dag_id]:
                return 200, self._dag(dag_id)
            case ["dags", dag_id, "dagRuns"] if method == "POST":
                return self._start(dag_id, body)
            case ["dags", dag_id, "dagRuns"] | ["dags", dag_id, "dagRuns", "list"]:
                return 200, {"dag_runs": self._under_way(dag_id)}
            case ["dags", dag_id, "dagRuns", run_id, *rest]:
                return self._of_run(dag_id, run_id, rest)
        return 404, {"detail": "Not Found"}

    def _assets(self, rest: list[str], query: dict[str, str]) -> Json:
        names = sorted(self.pairs)
        if rest:
            stored = self.pairs[names[int(rest[0])]]
            return {"asset_state_store": [{"key": key, "value": value} for key, value in stored.items()]}
        rows = [{"id": number, "name": f"denodo-scheduler://{name}"} for number, name in enumerate(names)]
        rows += [{"id": 1000 + each["id"], "name": f"denodo-scheduler-look://{names[each['id']]}"} for each in rows]
        first = int(query.get("offset", 0))
        return {"assets": rows[first : first + int(query["limit"])]}

    def _dag(self, dag_id: str) -> Json:
        return {"dag_id": dag_id, "is_paused": dag_id in self.paused, "is_stale": dag_id in self.gone}

    def _under_way(self, dag_id: str) -> list[Json]:
        return [run for run in self.runs.values() if run["dag_id"] == dag_id and run["state"] == "running"]

    def _start(self, dag_id: str, body: Any) -> tuple[int, Any]:
        run_id = body["dag_run_id"]
        if run_id in self.runs:
            return 409, {"detail": {"reason": "Unique constraint violation"}}
        run = {"dag_id": dag_id, "dag_run_id": run_id, "conf": body["conf"], "state": "queued", "looks": 0}
        self.runs[run_id] = run
        if self.lose_answers:
            self.lose_answers -= 1
            return 0, None
        return 200, run

    def _of_run(self, dag_id: str, run_id: str, rest: list[str]) -> tuple[int, Any]:
        run = self.runs.get(run_id)
        if run is None or run["dag_id"] != dag_id:
            return 404, {"detail": "The DagRun was not found"}
        step = self.steps[min(run["looks"], len(self.steps) - 1)]
        match rest:
            case []:
                run["looks"] += 1
                run["state"], tasks = step
                run["tasks"] = [{"task_id": task, "state": state, "try_number": 1} for task, state in tasks.items()]
                return 200, {**run, "note": self.note if run["state"] in ("success", "failed") else None}
            case ["taskInstances"]:
                return 200, {"task_instances": run.get("tasks", [])}
            case ["taskInstances", task, "xcomEntries", key] if (task, key) in self.xcoms:
                return 200, {"value": self.xcoms[task, key]}
        return 404, {"detail": "XCom entry not found"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RestAirflow

    def _serve(self) -> None:
        airflow, parts = self.server, urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body, query = (
            json.loads(sent) if sent else None,
            {name: each[0] for name, each in parse_qs(parts.query).items()},
        )
        login = self.headers.get("Authorization", "")
        with airflow.lock:
            airflow.requests.append((self.command, parts.path, body, login))
            if airflow.away:
                airflow.away -= 1
                status, found = 0, None
            elif not parts.path.startswith(f"{airflow.base_path}/api/v2/"):
                status, found = 404, {"detail": "Not Found"}
            elif airflow.tokens is not None and login.removeprefix("Bearer ") not in airflow.tokens:
                status, found = 401, {"detail": "Token Expired"}
            else:
                path = parts.path.removeprefix(f"{airflow.base_path}/api/v2/")
                status, found = airflow.answer(self.command, f"/{path}", query, body)
        self.close_connection = True
        if not status:
            return
        content = json.dumps(found).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve


@contextmanager
def rest_airflow(certificate: Path | None = None, base_path: str = "") -> Iterator[RestAirflow]:
    """Such an Airflow, until the end of the block."""
    airflow = RestAirflow(certificate, base_path)
    thread = threading.Thread(target=airflow.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield airflow
    finally:
        airflow.shutdown()
        airflow.server_close()
        thread.join()
