"""The failover DAG's steps without Airflow's machinery around them: look, judge, act, as one of its runs does.

What a failover did is read from the servers themselves: their public API, audits and journals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from denodo_demo.standin import StandinServer
from denodo_ha.decisions import Action
from denodo_ha.pairs import Pair
from denodo_ha.record import Record
from denodo_ha.situation import Consents, Heard, Judgement
from denodo_ha.verdict import Evidence, Observation, Verdict, Watch
from denodo_scheduler.client.probe import Looker
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.promote import failover as failing_over
from denodo_scheduler.steps.watch import act as acting
from denodo_scheduler.steps.watch.look import Case, judge
from support.sync import NOW, Sync, WorkerKilled, act, enabled, kill_the_worker, states

QUICK = {
    "probe_interval": "1s",
    "fall": 3,
    "watch_for": "10s",
    "cool_down": "1h",
    "failover": "automatic",
    "master_timezone": "Europe/Madrid",
    "enable_batch": 2,
}
AtLook = Callable[[int], object]
CONSENTS = ("fail_over", "accept_old_snapshot", "fenced")
HEARD = ("alive_since", "last_alive", "second_good")


class Still(Sync):
    """A pair whose clocks all stand still, Airflow's included, until a test lets time pass."""

    def now(self) -> datetime:
        return datetime.fromisoformat(NOW) + self.passed


@dataclass
class Outcome:
    """What one run of the failover DAG came to."""

    judgement: Judgement
    event: dict[str, Any] | None = None
    error: Exception | None = None

    @property
    def code(self) -> str:
        """Of the decision, or of the step's end where that was not success."""
        return (
            str(getattr(self.error, "code", type(self.error).__name__)) if self.error else self.judgement.decision.code
        )

    @property
    def done(self) -> dict[str, Any]:
        """The event of a step that must have succeeded."""
        assert self.event is not None, self.error or self.judgement
        return self.event


