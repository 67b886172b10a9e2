"""Sends the measures of a pair by Airflow's own metrics: StatsD, Datadog or OpenTelemetry, whichever is switched on.

Airflow has names with the thing in them for a StatsD without labels, and labels for the others. So it is here, but only
one of both is sent: without labels, two pairs would overwrite each other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from denodo_ha.measures import MEASURES, PREFIX, Kind, Sample, dotted, labels

log = logging.getLogger(__name__)


def send(pair: str, samples: Iterable[Sample]) -> None:
    """Send samples of a pair. It never fails; where metrics are off, the samples are not even computed."""
    try:
        labelled = _labelled()
        if labelled is None:
            return
        from airflow.sdk.observability import stats

        for sample in samples:
            name, tags = (f"{PREFIX}.{sample.name}", labels(pair, sample)) if labelled else (dotted(pair, sample), None)
            if MEASURES[sample.name].kind is Kind.COUNTER:
                stats.incr(name, int(sample.value), tags=tags)
            else:
                stats.gauge(name, +sample.value, tags=tags)  # a number, where it is a bool
    except Exception:
        log.warning("The metrics of the pair %s could not be sent", pair, exc_info=True)


def _labelled() -> bool | None:
    """Whether Airflow sends labels, in the order in which it looks for a receiver; None where it has none."""
    from airflow.sdk.configuration import conf

    def is_on(option: str, *, fallback: bool = False) -> bool:
        return bool(conf.getboolean("metrics", option, fallback=fallback))

    if is_on("statsd_datadog_enabled"):
        return is_on("statsd_datadog_metrics_tags", fallback=True)
    if is_on("statsd_on"):
        return is_on("statsd_influxdb_enabled")
    return True if is_on("otel_on") else None
