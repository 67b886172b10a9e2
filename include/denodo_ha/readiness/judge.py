"""Judge whether a pair could change its active server now: one finding of each check, the worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.durations import age_of
from denodo_ha.pairs import Pair
from denodo_ha.readiness.facts import NotReadError, ReadyFacts
from denodo_ha.readiness.findings import (
    Checked,
    Readiness,
    Said,
    by_severity,
    critical,
    fine,
    unknown,
    warning,
)
from denodo_ha.readiness.servers import OF_SERVERS
from denodo_ha.readiness.sites import OF_SITES
from denodo_ha.readiness.standby import OF_STANDBY
from denodo_ha.readiness.watchers import OF_WATCHERS
from denodo_ha.record import Role
from denodo_ha.status import Level

CHECKS: Mapping[str, Callable[[ReadyFacts], Said]] = {**OF_SERVERS, **OF_SITES, **OF_STANDBY, **OF_WATCHERS}
"""All checks by their names."""
OF_TARGET = frozenset(
    {"two servers", "addresses", "one pair", "versions", "at rest", "crons", "drivers", "secrets", "data sources"}
)
"""Checks of the server that is to become the active one, beside those that have its role in their names."""


def judge(facts: ReadyFacts) -> Readiness:
    """Return one finding of each check; where a fact could not be read, that it is not known."""
    findings = [Checked(code=code, **_said(check, facts)._asdict()) for code, check in CHECKS.items()]
    return Readiness(facts.now, tuple(by_severity(findings)))


def _said(check: Callable[[ReadyFacts], Said], facts: ReadyFacts) -> Said:
    try:
        return check(facts)
    except NotReadError as error:
        return unknown(error.fact.why, error.fact.next_step, "it could not be read")


def in_the_way(found: Readiness, to: Role) -> tuple[Checked, ...]:
    """Return the critical findings that concern the server which is to become the active one."""
    return tuple(
        each
        for each in found.findings
        if each.level is Level.CRITICAL and (each.code in OF_TARGET or each.code.endswith(f" {to}"))
    )


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


def of_airflow(
    pair: Pair,
    health: Mapping[str, Any],
    dags: Mapping[str, Mapping[str, Any] | None],
    pools: Mapping[str, Mapping[str, Any] | str | None],
) -> list[Checked]:
    """Return findings of Airflow's components, and of the pair's DAGs and pools, which no task of Airflow can read.

    :param health: what Airflow says of its components. :param dags: the pair's DAGs by their ids; None: not found.
    :param pools: the pools that the pair's tasks need; None: not found; a text: why one cannot be read.
    """
    return by_severity([*_components(health), *_dags(dags), *_pools(pair, pools)])


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


def _pools(pair: Pair, pools: Mapping[str, Mapping[str, Any] | str | None]) -> Iterator[Checked]:
    for name, pool in pools.items():
        said = _of_pool(pair, name, pool)
        yield Checked(**{**said._asdict(), "rests_on": said.rests_on or "Airflow's list of pools"}, code="pool")


def _of_pool(pair: Pair, name: str, pool: Mapping[str, Any] | str | None) -> Said:
    """The pair's own pool has one slot, in which its tasks change the servers one after the other."""
    if isinstance(pool, str):
        return unknown(f"the pool {name} is not known: {pool}", "let the user read pools (in Airflow, or by its role)")
    if pool is None:
        made = name == pair.pool
        said, how = f"there is no pool {name} yet", "it is made when a DAG of the pair runs for the first time"
        return unknown(said, f"unpause {pair.dag_id_failover}; {how}") if made else critical(said, f"create {name}")
    slots, free = pool.get("slots"), pool.get("open_slots")
    if not isinstance(slots, int):
        return unknown(f"how many slots the pool {name} has is not told", "look at it in Airflow")
    if slots == 0:
        return critical(f"the pool {name} has no slot, so no task of the pair runs", f"give {name} a slot")
    if name == pair.pool and (slots != 1 or pool.get("include_deferred")):
        why = f"has {slots} slots" if slots != 1 else "counts deferred tasks"
        how = f"give {name} one slot that deferred tasks leave: tasks of the pair change the servers one at a time"
        return warning(f"the pool {name} {why}", how)
    if name != pair.pool and isinstance(free, int) and 0 <= slots == slots - free:
        return warning(f"all {slots} slots of the pool {name} are taken now", f"give {name} more slots")
    return fine(f"the pool {name} has {'unlimited' if slots < 0 else slots} slots", "")
