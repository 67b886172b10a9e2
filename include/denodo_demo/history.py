"""Print the pair's history as it is written: its asset events in Airflow, one line each."""

from __future__ import annotations

from datetime import datetime
from textwrap import shorten

from denodo_demo.airflow_api import ApiClient, Json
from denodo_demo.processes import wait_for
from denodo_demo.progress import Progress
from denodo_ha.told import text

_LONGEST = 240
"""How many characters of an event are printed; the page shows all of it."""


class History:
    """Follow the asset events of one pair from now on.

    :param asset: name of the pair's asset.
    """

    def __init__(self, api: ApiClient, asset: str, progress: Progress) -> None:
        self.events: list[Json] = []
        self._known: set[str] = set()
        self._api = api
        self._progress = progress
        self._asset_id: int = wait_for(
            lambda: next((each["id"] for each in api.assets() if each["name"] == asset), None), 60, f"The asset {asset}"
        )
        self._known = {event["id"] for event in self._new()}

    def tell(self, *_: object) -> None:
        """Print what has happened since the last time."""
        for event in self._new():
            self._known.add(event["id"])
            self.events.append(event)
            self._progress.say(f"    {event['at'][11:19]}  {shorten(line(event), _LONGEST, placeholder=' …')}")

    def wait_for(self, kind: str, timeout: float, *, code: str | None = None) -> Json:
        """Return the first event of this kind (and code) from now on; meanwhile print all others."""
        begin = len(self.events)

        def found() -> Json | None:
            self.tell()
            told = self.events[begin:]
            return next((each for each in told if each["kind"] == kind and code in (None, each.get("code"))), None)

        return wait_for(found, timeout, f"The event {kind} {code or ''}".rstrip(), poll=0.5)

    def last(self, kind: str) -> Json:
        """Return the last event of this kind that was printed."""
        return next(event for event in reversed(self.events) if event["kind"] == kind)

    def settled(self, code: str) -> bool:
        """Return whether the last look of the failover DAG had this code and is settled."""
        watching = self.state("watch")
        return watching.get("code") == code and bool(watching.get("settled"))

    def state(self, key: str) -> Json:
        """Return what the pair keeps under a key of its asset's state store; empty if there is nothing."""
        found: Json = self._api.asset_state(self._asset_id).get(key) or {}
        return found

    def _new(self) -> list[Json]:
        """Return the new events, oldest first."""
        found = [event["extra"] for event in self._api.asset_events(asset_id=self._asset_id)]
        unknown = [event for event in found if event.get("kind") and event["id"] not in self._known]
        return sorted(unknown, key=lambda event: datetime.fromisoformat(event["at"]))


def line(event: Json) -> str:
    """Format an event in one line."""
    code = f"[{event['code']}] " if event.get("code") else ""
    return f"epoch {event['epoch']}: {code}{text(event)}"
