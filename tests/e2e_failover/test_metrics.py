"""What a monitoring system receives from the tasks and the triggerer of a real Airflow."""

from __future__ import annotations

import pytest

from denodo_demo.processes import wait_for
from e2e_failover.conftest import Everything
from support.failover_dag import PATIENCE, Story

pytestmark = pytest.mark.e2e
STORY = "night"


def test_tasks_and_triggerer_have_measured_each_pair_by_itself(everything: Everything, story: Story) -> None:
    epoch = story["master killed"].record["epoch"]
    by_triggerer, by_tasks = "denodo_ha.probe_timestamp", "denodo_ha.look_timestamp"
    wanted = {f"{name}.{pair}" for name in (by_triggerer, by_tasks) for pair in ("night", "calm")}
    wanted |= {"denodo_ha.events.night.failover", "denodo_ha.rto_seconds.night", "denodo_ha.epoch.night"}
    wait_for(lambda: wanted <= everything.metrics.values().keys(), PATIENCE, "the metrics of two pairs")
    found = everything.metrics.values()
    assert found["denodo_ha.epoch.night"] >= epoch == 2
    assert found["denodo_ha.events.night.failover"] >= 1
    assert found["denodo_ha.rto_seconds.night"] > 0
