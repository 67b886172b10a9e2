"""What a monitoring system receives from the tasks and the trigger of a pair, over real sockets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from denodo_demo.airflow import PROJECT
from denodo_demo.slowness import allow
from denodo_ha.measures import Sample
from denodo_ha.record import Phase
from denodo_scheduler import metrics
from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.sync import sync_dag
from denodo_scheduler.state.watch_store import WatchStore
from support.dag_runs import PairAirflow
from support.statsd import StatsdReceiver
from support.sync import Sync

SendTo = Callable[..., None]
TWO_PAIRS = """
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from denodo_ha.measures import Sample
from denodo_scheduler import metrics

stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
for epoch, pair in enumerate(("emea", "apac.1"), 1):
    metrics.send(pair, [Sample("epoch", epoch), Sample("active", True, "master"), Sample("events", 1, "sync")])
"""


@pytest.fixture
def airflow(sync: Sync) -> PairAirflow:
    chosen = sync.pair(snapshots=f"file://{sync.folder}", initialise="automatic")
    built = {"sync": sync_dag, "failover": failover_dag, "operations": operations_dag}
    return PairAirflow({kind: build(chosen) for kind, build in built.items()}, state=sync.state)


class TestStatsd:
    def test_a_pair_from_its_first_sync_to_a_pause(
        self, sync: Sync, airflow: PairAirflow, receiver: StatsdReceiver, send_to: SendTo
    ) -> None:
        send_to()
        began = datetime.now(UTC).timestamp()
        sync_run = airflow.run("sync")
        assert sync_run.ends["verify"].state == "success", sync_run.ends
        found = receiver.values()
        name = sync.pair().name
        jobs = len(sync.master.statuses())
        assert found[f"denodo_ha.active.{name}.master"] == 1
        assert found[f"denodo_ha.events.{name}.sync"] == 1
        assert found[f"denodo_ha.event_timestamp.{name}.sync"] >= began - 1
        assert found[f"denodo_ha.snapshot_timestamp.{name}"] >= began - 1
        assert 0 < found[f"denodo_ha.run_seconds.{name}.sync"] < 3600
        assert f"denodo_ha.exposure_seconds.{name}" in found

        airflow.run("failover")
        found = receiver.values()
        assert found[f"denodo_ha.verdict.{name}.up"] == 1
        assert found[f"denodo_ha.level.{name}"] == 0
        assert found[f"denodo_ha.look_timestamp.{name}"] >= began - 1
        assert found[f"denodo_ha.jobs.{name}.master"] == found[f"denodo_ha.jobs.{name}.slave"] == jobs
        assert found[f"denodo_ha.jobs_enabled.{name}.master"] > found[f"denodo_ha.jobs_enabled.{name}.slave"] == 0
        assert found[f"denodo_ha.probe_up.{name}.master"] == 1, "from the trigger"
        assert 0 < found[f"denodo_ha.probe_seconds.{name}.master"] < 60
        assert found[f"denodo_ha.probe_good_age_seconds.{name}"] == 0

        airflow.run("operations", operation="pause", reason="a test")
        found = receiver.values()
        assert (found[f"denodo_ha.paused.{name}"], found[f"denodo_ha.events.{name}.paused"]) == (1, 1)
        airflow.run("operations", operation="check")
        assert f"denodo_ha.check_level.{name}" in receiver.values()

    def test_the_rounds_of_a_watch_say_how_long_the_master_was_not_heard(
        self, sync: Sync, airflow: PairAirflow, receiver: StatsdReceiver, send_to: SendTo
    ) -> None:
        send_to()
        airflow.run("sync")
        airflow.run("failover")
        name = sync.pair().name
        watch = WatchStore(sync.state)
        last_alive = (datetime.now(UTC) - timedelta(seconds=100)).isoformat()
        watch.save(replace(watch.load(), last_alive=last_alive))
        for server in (sync.master, sync.slave):
            server.webtool.faults(
                {"kind": "status", "status": 500, "match": {"query": str(sync.master.scheduler.port)}}
            )
        run = airflow.begin("failover")
        run.task("ping_master")
        found = receiver.values()
        assert found[f"denodo_ha.probe_up.{name}.master"] == found[f"denodo_ha.probe_up.{name}.second"] == 0
        assert found[f"denodo_ha.probe_up.{name}.slave"] == 1
        assert 100 <= found[f"denodo_ha.probe_good_age_seconds.{name}"] < 1000
        assert found[f"denodo_ha.probe_timestamp.{name}"] > found[f"denodo_ha.probe_good_timestamp.{name}"]

    def test_two_pairs_do_not_overwrite_each_other(self, receiver: StatsdReceiver, send_to: SendTo) -> None:
        send_to()
        for epoch, pair in enumerate(("emea", "apac", "a.b", "a__b"), 1):
            metrics.send(
                pair, [Sample("epoch", epoch), Sample("phase", True, Phase.NORMAL), Sample("events", 1, "sync")]
            )
        found = receiver.values()
        assert found["denodo_ha.epoch.emea"] == 1
        assert found["denodo_ha.epoch.apac"] == 2
        assert sorted(value for name, value in found.items() if name.startswith("denodo_ha.epoch.")) == [1, 2, 3, 4]
        assert sum(name.startswith("denodo_ha.phase.") and name.endswith(".normal") for name in found) == 4
        assert all(len(name.split(".")) <= 4 for name in found), "a dot in a name would shift its parts"

    def test_labels_where_airflow_sends_them(self, receiver: StatsdReceiver, send_to: SendTo) -> None:
        send_to(statsd_influxdb_enabled="True")
        metrics.send("emea", [Sample("active", True, "master"), Sample("events", 1, "sync")])
        assert receiver.lines() == [
            "airflow.denodo_ha.active,pair=emea,server=master:1|g",
            "airflow.denodo_ha.events,pair=emea,kind=sync:1|c",
        ]

    def test_nothing_is_computed_where_metrics_are_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def samples() -> Iterator[Sample]:
            pytest.fail("computed")
            yield Sample("epoch", 1)

        metrics.send("emea", samples())

    def test_what_cannot_be_sent_fails_no_step(
        self, send_to: SendTo, caplog: pytest.LogCaptureFixture, receiver: StatsdReceiver
    ) -> None:
        send_to()

        def samples() -> Iterator[Sample]:
            yield Sample("epoch", 1)
            raise OSError("the record cannot be read")

        metrics.send("emea", samples())
        assert "The metrics of the pair emea could not be sent" in caplog.text
        assert receiver.values() == {"denodo_ha.epoch.emea": 1}


def test_opentelemetry_has_labels_and_gets_all_when_a_task_ends() -> None:
    """The process ends long before the interval is over in which metrics are exported."""
    with otlp() as (url, requests):
        env = {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
        }
        done = subprocess.run(
            [sys.executable, "-c", TWO_PAIRS], env={**os.environ, **env}, capture_output=True, timeout=allow(60)
        )
    assert done.returncode == 0, done.stderr
    found = points(requests)
    assert found["airflow.denodo_ha.epoch", "emea"] == ({"pair": "emea"}, 1)
    assert found["airflow.denodo_ha.epoch", "apac.1"] == ({"pair": "apac.1"}, 2)
    assert found["airflow.denodo_ha.active", "emea"] == ({"pair": "emea", "server": "master"}, 1)
    assert found["airflow.denodo_ha.events", "emea"] == ({"pair": "emea", "kind": "sync"}, 1)


@contextmanager
def otlp() -> Iterator[tuple[str, list[bytes]]]:
    """A receiver of OpenTelemetry's protocol over HTTP: its URL, and the bodies that it gets."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def points(bodies: list[bytes]) -> dict[tuple[str, str], tuple[dict[str, str], float]]:
    """Labels and last value by name and pair."""
    found = {}
    for body in bodies:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
                for point in (*metric.gauge.data_points, *metric.sum.data_points):
                    labels = {each.key: each.value.string_value for each in point.attributes}
                    found[metric.name, labels.get("pair", "")] = labels, point.as_int or point.as_double
    return found
