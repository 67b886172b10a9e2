"""Making sure that the master can run nothing before the slave does."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from denodo_scheduler.steps.watch.look import FailoverRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fence:
    """Whether the master is fenced, and how that is known."""

    result: Literal["confirmed", "unconfirmed", "failed"]
    how: str


def fence(run: FailoverRun) -> Fence:
    """Call the pair's hook, unless a person has fenced the master already.

    The hook is a function ``hook(*, pair: str, master: str, reason: str) -> bool``: True means that the master is off
    and stays off until a person switches it on again; a fence that does not last is none. The master itself is not
    asked: a failover has got here only because no path to it answers.
    """
    if run.fenced:
        return Fence("confirmed", f"by the word of {run.actor}")
    if run.pair.failover.fence is None:
        return Fence("unconfirmed", "the pair has no fencing hook, and the master cannot be asked")
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fence")
    try:
        module, _, name = run.pair.failover.fence.rpartition(".")
        hook = getattr(import_module(module), name)
        call = executor.submit(hook, pair=run.pair.name, master=run.pair.master, reason=run.reason)
        confirmed = call.result(timeout=run.pair.failover.fence_timeout.total_seconds())
    except NotInTime:
        return Fence("failed", f"{run.pair.failover.fence} did not return in time (fence_timeout)")
    except Exception as error:
        log.exception("The fencing hook failed.")
        return Fence("failed", f"{run.pair.failover.fence} raised {type(error).__name__}")
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    if confirmed is True:
        return Fence("confirmed", f"by {run.pair.failover.fence}")
    return Fence("failed", f"{run.pair.failover.fence} returned {confirmed!r}")
