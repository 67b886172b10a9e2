"""A pair whose tasks send metrics to a receiver of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from support.pair_fixtures import _no_long_pauses, connect, sync
from support.statsd import StatsdReceiver

__all__ = ["_no_long_pauses", "connect", "sync"]


@pytest.fixture
def receiver() -> Iterator[StatsdReceiver]:
    with StatsdReceiver() as receiving:
        yield receiving


@pytest.fixture
def send_to(receiver: StatsdReceiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Have Airflow's metrics go to the receiver from now on, with further options, as its task runner begins them."""

    def begin(**options: str) -> None:
        for name, value in receiver.env.items():
            monkeypatch.setenv(name, value)
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__{name.upper()}", value)
        stats.initialize(factory=get_stats_factory(), export_legacy_names=True)

    yield begin
    monkeypatch.undo()
    stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
