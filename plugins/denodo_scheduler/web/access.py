"""Who sees which pairs, and may start which runs: as Airflow's auth manager says of the pair's DAGs.

A person sees a pair who may read its failover DAG, and starts a run who may trigger that DAG.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException
from sqlalchemy import select
from sqlalchemy.orm import Session

from denodo_ha.pairs import Pair

UNKNOWN_PAIR = "there is no such pair, or you may not see it"
"""The same words for both, so that nobody learns the names of pairs that are not theirs."""


def user(person: GetUserDep) -> BaseUser:
    """The person who is logged in; 401 without a login."""
    return person


UserDep = Annotated[BaseUser, Depends(user)]


def seen_pair(pair: str, person: UserDep, session: SessionDep) -> str:
    """The name of a pair that the person may see; 404 if there is none, or if they may not."""
    if not pair.isprintable():  # PostgreSQL refuses to be asked for some of it
        raise HTTPException(404, UNKNOWN_PAIR)
    if not session.scalar(select(DagModel.dag_id).where(DagModel.dag_id.in_(dag_ids(pair))).limit(1)):
        raise HTTPException(404, UNKNOWN_PAIR)
    if not seen({Pair(name=pair).dag_id_failover}, person, session):
        raise HTTPException(404, UNKNOWN_PAIR)
    return pair


SeenPair = Annotated[str, Depends(seen_pair)]


def dag_ids(pair: str) -> tuple[str, ...]:
    """The ids of the DAGs that a pair may have."""
    named = Pair(name=pair)
    return (
        named.dag_id_failover,
        named.dag_id_sync,
        named.dag_id_switchover,
        named.dag_id_operations,
        named.dag_id_drill,
    )


def seen(ids: Collection[str], person: BaseUser, session: Session) -> set[str]:
    """Return those of the DAGs that the person may read."""
    by_team: dict[str | None, set[str]] = defaultdict(set)
    for dag_id, team in _teams(ids, session).items():
        by_team[team].add(dag_id)
    manager = get_auth_manager()
    return {
        dag_id
        for team, of_team in by_team.items()
        for dag_id in manager.filter_authorized_dag_ids(dag_ids=of_team, user=person, method="GET", team_name=team)
    }


def startable(ids: Collection[str], person: BaseUser, session: Session) -> set[str]:
    """Return those of the DAGs of which the person may trigger a run."""
    manager = get_auth_manager()
    return {
        dag_id
        for dag_id, team in _teams(ids, session).items()
        if manager.is_authorized_dag(
            method="POST",
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=dag_id, team_name=team),
            user=person,
        )
    }


def may_answer(dag_id: str, person: BaseUser, session: Session) -> bool:
    """Return whether the person may answer what a task of the DAG asks."""
    team = _teams((dag_id,), session)[dag_id]
    return get_auth_manager().is_authorized_dag(
        method="PUT",
        access_entity=DagAccessEntity.HITL_DETAIL,
        details=DagDetails(id=dag_id, team_name=team),
        user=person,
    )


def reads_import_errors(person: BaseUser) -> bool:
    return get_auth_manager().is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=person)


def _teams(ids: Collection[str], session: Session) -> dict[str, str | None]:
    known = DagModel.get_dag_id_to_team_name_mapping(list(ids), session=session)
    return {dag_id: known.get(dag_id) for dag_id in ids}
