"""The control endpoint of the Scheduler process: clock, guesses, run lengths, journal and audit."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from pydantic import AwareDatetime, BaseModel, ConfigDict

from denodo_standin.faults import Faults, control_router
from denodo_standin.model import iso
from denodo_standin.server import SchedulerServer
from denodo_standin.settings import Duration, Guesses, Outcome


class ClockChange(BaseModel):
    """A change of the clock: the given fields are applied in this order. A manual clock runs what becomes due."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["real", "manual"] | None = None
    now: AwareDatetime | None = None
    advance_seconds: float | None = None


def create_router(server: SchedulerServer, faults: Faults) -> APIRouter:
    """Create the routes below /control for ``server``."""
    store = server.store

    def state() -> dict[str, Any]:
        return {
            "role": "scheduler",
            "pid": os.getpid(),
            "now": iso(server.clock.now()),
            "clock": "manual" if server.clock.manual else "real",
            "timezone": server.timezone.key,
            "vdp_up": store.settings.vdp_up,
            "paused": store.settings.paused,
            "guesses": store.settings.guesses.model_dump(mode="json"),
            "projects": len(store.projects),
            "data_sources": len(store.data_sources),
            "jobs": len(store.jobs),
            "enabled": sum(not job.disabled for job in store.jobs.values()),
            "running": len(server.engine.running),
        }

    router = APIRouter()
    router.include_router(control_router(faults, state))

    @router.post("/control/clock")
    async def post_clock(change: ClockChange) -> dict[str, Any]:
        _set_clock(server, change)
        return {"now": iso(server.clock.now())}

    @router.post("/control/guesses")
    async def post_guesses(changed: dict[str, Any]) -> dict[str, Any]:
        _set_guesses(server, Guesses.model_validate({**store.settings.guesses.model_dump(), **changed}))
        return store.settings.guesses.model_dump(mode="json")

    @router.post("/control/vdp")
    async def post_vdp(up: Annotated[bool, Body(embed=True)]) -> dict[str, bool]:
        store.settings.vdp_up = up
        store.save_settings()
        return {"up": up}

    @router.post("/control/pause")
    async def post_pause(paused: Annotated[bool, Body(embed=True)]) -> dict[str, bool]:
        server.engine.pause(paused)
        return {"paused": paused}

    @router.post("/control/duration", status_code=204)
    async def post_duration(duration: Duration) -> None:
        store.settings.durations = [*(store.settings.durations if duration.match else ()), duration]
        store.save_settings()

    @router.post("/control/results", status_code=204)
    async def post_results(outcome: Outcome) -> None:
        store.settings.outcomes = [*(store.settings.outcomes if outcome.match else ()), outcome]
        store.save_settings()

    @router.get("/control/journal")
    async def get_journal(since: int = 0) -> list[dict[str, Any]]:
        return store.journal(since)

    @router.get("/control/audit")
    async def get_audit(since: int = 0) -> list[dict[str, Any]]:
        return store.audit(since)

    return router


def _set_guesses(server: SchedulerServer, guesses: Guesses) -> None:
    settings, engine = server.store.settings, server.engine
    stuck = {job.id for job in server.store.jobs.values() if engine.is_stuck(job)}
    ahead = guesses.clock_offset_seconds - settings.guesses.clock_offset_seconds
    settings.guesses = guesses
    server.store.save_settings()
    with server.store.transaction():
        for job in server.store.jobs.values():
            if engine.is_stuck(job) != (job.id in stuck):
                engine.reschedule(job)
    if ahead and not server.clock.manual:
        _move(server, server.clock.now() + timedelta(seconds=ahead))
    engine.wake()


def _set_clock(server: SchedulerServer, change: ClockChange) -> None:
    clock, engine = server.clock, server.engine
    if change.mode == "real":
        clock.run_free()
    elif change.mode == "manual":
        clock.stop()
    if change.now is not None:
        _move(server, change.now)
    if change.advance_seconds is not None:
        _move(server, clock.now() + timedelta(seconds=change.advance_seconds))
    server.store.settings.now = clock.now() if clock.manual else None
    if not clock.manual:
        server.store.settings.guesses.clock_offset_seconds = clock.offset.total_seconds()
    server.store.save_settings()
    engine.wake()


def _move(server: SchedulerServer, target: datetime) -> None:
    if target < server.clock.now():
        server.clock.set(target)
        server.engine.set_back()
    elif server.clock.manual:
        server.engine.advance(target)
    else:
        server.clock.set(target)