@dataclass
class Failover:
    """A pair under test, by the side of its syncs: the same servers, record and snapshots."""

    sync: Sync
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def master(self) -> StandinServer:
        return self.sync.master

    @property
    def slave(self) -> StandinServer:
        return self.sync.slave

    @property
    def record(self) -> Record:
        return self.sync.record

    @property
    def story(self) -> list[str]:
        """Kinds of the events that wait to be told."""
        return [event["kind"] for event in self.record.outbox]

    def change(self, **fields: Any) -> None:
        """Have other fields in the record, as another run might."""
        self.sync.change(**fields)

    def pair(self, **options: Any) -> Pair:
        return self.sync.pair(**{**QUICK, **self.options, **options})

    def prepared(self, *, pair: dict[str, Any] | None = None, run_id: str | None = None, **asked: Any) -> PairContext:
        chosen = self.pair(**(pair or {}))
        return PairContext(
            pair=chosen,
            records=self.sync.records,
            snapshots=self.sync.snapshots(chosen.name),
            master=DenodoSchedulerHook(chosen.master),
            slave=DenodoSchedulerHook(chosen.slave),
            run_id=run_id or f"run-{uuid4().hex[:6]}",
            now=self.sync.now,
            **asked,
        )

    def case(self, evidence: Evidence | None = None, **asked: Any) -> Case:
        """A run of the failover DAG with what it has seen, and with what a person and the watch tell it."""
        given = {name: asked.pop(name) for name in CONSENTS if name in asked}
        heard = {name: asked.pop(name) for name in HEARD if name in asked}
        context = self.prepared(**asked)
        seen = evidence or self.evidence(context)
        return Case(context, seen, Consents(**given), Heard(**{"second_good": self.sync.now(), **heard}))

    # -- what is seen

    @contextmanager
    def silent_master(self) -> Iterator[None]:
        """The master's Scheduler is not to be heard on either path, as if it were dead. It goes on all the same."""
        self.silence()
        yield
        self.wake()

    @property
    def no_second_path(self) -> dict[str, Any]:
        return {"kind": "status", "status": 500, "match": {"query": str(self.master.scheduler.port)}}

    def silence(self) -> None:
        self.master.webtool.faults({"kind": "status", "status": 500})
        self.slave.webtool.faults(self.no_second_path)

    def dead_for(self, **time: float) -> None:
        """Let time pass for all but the master, which runs nothing meanwhile."""
        self.sync.passed += timedelta(**time)
        self.slave.scheduler.clock(advance_seconds=timedelta(**time).total_seconds())

    def wake(self) -> None:
        for server in (self.master, self.slave):
            server.webtool.faults()

    def looker(self, run: PairContext) -> Looker:
        return Looker(run.master, run.slave, second_path=run.pair.watch.second_path)

    def look(self, looker: Looker) -> Observation:
        return replace(looker.look(), at=self.sync.now())

    def evidence(self, run: PairContext) -> Evidence:
        """Look until a verdict is confirmed; no time passes between the looks."""
        watch = Watch(run.pair.watch.fall)
        with self.looker(run) as looker:
            while (found := watch.add(self.look(looker))) is None:
                pass
        return found

    def seen(self, verdict: Verdict = Verdict.DOWN, *, heard: timedelta | None = timedelta(seconds=4)) -> Evidence:
        """Evidence by hand.

        :param heard: how long ago the master was last heard; None: never.
        """
        now = self.sync.now()
        return Evidence(
            verdict=verdict,
            decided=now,
            streak=3,
            since=now - timedelta(seconds=3),
            last_alive=None if heard is None else now - heard,
            rounds=4,
        )

    # -- what is done

    def judge(self, evidence: Evidence | None = None, **asked: Any) -> Judgement:
        return judge(self.case(evidence, **asked))

    def run(
        self,
        *,
        evidence: Evidence | None = None,
        before: Callable[[], object] | None = None,
        at_look: AtLook | None = None,
        **asked: Any,
    ) -> Outcome:
        """One run. ``before`` happens between decision and action, ``at_look`` right before each of its looks."""
        case = self.case(evidence, **asked)
        out = Outcome(judge(case))
        if before:
            before()
        return self.act(case, out, at_look)

    def again(self, action: Action, evidence: Evidence, *, at_look: AtLook | None = None, **asked: Any) -> Outcome:
        """A task of an earlier run, tried or cleared again, with what that run saw."""
        case = self.case(evidence, **asked)
        out = Outcome(judge(case))
        decision = replace(out.judgement.decision, action=action)
        return self.act(case, replace(out, judgement=replace(out.judgement, decision=decision)), at_look)

    def act(self, case: Case, out: Outcome, at_look: AtLook | None = None) -> Outcome:
        try:
            out.event = self._act(case, out.judgement.decision.action, at_look)
        except Exception as error:
            out.error = error
        return out

    def _act(self, case: Case, action: Action, at_look: AtLook | None) -> dict[str, Any] | None:
        if action is Action.ENABLE_JOBS:
            number = 0
            with self.looker(case.context) as looker:

                def look() -> Observation:
                    nonlocal number
                    if at_look:
                        at_look(number)
                    number += 1
                    return self.look(looker)

                return failing_over.enable_jobs(case, look)
        if action is Action.QUENCH_MASTER:
            return acting.quench_master(case)
        if action is Action.REPAIR_SLAVE:
            return acting.repair_slave(case)
        if action is Action.BLOCKED:
            acting.block(case)
        return None

    # -- how it was

    def from_here(self) -> Callable[[], None]:
        """What brings the pair back to how it is now: record, our clock, and which jobs are enabled."""
        self.wake()
        values, files, passed = dict(self.sync.state.values), self.sync.files, self.sync.passed
        wanted = {server.name: enabled(server) for server in (self.master, self.slave)}

        def back() -> None:
            self.wake()
            self.sync.state.values = dict(values)
            self.sync.passed = passed
            for name in self.sync.files.keys() - files.keys():
                (self.sync.folder / name).unlink()
            for name, content in files.items():
                (self.sync.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.sync.folder / name).write_bytes(content)
            for server in (self.master, self.slave):
                there = enabled(server)
                act(server, "disable", *(there - wanted[server.name]))
                act(server, "enable", *(wanted[server.name] - there))

        return back


def known(server: StandinServer) -> set[str]:
    return set(states(server))


def silenced(failover: Failover, *faults: dict[str, Any]) -> None:
    """Like :meth:`Failover.silence`, with more faults of the slave's web tool."""
    failover.silence()
    failover.slave.webtool.faults(*faults, failover.no_second_path)


class Changes:
    """Every write to the record or its mirror and every request that changes a server, counted.

    :param at: the number, from 0, of the change right before which something happens. :param then: what happens.
    """

    def __init__(self, patch: pytest.MonkeyPatch, at: int, then: Callable[[], object]) -> None:
        self._made, self._at, self._then = 0, at, then
        send = DenodoSchedulerHook._call

        def sent(hook: DenodoSchedulerHook, method: str, *args: Any, **kwargs: Any) -> Any:
            if method == "PUT":
                self._count()
            return send(hook, method, *args, **kwargs)

        patch.setattr(DenodoSchedulerHook, "_call", sent)
        for name in ("_create", "_reflect"):
            patch.setattr(RecordStore, name, self._counted(getattr(RecordStore, name)))

    def _counted(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self._count()
            return change(*args)

        return counted

    def _count(self) -> None:
        number, self._made = self._made, self._made + 1
        if number == self._at:
            self._then()


def killed(task: Callable[[], object], monkeypatch: pytest.MonkeyPatch, at: int) -> bool:
    """Run a task and kill its worker right before its change number ``at``; False if it has fewer."""
    with monkeypatch.context() as patch:
        Changes(patch, at, kill_the_worker)
        try:
            task()
        except WorkerKilled:
            return True
        return False
