"""What the page reads of the pairs: rows of Airflow's database, with as many queries for a hundred pairs as for one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow.api.common.airflow_health import get_airflow_health
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.utils.state import DagRunState
from sqlalchemy import Text, cast, func, or_, select
from sqlalchemy.orm import Session

from denodo_ha.board import CHANGES
from denodo_ha.pairs import Pair
from denodo_ha.sight import Event, Run, Seen
from denodo_ha.status import Reading
from denodo_scheduler.dags import OUR_DAGS
from denodo_scheduler.web import access

_PREFIX = Pair(name="").asset_uri
_DAGS = "denodo_scheduler_"
_NEWEST_FIRST = (AssetEvent.timestamp.desc(), AssetEvent.id.desc())
"""As Airflow's index has the events of an asset; by their numbers, those of all assets might be gone through."""
_CANDIDATES = 20
"""How many events are read to find one of some kind: others may hold the words somewhere inside."""
_UNDER_WAY = (DagRunState.RUNNING, DagRunState.QUEUED)

Dags = dict[str, dict[str, dict[str, Any]]]
"""By pair and DAG id: what Airflow says of the pair's DAGs."""


def dags(session: Session, pair: str | None = None) -> Dags:
    """Read the DAGs of all pairs, or of one; those that Airflow does not find any more included."""
    columns = (DagModel.dag_id, DagModel.is_paused, DagModel.is_stale, DagModel.description)
    ours = DagModel.dag_id.startswith(_DAGS, autoescape=True)
    if pair is not None:
        ours = DagModel.dag_id.in_(access.dag_ids(pair))
    found: Dags = defaultdict(dict)
    for row in session.execute(select(*columns).where(ours)).mappings():
        if match := OUR_DAGS.fullmatch(row["dag_id"]):
            found[match["pair"]][row["dag_id"]] = dict(row)
    return dict(found)


def seen(session: Session, found: Dags, *, checks: bool = False) -> list[Seen]:
    """Read all that is known of these pairs.

    :param checks: the last readiness check too, and since when which server is the active one.
    """
    names = {Pair(name=pair).asset_uri: pair for pair in found}
    keys = ("record", "watch", *(("check",) if checks else ()))
    states = _states(session, names, keys)
    last = _last_events(session, names)
    runs = _runs(session, [dag_id for of in found.values() for dag_id in of])
    health = get_airflow_health()
    all_seen = []
    for pair, of in found.items():
        named, state = Pair(name=pair), states.get(pair, {})
        of_pair = [run for run in runs if run.dag_id in of]
        syncing = next((r.run_id for r in of_pair if r.dag_id == named.dag_id_sync and r.state == "running"), "")
        dag = of.get(named.dag_id_failover)
        watch = state.get("watch")
        reading = Reading(state.get("record"), watch if isinstance(watch, Mapping) else {}, dag, health, syncing)
        each = Seen(pair, reading, dags=of, runs=tuple(of_pair), last=last.get(pair), check=state.get("check"))
        all_seen.append(replace(each, changed=_change(session, pair)) if checks else each)
    return all_seen


def events(session: Session, pair: str, limit: int, after: int) -> tuple[list[Event], bool]:
    """Read the newest events of a pair with a number greater than ``after``, and whether there are more."""
    rows = session.execute(_of_pair(pair).where(AssetEvent.id > after).order_by(*_NEWEST_FIRST).limit(limit + 1)).all()
    return [_event(row) for row in rows[:limit]], len(rows) > limit


def numbered(session: Session, pair: str, number: int) -> Event | None:
    row = session.execute(_of_pair(pair).where(AssetEvent.id == number)).first()
    return _event(row) if row else None


def newest(session: Session, pair: str) -> tuple[int, int]:
    """How many events a pair has, and the number of the newest one: what changes with each new or deleted event."""
    count, last = session.execute(
        select(func.count(AssetEvent.id), func.max(AssetEvent.id))
        .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        .where(AssetModel.name == Pair(name=pair).asset_uri)
    ).one()
    return count, last or 0


def import_errors(session: Session) -> str:
    """What Airflow says of DAG files of pairs that cannot be read; empty where all can be."""
    rows = session.execute(
        select(ParseImportError.filename, ParseImportError.stacktrace)
        .where(ParseImportError.filename.contains(_DAGS, autoescape=True))
        .order_by(ParseImportError.filename)
    )
    return "\n".join(f"{name}: {trace}" for name, trace in rows)


def _states(session: Session, names: Mapping[str, str], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The entries of the pairs' state stores. What cannot be read is as if it were damaged."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    state = AssetStateStoreModel
    rows = session.execute(
        select(AssetModel.name, state.key, state.value)
        .join(state, state.asset_id == AssetModel.id)
        .where(_among(names), state.key.in_(keys))
    )
    for name, key, value in rows:
        if name in names:
            try:
                found[names[name]][key] = json.loads(value)
            except (ValueError, RecursionError):
                found[names[name]][key] = value
    return found


def _among(names: Iterable[str]) -> Any:
    """The assets of these pairs; of many, all that any pair has, because a list in a query has its limits."""
    some = list(names)
    return AssetModel.name.in_(some) if len(some) <= 1 else AssetModel.name.startswith(_PREFIX, autoescape=True)


def _last_events(session: Session, names: Mapping[str, str]) -> dict[str, Event]:
    newest_of = (
        select(AssetEvent.id)
        .where(AssetEvent.asset_id == AssetModel.id)
        .order_by(*_NEWEST_FIRST)
        .limit(1)
        .correlate(AssetModel)
        .scalar_subquery()
    )
    rows = session.execute(
        select(AssetModel.name, *_COLUMNS).join(AssetEvent, AssetEvent.id == newest_of).where(_among(names))
    )
    return {names[row.name]: _event(row) for row in rows if row.name in names}


def _change(session: Session, pair: str) -> Event | None:
    """The last event that tells of another active server.

    Events are searched as text, because PostgreSQL cannot look into the JSON of one that has a NUL anywhere in it.
    """
    text = cast(AssetEvent.extra, Text)
    maybe = _of_pair(pair).where(or_(*(text.contains(f'"kind": "{kind}"', autoescape=True) for kind in CHANGES)))
    newest_first = maybe.order_by(*_NEWEST_FIRST).limit(_CANDIDATES)
    found = map(_event, session.execute(newest_first))
    return next((event for event in found if event.extra.get("kind") in CHANGES), None)


_COLUMNS = (
    AssetEvent.id,
    AssetEvent.timestamp,
    AssetEvent.extra,
    AssetEvent.source_dag_id,
    AssetEvent.source_run_id,
)


def _of_pair(pair: str) -> Any:
    asset = select(func.max(AssetModel.id)).where(AssetModel.name == Pair(name=pair).asset_uri).scalar_subquery()
    return select(*_COLUMNS).where(AssetEvent.asset_id == asset)


def _event(row: Any) -> Event:
    extra = row.extra if isinstance(row.extra, dict) else {}
    return Event(row.id, row.timestamp, extra, row.source_dag_id or "", row.source_run_id or "")


def _runs(session: Session, ids: Sequence[str]) -> list[Run]:
    """The runs of these DAGs that are under way, the oldest first."""
    ours = DagRun.dag_id.in_(ids) if len(ids) <= 10 else DagRun.dag_id.startswith(_DAGS, autoescape=True)
    rows = session.execute(
        select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.queued_at)
        .where(ours, DagRun.state.in_(_UNDER_WAY))
        .order_by(DagRun.id)
    )
    return [Run(row.dag_id, row.run_id, str(row.state), row.start_date or row.queued_at) for row in rows]
