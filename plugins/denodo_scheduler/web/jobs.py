"""The jobs of a pair as its steps have kept them, and the coming day by their crons. No server is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from threading import BoundedSemaphore, Lock
from typing import Annotated, Any, TypeVar

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from denodo_ha.job_table import job_table, to_json
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import PairsError
from denodo_ha.quartz.missed import configured_zone
from denodo_ha.quiet_day import QuietDay, due_jobs, quiet_day, unknown_day
from denodo_ha.record import Record, RecordError, Role
from denodo_ha.seen import Seen, from_bytes
from denodo_ha.snapshot.manifest import Manifest, ManifestError
from denodo_scheduler.settings import configured_pairs
from denodo_scheduler.state.record_store import RECORD_KEY
from denodo_scheduler.state.snapshot_store import SnapshotStore, snapshot_folder
from denodo_scheduler.state.storage import StorageError, within
from denodo_scheduler.web.access import SeenPair
from denodo_scheduler.web.answers import as_json, encoded, tag_of, tagged, unchanged

router = APIRouter(prefix="/api/pairs")
T = TypeVar("T")

_ONE_AT_A_TIME = Lock()
"""So that many pages which are open at once take the memory of one."""
_PATIENCE = 5.0
"""Seconds that a request waits for the storage at most."""
_READERS = BoundedSemaphore(4)
"""So that storage that does not answer keeps no more threads of the API server than these."""
_BY_API_SERVER = "It is Airflow's API server that reads it for this page: let it read the snapshots as the workers do."


@dataclass(frozen=True)
class Kept:
    """What is there of a pair without asking a server.

    :param pair: its options; None where the API server cannot read them.
    :param content: what was last seen of the jobs, as it is stored; empty where nothing is.
    :param problem: why something is missing, and what to do; else an empty text.
    """

    pair: Pair | None
    record: Record | None = None
    content: bytes = b""
    problem: str = ""

    def tag(self, *more: str) -> str:
        """The ETag of an answer that is made of this, and of ``more``."""
        version = f"{self.record.version} {self.record.snapshot_id}" if self.record else ""
        return tag_of(self.content, version, self.problem, *more)

    def seen(self) -> Seen:
        return from_bytes(self.content) if self.content else Seen()

    def manifest(self) -> tuple[Manifest, str]:
        """The jobs by the last sync, none before the first one; and why they cannot be read."""
        if self.record is None or self.record.snapshot is None or self.pair is None or not self.content:
            return Manifest(jobs=()), ""
        store, snapshot_id = _store(self.pair), self.record.snapshot.id
        try:
            return Manifest.from_json(_patiently(lambda: store.read(snapshot_id))[1]), ""
        except FileNotFoundError:
            why = f"{store.location(snapshot_id)} is not there. {_BY_API_SERVER}"
        except (StorageError, TimeoutError) as error:
            why = f"{error} {_BY_API_SERVER}"
        except ManifestError as error:
            why = str(error)
        return Manifest(jobs=()), f"What the last sync has copied cannot be read: {why}"


def kept(pair: SeenPair, session: SessionDep) -> Kept:
    """Read what is there of the pair."""
    try:
        options = configured_pairs(pair).get(pair)
    except PairsError:
        options = None
    if options is None:
        return Kept(
            None,
            problem="Airflow's API server cannot read the options of the pair, so it does not know where its jobs are "
            "kept. Give it the same file of pairs as the workers, and look at Airflow's import errors.",
        )
    record, wrong = _record(options, session)
    session.close()  # no connection to Airflow's database waits for the storage
    content, lacking = _content(options)
    return Kept(options, record, content, _sentences(wrong, lacking))


KeptDep = Annotated[Kept, Depends(kept)]


@router.get("/{pair}/jobs")
def jobs(request: Request, kept: KeptDep) -> Response:
    """The jobs of both servers side by side, as they were last seen."""
    if known := unchanged(request, kept.tag("")):
        return known
    with _ONE_AT_A_TIME:
        seen = kept.seen()
        manifest, lacking = kept.manifest()
        table = job_table(seen, kept.record, {job.key: job.enabled for job in manifest.jobs})
        data = to_json(table, seen, _sentences(kept.problem, _damaged(seen), lacking))
        return tagged(encoded(data), kept.tag(lacking), "application/json")


@router.get("/{pair}/quiet")
def quiet(request: Request, kept: KeptDep) -> Response:
    """What is due on the active server in the coming day, and when nothing is."""
    with _ONE_AT_A_TIME:
        return as_json(request, _quiet(kept, datetime.now(UTC)))


def _quiet(kept: Kept, now: datetime) -> dict[str, Any]:
    record, pair = kept.record, kept.pair
    if record is None or pair is None:
        no_record = "The pair has no HA record, so none of its servers is the active one: initialise it first."
        return unknown_day(Role.MASTER, kept.problem or no_record)
    hour = now.replace(minute=0, second=0, microsecond=0)
    digest = sha256(kept.content).hexdigest()
    try:
        day = _day(
            _Hour(kept, (pair.name, record.active, record.snapshot_id, pair.timezone_of(record.active), digest, hour))
        )
    except LookupError as error:
        return unknown_day(record.active, str(error))
    found = day.to_json(record.active, now, pair.sync.quiet_window + pair.sync.quiet_margin)
    return {**found, "problem": kept.problem or None}


@dataclass(frozen=True)
class _Hour:
    """What a day is calculated from; two are equal that give the same day."""

    kept: Kept = field(compare=False)
    key: tuple[Any, ...]


@lru_cache(maxsize=16)
def _day(hour: _Hour) -> QuietDay:
    """:raises LookupError: it cannot be calculated; the text says why."""
    kept = hour.kept
    assert kept.pair is not None
    assert kept.record is not None
    active, seen = kept.record.active, kept.seen()
    manifest, lacking = kept.manifest()
    if active not in seen.servers or lacking:
        never = f"The jobs of the {active} were not seen yet: the failover DAG looks at them as soon as it runs."
        raise LookupError(_sentences(kept.problem, _damaged(seen), lacking) or never)
    server = seen.servers[active]
    jobs = due_jobs(server, {job.key: job.crons for job in manifest.jobs})
    return quiet_day(jobs, server.at, hour.key[-1], configured_zone(kept.pair.timezone_of(active)))


def _store(pair: Pair) -> SnapshotStore:
    return SnapshotStore(snapshot_folder(pair), pair.name)


def _content(pair: Pair) -> tuple[bytes, str]:
    """What is kept of the jobs, or why that is nothing."""
    try:
        return _patiently(_store(pair).read_seen), ""
    except FileNotFoundError:
        return b"", (
            f"Nothing of the jobs is kept in {snapshot_folder(pair) / pair.name}. If {pair.dag_id_failover} has run "
            f"since this version is installed, that is not the storage that the workers have. {_BY_API_SERVER}"
        )
    except (StorageError, TimeoutError) as error:
        return b"", f"The kept jobs cannot be read: {error} {_BY_API_SERVER}"


def _patiently(read: Callable[[], T]) -> T:
    """:raises TimeoutError: the storage does not answer, this reader or all those before."""
    if not _READERS.acquire(timeout=_PATIENCE):
        raise TimeoutError(f"the storage has not answered within {_PATIENCE:g} s")

    def reading() -> T:
        try:
            return read()
        finally:
            _READERS.release()

    return within(_PATIENCE, reading)


def _record(pair: Pair, session: Session) -> tuple[Record | None, str]:
    """The HA record as Airflow's database has it, None where there is none; and why it cannot be used."""
    state = AssetStateStoreModel
    value = session.scalar(
        select(state.value)
        .join(AssetModel, AssetModel.id == state.asset_id)
        .where(AssetModel.name == pair.asset_uri, state.key == RECORD_KEY)
    )
    if value is None:
        return None, ""
    try:
        return Record.from_json(json.loads(value)), ""
    except RecordError as error:
        return None, str(error)
    except (ValueError, RecursionError):
        return None, "Airflow's copy of the HA record is damaged; the next task of the pair repairs it."


def _damaged(seen: Seen) -> str:
    return (
        f"What is kept of the jobs cannot be read: {seen.problem}. The next look replaces it." if seen.problem else ""
    )


def _sentences(*texts: str) -> str:
    return " ".join(filter(None, texts))
