"""The pairs as JSON: all of them, one, and the history of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from sqlalchemy.orm import Session

from denodo_ha import board, told
from denodo_ha.offers import Rights
from denodo_ha.pairs import Pair
from denodo_ha.runbook import of_event
from denodo_ha.sight import Seen
from denodo_scheduler.links import docs_path, runbook_path
from denodo_scheduler.web import access, reading
from denodo_scheduler.web.access import SeenPair, UserDep
from denodo_scheduler.web.answers import as_json, encoded, tag_of, tagged, unchanged

router = APIRouter(prefix="/api/pairs")

MOST_EVENTS = 5000
GREATEST = 2**31 - 1
"""The greatest number that an event can have."""


@router.get("")
def pairs(request: Request, person: UserDep, session: SessionDep) -> Response:
    """All pairs that the person may see, the worst first."""
    found = reading.dags(session)
    allowed = access.seen({Pair(name=pair).dag_id_failover for pair in found}, person, session)
    mine = {pair: of for pair, of in found.items() if Pair(name=pair).dag_id_failover in allowed}
    wrong, now = _import_errors(person, session), datetime.now(UTC)
    rows = board.rows([_with(seen, wrong) for seen in reading.seen(session, mine)], now)
    told_all = board.about_import(wrong) if len(mine) == len(found) else None  # it names the other pairs too
    return as_json(request, {"at": now.isoformat(), "pairs": rows, "import_error": told_all})


@router.get("/{pair}")
def one(request: Request, pair: SeenPair, person: UserDep, session: SessionDep) -> Response:
    """One pair, with its story and what the person can do."""
    now, seen = datetime.now(UTC), _seen(pair, person, session)
    ids = set(access.dag_ids(pair))
    rights = Rights(
        frozenset(access.startable(ids, person, session)),
        answers=access.may_answer(Pair(name=pair).dag_id_failover, person, session),
    )
    found = board.detail(seen, rights, now)
    about = {"runbook": runbook_path(found["code"], "failover"), "docs": docs_path("on-duty")}
    return as_json(request, {**found, "links": {**found["links"], **about}})


@router.get("/{pair}/events")
def events(
    request: Request,
    pair: SeenPair,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 2000,
    after: Annotated[int, Query(ge=0, le=GREATEST)] = 0,
) -> Response:
    """The history of a pair, newest first."""
    tag = tag_of(str(reading.newest(session, pair)), f"{limit} {after}")
    if known := unchanged(request, tag):
        return known
    found, more = reading.events(session, pair, limit, after)
    return tagged(encoded({"events": board.history(found), "more": more}), tag, "application/json")


@router.get("/{pair}/events/{number}")
def entry(
    request: Request, pair: SeenPair, number: Annotated[int, Path(ge=0, le=GREATEST)], session: SessionDep
) -> Response:
    """One event of the history with all its facts."""
    found = reading.numbered(session, pair, number)
    if found is None:
        raise HTTPException(404, "the pair has no such event")
    said: dict[str, Any] = {
        "text": board.text_of(found.extra),
        "facts": [list(each) for each in told.facts(found.extra)],
        "runbook": docs_path(*of_event(found.extra)),
        "event": found.extra,
    }
    return as_json(request, said)


def _seen(pair: str, person: BaseUser, session: Session) -> Seen:
    found = reading.seen(session, reading.dags(session, pair), checks=True)
    if not found:  # its DAGs were deleted a moment ago
        raise HTTPException(404, access.UNKNOWN_PAIR)
    return _with(found[0], _import_errors(person, session))


def _with(seen: Seen, wrong: str) -> Seen:
    return replace(seen, wrong=board.about_import(wrong, seen.pair) or "")


def _import_errors(person: BaseUser, session: Session) -> str:
    """What Airflow says of the DAG files of pairs, to a person who may read import errors."""
    return reading.import_errors(session) if access.reads_import_errors(person) else ""
