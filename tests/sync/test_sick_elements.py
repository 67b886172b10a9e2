"""One odd element never costs the others their protection: the rest is delivered and committed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.delivery import job, refill, source
from support.sync import Sync, act, add_job, enabled, states

Tamper = Callable[..., Any]
TEXTS = {
    "carriage returns": "one\rtwo",
    "line ends of Windows": "one\r\ntwo\r\n",
    "a carriage return at its end": "one\r",
    "tabs and spaces": "\tone  two ",
    "other line ends": "one\x85two\u2028three",
    "beyond the basic plane": "one \U0001f600",
    "what XML escapes": "<one> & ]]> \"two\" 'three'",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("channel", ["rest", "archive"])
def test_odd_texts(small: Sync, channel: str, text: str) -> None:
    small.rest = channel == "rest"
    refill(small.master, source(), job("odd", description=text), job("other"))
    small.synced()
    assert set(states(small.slave)) == set(states(small.master))
    out = small.synced()
    assert out.code("import_metadata") == "unchanged"


class Altered:
    """Rows of the answers that a server gives, changed as soon as it ``began``."""

    def __init__(self, change: Callable[[dict[str, Any]], object]) -> None:
        self.change = change
        self.began = False

    def __call__(self, content: bytes) -> bytes:
        if not self.began or not content.startswith((b"[", b"{")):
            return content
        rows = json.loads(content)
        for row in rows if isinstance(rows, list) else [rows]:
            self.change(row)
        return json.dumps(rows).encode()


def of_jobs(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda row: change(row) if "triggerSection" in row else None


def of_one_type(row: dict[str, Any]) -> None:
    if row["type"] == "VDPCache":
        row["cachePriority"] = "NORMAL"


def of_one_section(row: dict[str, Any]) -> None:
    if row["name"] == "second":
        row["extractionSection"]["fetchMode"] = "STREAM"


NEWER = {
    "all jobs": lambda row: row.update(runMode="NORMAL"),
    "triggers": lambda row: [each.update(misfirePolicy="SMART") for each in row["triggerSection"].get("triggers", [])],
    "a type with one job": of_one_type,
    "a section of one job": of_one_section,
}


@pytest.mark.parametrize("where", NEWER)
@pytest.mark.parametrize("begun", [False, True], ids=["first sync", "upgraded since"])
def test_a_newer_server_adds_a_default_field(small: Sync, tamper: Tamper, where: str, begun: bool) -> None:
    """In the order of upgrades that docs/runbooks.md asks for the slave is the newer one for a while."""
    altered = Altered(of_jobs(NEWER[where]))
    tamper(small.slave, "/jobs", altered)
    if begun:
        small.synced()
    altered.began = True
    add_job(small.master, "Sales", "new")
    small.synced()
    assert set(states(small.slave)) == set(states(small.master))
    assert not enabled(small.slave)
    small.synced()


@pytest.mark.parametrize("channel", ["rest", "archive"])
@pytest.mark.parametrize("server", ["master", "slave"])
def test_a_trigger_whose_next_execution_lies_months_back(
    small: Sync, tamper: Tamper, server: str, channel: str
) -> None:
    seen: list[str] = []

    def months_back(row: dict[str, Any]) -> None:
        if row.get("nextExecution"):
            row["nextExecution"] = "2025-01-01T00:00:00.000+00:00"
            seen.append(str(row))

    altered = Altered(months_back)
    tamper(getattr(small, server), "/status", altered)
    small.rest = channel == "rest"
    small.synced()
    altered.began = True
    add_job(small.master, "Sales", "new")
    small.synced()
    assert states(small.slave)["Sales / new"] == "DISABLED"
    assert not enabled(small.slave)
    assert seen or server == "slave", "all jobs of the slave rest"


@pytest.mark.parametrize("channel", ["rest", "archive"])
def test_a_job_that_is_busy_for_days(small: Sync, channel: str) -> None:
    small.rest = channel == "rest"
    small.synced()
    small.master.scheduler.duration(5 * 86400)
    act(small.master, "start", "Sales / first")
    assert "RUNNING" in states(small.master).values()
    add_job(small.master, "Sales", "new")
    small.synced()
    assert states(small.slave)["Sales / new"] == "DISABLED"
