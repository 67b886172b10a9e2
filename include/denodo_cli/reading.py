"""Read the state and history of one pair from Airflow's REST API."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

import httpx

from denodo_cli.airflow_api import AirflowApiError, ApiClient, Json
from denodo_cli.runs import RunError, ended, start
from denodo_ha.pairs import Pair
from denodo_ha.readiness.findings import Checked
from denodo_ha.readiness.judge import of_airflow
from denodo_ha.status import Reading
from denodo_ha.text import listed

DEFAULT_POOL = "default_pool"
"""Where the tasks run that change nothing."""
_PREFIX = Pair(name="").asset_uri


class UnknownPairError(LookupError):
    """Airflow has no such pair; the message lists the existing ones."""


def read(api: ApiClient, pair: str) -> Reading:
    """Read the state of the pair.

    :raises UnknownPairError: there is no such pair.
    """
    state = read_state(api, pair)
    named = Pair(name=pair)
    return Reading(
        record=state.get("record"),
        watch=state.get("watch") or {},
        dag=api.dag(named.dag_id_failover),
        health=api.health(),
        syncing=api.running(named.dag_id_sync),
    )


class AllPairs:
    """What all pairs have in common, read once; then each pair by a request of its own. Threads may share it.

    :param names: of the pairs, sorted.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api, self._ids = api, _asset_ids(api)
        self.names = sorted(self._ids)
        pairs = [Pair(name=name) for name in self.names]
        self._health = api.health()
        found = api.pages("/dags", "dags", dag_id_prefix_pattern=Pair(name="").dag_id_failover) if pairs else ()
        self._dags = {str(dag["dag_id"]): dag for dag in found}
        self._syncing = api.running_now([pair.dag_id_sync for pair in pairs])

    def read(self, pair: str) -> Reading:
        state, named = self._api.asset_state(self._ids[pair]), Pair(name=pair)
        return Reading(
            record=state.get("record"),
            watch=state.get("watch") or {},
            dag=self._dags.get(named.dag_id_failover),
            health=self._health,
            syncing=self._syncing.get(named.dag_id_sync, ""),
        )


def read_state(api: ApiClient, pair: str) -> Json:
    """Read all that is stored of the pair.

    :raises UnknownPairError: there is no such pair.
    """
    return api.asset_state(_asset_id(api, pair))


def read_check(api: ApiClient, pair: str) -> tuple[Any, list[Checked]]:
    """Read the last readiness check of the pair as it is stored, None where there is none, and what Airflow is now.

    :raises UnknownPairError: there is no such pair.
    """
    stored = read_state(api, pair).get("check")
    named = Pair(name=pair)
    ids = (named.dag_id_sync, named.dag_id_failover, named.dag_id_switchover, named.dag_id_operations)
    pools = {name: _pool(api, name) for name in (named.pool, DEFAULT_POOL)}
    return stored, of_airflow(named, api.health(), {dag_id: api.dag(dag_id) for dag_id in ids}, pools)


def _pool(api: ApiClient, name: str) -> Json | str | None:
    """A pool, None where there is none, or why it cannot be read."""
    try:
        return api.pool(name)
    except AirflowApiError as error:
        if error.status == httpx.codes.FORBIDDEN:
            return "the user may not read pools"
        raise


def make_check(api: ApiClient, pair: str, patience: timedelta, *, test_message: bool) -> None:
    """Have the operations DAG check the pair, and wait for the result, or for the end of that run.

    :raises UnknownPairError: there is no such pair. :raises RunError: the run has not checked it.
    """
    asset_id, dag_id = _asset_id(api, pair), Pair(name=pair).dag_id_operations
    before = api.asset_state(asset_id).get("check")
    conf = {"operation": "check", "test_message": test_message, "reason": "denodo-ha check --now"}
    run_id = start(api, dag_id, conf)

    def checked() -> bool:
        return bool(api.asset_state(asset_id).get("check") != before)

    state = ended(api, dag_id, run_id, patience, checked)["state"]
    if not checked():
        raise RunError(f"the run {run_id} of {dag_id} ended as {state} without a result; see the log of its check")


def history(api: ApiClient, pair: str, limit: int) -> list[Json]:
    """Return the last ``limit`` events of the pair, oldest first. One that was delivered twice is listed once.

    :raises UnknownPairError: there is no such pair.
    """
    rows = api.pages("/assets/events", "asset_events", order_by="-timestamp", asset_id=_asset_id(api, pair))
    events = ({"at": row["timestamp"], **(row.get("extra") or {})} for row in islice(rows, 2 * limit))
    once = {event.get("id", number): event for number, event in enumerate(reversed(list(events)))}  # the newest wins
    return sorted(once.values(), key=lambda event: str(event["at"]))[-limit:]


def pair_names(api: ApiClient) -> list[str]:
    """Return the names of the pairs that Airflow knows and the user may see."""
    return sorted(_asset_ids(api))


def _asset_ids(api: ApiClient) -> dict[str, int]:
    """The ids of the pairs' assets, by the names of the pairs.

    An asset is found by its name, because Airflow changes the URI, to denodo-scheduler://default/. Airflow leaves
    punctuation at the end of a prefix out, so that it lists denodo-scheduler-look://default too.
    """
    found = {str(row["name"]): int(row["id"]) for row in api.assets(name_prefix_pattern=_PREFIX)}
    return {name.removeprefix(_PREFIX): number for name, number in found.items() if name.startswith(_PREFIX)}


def _asset_id(api: ApiClient, pair: str) -> int:
    ids = _asset_ids(api)
    if pair not in ids:
        known = f"known are: {listed(sorted(ids), limit=50)}" if ids else "Airflow knows none: have its DAGs been read?"
        raise UnknownPairError(f"there is no pair {pair!r}; {known}")
    return ids[pair]
