"""The state of a server on disk: one SQLite file, with projects, data sources and jobs also in memory.

Every change is committed to the write-ahead log before it is acknowledged, so a killed process loses nothing.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from denodo_ha.jobs import fold
from denodo_standin.model import DataSource, Job, Project, Result, iso
from denodo_standin.settings import Settings

ID_STEP = 17
DEFAULT_ID_OFFSET = 1000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS element (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS run (seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id INTEGER NOT NULL, project TEXT NOT NULL,
    job TEXT NOT NULL, start TEXT NOT NULL, end TEXT, trigger TEXT NOT NULL, scheduled TEXT, result TEXT);
CREATE INDEX IF NOT EXISTS run_of_job ON run (job_id, seq);
CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, project TEXT NOT NULL,
    job TEXT NOT NULL, change TEXT NOT NULL, by TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resource (path TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_RUN_COLUMNS = ("seq", "project", "job", "start", "end", "trigger", "scheduled", "result")
_AUDIT_COLUMNS = ("seq", "at", "project", "job", "change", "by")
_KINDS: dict[str, type[Project | DataSource | Job]] = {"project": Project, "dataSource": DataSource, "job": Job}

Record = Project | DataSource | Job
_Name = tuple[type[Record], int | None, str]


class Store:
    """The store of one server.

    :param directory: created if it is missing; a ValueError if another server uses it
    :param id_offset: ids of new elements start here, in steps of 17: servers whose offsets differ modulo 17 never
        share an id. None: as when the store was last used
    """

    def __init__(self, directory: Path, id_offset: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._lock = _locked(directory / "lock")
        self.projects: dict[int, Project] = {}
        self.data_sources: dict[int, DataSource] = {}
        self.jobs: dict[int, Job] = {}
        self._ids: dict[_Name, int] = {}
        self._database = sqlite3.connect(directory / "scheduler.sqlite", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        for kind, document in self._database.execute("SELECT kind, document FROM element ORDER BY id"):
            self._keep(_KINDS[kind].model_validate_json(document))
        self.settings = Settings.model_validate_json(self._setting("settings") or "{}")
        self._next_id = self._first_id(id_offset)
        self.id_offset = self._setting("id_offset") or ""

    def close(self) -> None:
        self._database.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes inside together; inside another transaction they belong to that one."""
        if self._database.in_transaction:
            yield
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def new_id(self) -> int:
        identifier = self._next_id
        self._next_id += ID_STEP
        self._set("next_id", str(self._next_id))
        return identifier

    def put(self, *records: Record) -> None:
        """Write new or changed elements; a new name requires a copy of the record."""
        rows = []
        for record in records:
            self._keep(record)
            kind = "project" if isinstance(record, Project) else "job" if isinstance(record, Job) else "dataSource"
            rows.append((record.id, kind, record.model_dump_json()))
        with self.transaction():
            self._database.executemany("INSERT OR REPLACE INTO element VALUES (?, ?, ?)", rows)

    def remove(self, record: Record) -> None:
        """Delete an element; the reports of a job are deleted with it, its lines in the journal are kept."""
        self._table(record).pop(record.id)
        self._ids.pop(_name(record))
        self._database.execute("DELETE FROM element WHERE id = ?", (record.id,))

    def project_named(self, name: str) -> Project | None:
        return self.projects.get(self._ids.get((Project, None, fold(name)), -1))

    def data_source_named(self, project_id: int, name: str) -> DataSource | None:
        return self.data_sources.get(self._ids.get((DataSource, project_id, fold(name)), -1))

    def data_source_of(self, job: Job) -> DataSource | None:
        """Return the data source that a job names: of its own project, unless it names another one."""
        name, elsewhere = job.data_source
        project_id = job.project_id
        if elsewhere is not None:
            project = self.project_named(elsewhere)
            project_id = -1 if project is None else project.id
        return None if name is None else self.data_source_named(project_id, name)

    def job_named(self, project_id: int, name: str) -> Job | None:
        return self.jobs.get(self._ids.get((Job, project_id, fold(name)), -1))

    def save_settings(self) -> None:
        self._set("settings", self.settings.model_dump_json())

    def start_run(self, job: Job, start: datetime, trigger: str, scheduled: datetime | None) -> int:
        """Open a line of the execution journal and return its number."""
        row = (job.id, self.projects[job.project_id].name, job.name, iso(start), trigger, iso(scheduled))
        insert = "INSERT INTO run (job_id, project, job, start, trigger, scheduled) VALUES (?, ?, ?, ?, ?, ?)"
        return self._database.execute(insert, row).lastrowid or 0

    def end_run(self, seq: int, end: datetime, result: Result) -> None:
        self._database.execute("UPDATE run SET end = ?, result = ? WHERE seq = ?", (iso(end), result.value, seq))

    def open_runs(self) -> list[tuple[int, int]]:
        """Return number and job id of each run without an end."""
        return self._database.execute("SELECT seq, job_id FROM run WHERE end IS NULL ORDER BY seq").fetchall()

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        return self._rows("run", _RUN_COLUMNS, "seq > ? ORDER BY seq", (since,))

    def reports(self, job: Job, start: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Return ``count`` ended runs of a job from number ``start`` on, newest first, and how many there are."""
        ended = "job_id = ? AND end IS NOT NULL"
        total = self._database.execute(f"SELECT count(*) FROM run WHERE {ended}", (job.id,)).fetchone()[0]  # noqa: S608
        where = f"{ended} ORDER BY seq DESC LIMIT ? OFFSET ?"
        return self._rows("run", _RUN_COLUMNS, where, (job.id, count, start)), total

    def add_audit(self, at: datetime, job: Job, change: str, by: str) -> None:
        row = (iso(at), self.projects[job.project_id].name, job.name, change, by)
        self._database.execute("INSERT INTO audit (at, project, job, change, by) VALUES (?, ?, ?, ?, ?)", row)

    def audit(self, since: int = 0) -> list[dict[str, Any]]:
        return self._rows("audit", _AUDIT_COLUMNS, "seq > ? ORDER BY seq", (since,))

    def put_resource(self, path: str, content: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO resource VALUES (?, ?)", (path, content))

    def resource_paths(self) -> list[str]:
        return [path for (path,) in self._database.execute("SELECT path FROM resource ORDER BY path")]

    def resource(self, path: str) -> bytes:
        content: bytes = self._database.execute("SELECT content FROM resource WHERE path = ?", (path,)).fetchone()[0]
        return content

    def _table(self, record: Record) -> dict[int, Any]:
        match record:
            case Project():
                return self.projects
            case DataSource():
                return self.data_sources
            case Job():
                return self.jobs

    def _keep(self, record: Record) -> None:
        table = self._table(record)
        if (before := table.get(record.id)) is not None and before is not record:
            self._ids.pop(_name(before), None)
        table[record.id] = record
        self._ids[_name(record)] = record.id

    def _rows(self, table: str, columns: tuple[str, ...], where: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        cursor = self._database.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", values)  # noqa: S608
        return [dict(zip(columns, row, strict=True)) for row in cursor]

    def _setting(self, key: str) -> str | None:
        row = self._database.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _set(self, key: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, value))

    def _first_id(self, id_offset: int | None) -> int:
        used_offset, next_id = self._setting("id_offset"), self._setting("next_id")
        if next_id and (id_offset is None or used_offset == str(id_offset)):
            return int(next_id)
        offset = DEFAULT_ID_OFFSET if id_offset is None else id_offset
        self._set("id_offset", str(offset))
        highest = max((*self.projects, *self.data_sources, *self.jobs), default=offset - 1)
        return offset + ID_STEP * max(0, -(-(highest + 1 - offset) // ID_STEP))


def _locked(path: Path) -> IO[str]:
    """Lock a directory; the system releases the lock when the process ends, however it ends."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ValueError(
            f"{path.parent} is in use by another server: stop that one, or name another directory"
        ) from None
    return lock


def _name(record: Record) -> _Name:
    project_id = None if isinstance(record, Project) else record.project_id
    return type(record), project_id, fold(record.name)
