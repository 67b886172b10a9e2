"""Judge whether a pair could change its active server now: one finding of each check, the worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.durations import age_of
from denodo_ha.pairs import Pair
from denodo_ha.readiness.facts import NotReadError, ReadyFacts
from denodo_ha.readiness.findings import Checked, Readiness, Said, by_severity, unknown
from denodo_ha.readiness.servers import OF_SERVERS
from denodo_ha.readiness.standby import OF_STANDBY
from denodo_ha.status import Level

CHECKS: Mapping[str, Callable[[ReadyFacts], Said]] = {**OF_SERVERS, **OF_STANDBY}
"""All checks by their names."""


def judge(facts: ReadyFacts) -> Readiness:
    """Return one finding of each check; where a fact could not be read, that it is not known."""
    findings = [Checked(code=code, **_said(code, check, facts)._asdict()) for code, check in CHECKS.items()]
    return Readiness(facts.now, tuple(by_severity(findings)))


def _said(code: str, check: Callable[[ReadyFacts], Said], facts: ReadyFacts) -> Said:
    try:
        return check(facts)
    except NotReadError as error:
        return unknown(f"{code}: {error.fact.why}", error.fact.next_step, "it could not be read")


def to_check(pair: Pair) -> str:
    """Say how a person runs a check."""
    conf = '{"operation": "check", "reason": "a look"}'
    return f"trigger {pair.dag_id_operations} with the operation 'check', or run: airflow dags trigger " + (
        f"{pair.dag_id_operations} --conf '{conf}'"
    )


def last_check(pair: Pair, stored: Any, airflow: Sequence[Checked], now: datetime, max_age: timedelta) -> Readiness:
    """Return what the last check has found, whether it is too old, and what Airflow says of itself now.

    :param stored: the last check as it was stored; None: there is none. :param airflow: see :func:`of_airflow`.
    """
    how, at, found = to_check(pair), now, list(airflow)
    try:
        checked = Readiness.from_json(stored) if stored is not None else None
    except ValueError as error:
        checked = None
        found.append(Checked(Level.UNKNOWN, str(error), how, code="last check", rests_on="Airflow's state store"))
    if stored is None:
        said = "the pair was not checked yet"
        found.append(Checked(Level.UNKNOWN, said, how, code="last check", rests_on="Airflow's state store"))
    elif checked:
        at, late = checked.at, now - checked.at > max_age
        said, level = f"the pair was checked {age_of(at, now)} ago", Level.WARNING if late else Level.OK
        own = Checked(level, said, how if late else "", code="last check", rests_on="Airflow's state store")
        found += [own, *checked.findings]
    return Readiness(at, tuple(by_severity(found)))


def of_airflow(pair: Pair, health: Mapping[str, Any], dags: Mapping[str, Mapping[str, Any] | None]) -> list[Checked]:
    """Return findings of Airflow's components and of the pair's DAGs, which no task of Airflow can read.

    :param health: what Airflow says of its components. :param dags: the pair's DAGs by their ids; None: not found.
    """
    return by_severity([*_components(health), *_dags(dags)])


def _components(health: Mapping[str, Any]) -> Iterator[Checked]:
    for name in ("metadatabase", "scheduler", "triggerer", "dag_processor"):
        status = (health.get(name) or {}).get("status")
        well = status == "healthy"
        yield Checked(
            Level.OK if well else Level.CRITICAL,
            f"Airflow's {name.replace('_', ' ')} is {status or 'not there'}",
            "" if well else f"start Airflow's {name.replace('_', ' ')}",
            code=name,
            rests_on="Airflow's own health check",
        )


def _dags(dags: Mapping[str, Mapping[str, Any] | None]) -> Iterator[Checked]:
    for dag_id, dag in dags.items():
        how = "look at Airflow's import errors"
        said, level = "is not found by Airflow", Level.CRITICAL
        if dag and not dag.get("is_stale"):
            paused = bool(dag.get("is_paused"))
            said, level = ("is paused", Level.CRITICAL) if paused else ("is unpaused", Level.OK)
            how = f"unpause {dag_id}" if paused else ""
        yield Checked(level, f"{dag_id} {said}", how, code="DAG", rests_on="Airflow's list of DAGs")
