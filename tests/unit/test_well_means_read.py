"""Whatever the servers show: a pair is called well only on enabled jobs that were read of the server that is active."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import pytest

from denodo_ha.jobs import JobState, JobStatus
from denodo_ha.pairs import Pair
from denodo_ha.record import Phase, Promotion, Record, Role, SnapshotRef
from denodo_ha.situation import Heard, Judgement
from denodo_ha.status import Level, Reading
from denodo_ha.status import judge as status_of
from denodo_ha.verdict import Evidence, Verdict
from denodo_ha.watching import GOOD, Watching, compare
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.watch import look

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HEALTH = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "triggerer")}
SHOWN = ("nothing", "none enabled", "one enabled", "all enabled")
Case = tuple[Phase, Verdict, str, str, bool, int]
CASES: list[Case] = list(
    product((Phase.NORMAL, Phase.FAILED_OVER), Verdict, SHOWN, SHOWN, (False, True), (0, 2))
)  # fmt: skip


def statuses(role: Role, shown: str) -> list[JobStatus]:
    enabled = SHOWN.index(shown) - 1
    first = 100 if role is Role.SLAVE else 0
    return [
        JobStatus(
            job_id=first + number,
            name=str(number),
            project_id=first,
            project="p",
            state=JobState.NOT_RUNNING if number < enabled else JobState.DISABLED,
            previous_execution=NOW - HOUR * (1 + first),
        )
        for number in range(2)
    ]


class Servers:
    """Both servers, and where the master's name leads."""

    connections, addresses = ("m", "s"), ("//m:8000", "//s:8000")

    def __init__(self, master: str, slave: str, *, moved: bool) -> None:
        self._shown = {Role.MASTER: master, Role.SLAVE: slave}
        self._moved = moved
        self.read: dict[Role, int] = {}

    def answering(self, role: Role) -> tuple[Any, Any]:
        led = Role.SLAVE if self._moved else role
        if self._shown[led] == "nothing":
            raise DenodoSchedulerError("no answer")
        jobs = statuses(led, self._shown[led])
        self.read[led] = sum(job.state.is_enabled for job in jobs)
        return SimpleNamespace(hook=SimpleNamespace(jobs=list)), SimpleNamespace(jobs=jobs)


def judged(case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[Judgement, Servers, Record]:
    phase, verdict, master, slave, moved, expected = case
    over = phase is Phase.FAILED_OVER
    snapshot = SnapshotRef(
        id="s", taken=NOW, committed=NOW - HOUR, imported=NOW, content_hash="", manifest_hash="", jobs=2,
        enabled=expected,
    )  # fmt: skip
    record = Record(
        phase=phase,
        active=Role.SLAVE if over else Role.MASTER,
        epoch=2,
        snapshot=snapshot,
        last_promotion=Promotion(id="f", kind="failover", at=NOW, plan="s", complete=True) if over else None,
    )
    servers = Servers(master, slave, moved=moved)
    context = SimpleNamespace(
        pair=Pair(name="p"), records=SimpleNamespace(load=lambda: record), servers=servers, now=lambda: NOW
    )
    monkeypatch.setattr(look, "another_pair", lambda *_, **__: None)
    evidence = Evidence(verdict, NOW, 4, NOW, NOW, 4)
    found = look.judge(look.Case(cast(Any, context), evidence, heard=Heard(second_good=NOW)))
    return found, servers, record


def well(case: Case, record: Record, servers: Servers) -> None:
    """What has to be true where a pair is called well."""
    _, verdict, _, _, moved, expected = case
    enabled = servers.read.get(record.active)
    assert enabled or not expected, "jobs are enabled on the active server, as it was read"
    if record.active is Role.MASTER:
        assert enabled is not None
        assert verdict.alive
        assert not moved, "it is no answer of the slave"


def watched(found: Judgement) -> dict[str, Any]:
    seen = compare(Watching(), found.to_json(), None, {"second_good": NOW.isoformat()}, now=NOW).watching
    return {**vars(seen), "outbox": ()}


def test_a_pair_is_well_only_on_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: set[str] = set()
    for case in CASES:
        found, servers, record = judged(case, monkeypatch)
        codes.add(found.decision.code)
        if found.decision.code in (*GOOD, "control_path_broken", "fail_back"):
            well(case, record, servers)
    assert {"healthy", "failed_over", "master_back", "nothing_enabled", "same_server", "fail_over"} <= codes


def test_a_status_is_ok_only_on_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a pair in which everything else is in order, and when the look is some minutes old."""
    levels: dict[Level, int] = dict.fromkeys(Level, 0)
    for case in CASES:
        found, servers, record = judged(case, monkeypatch)
        reading = Reading(record.to_json(), watched(found), {"is_paused": False}, HEALTH)
        status = status_of("p", reading, NOW + timedelta(minutes=5), HOUR)
        levels[status.level] += 1
        if status.level is Level.OK:
            well(case, record, servers)
            read = servers.read[Role.MASTER]
            assert f"{read} of 2 jobs enabled on the master" in status.details["last look"]
    assert levels[Level.OK]
    assert levels[Level.CRITICAL] > levels[Level.OK]
