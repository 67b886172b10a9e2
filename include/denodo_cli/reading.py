"""What Airflow's REST API tells of one pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from denodo_cli.airflow_api import ApiClient, Json
from denodo_ha.pairs import Pair
from denodo_ha.text import listed

_PREFIX = Pair(name="").asset_uri


class UnknownPairError(LookupError):
    """Airflow has no such pair; the message lists those that it has."""


@dataclass(frozen=True)
class Reading:
    """All that a status is judged by, read at one moment.

    :param record: HA record as it is stored; None when there is none. :param watch: what the last look led to.
    :param dag: the failover DAG; None when Airflow has none. :param health: of Airflow's components.
    """

    record: Json | None
    watch: Json = field(default_factory=dict)
    dag: Json | None = None
    health: Json = field(default_factory=dict)


def read(api: ApiClient, pair: str) -> Reading:
    """:raises UnknownPairError: there is no such pair."""
    state = api.asset_state(_asset_id(api, pair))
    return Reading(
        record=state.get("record"),
        watch=state.get("watch") or {},
        dag=api.dag(Pair(name=pair).dag_id_failover),
        health=api.health(),
    )


def history(api: ApiClient, pair: str, limit: int) -> list[Json]:
    """The last ``limit`` events of the pair, oldest first. One that was delivered twice is listed once.

    :raises UnknownPairError: there is no such pair.
    """
    rows = api.pages("/assets/events", "asset_events", order_by="-timestamp", asset_id=_asset_id(api, pair))
    events = ({"at": row["timestamp"], **(row.get("extra") or {})} for row in islice(rows, 2 * limit))
    once = {event.get("id", number): event for number, event in enumerate(events)}
    return sorted(once.values(), key=lambda event: str(event["at"]))[-limit:]


def _asset_id(api: ApiClient, pair: str) -> int:
    # By its name: Airflow changes the URI, to denodo-scheduler://default/.
    ids = {row["name"].removeprefix(_PREFIX): row["id"] for row in api.assets(name_prefix_pattern=_PREFIX)}
    if pair not in ids:
        known = f"known are: {listed(sorted(ids), limit=50)}" if ids else "Airflow knows none: have its DAGs been read?"
        raise UnknownPairError(f"there is no pair {pair!r}; {known}")
    return int(ids[pair])
