"""The readiness check against real stand-in pairs."""

from __future__ import annotations

from support.pair_fixtures import _no_long_pauses, connect, sync, tamper

__all__ = ["_no_long_pauses", "connect", "sync", "tamper"]
