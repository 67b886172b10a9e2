"""The steps of a sync against a real stand-in pair."""

from support.pair_fixtures import _no_long_pauses, connect, sync, tamper

__all__ = ["_no_long_pauses", "connect", "sync", "tamper"]
