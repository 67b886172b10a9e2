"""Making sure that the master can run nothing before the slave does."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, Literal

from denodo_ha.decisions import Alert
from denodo_scheduler.steps.context import PairContext

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Down:
    """Evidence, good enough for a failover, that the master is down.

    :param since: when it was asked in vain for the first time. :param fenced: a person has fenced it.
    """

    since: datetime
    fenced: bool = False


@dataclass(frozen=True)
class Fence:
    """Whether the master is fenced, and how that is known."""

    result: Literal["confirmed", "unconfirmed", "failed"]
    how: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def without_master(fenced: Fence) -> dict[str, Any]:
    """Say in the event of a switchover that the master was not read back without enabled jobs, as in a failover."""
    said = {"fencing": fenced.to_json(), "alert": Alert.FAILOVER}
    if fenced.result == "confirmed":
        return said
    return said | {
        "what": "a switchover was brought to its end while the master did not answer, so whether it runs jobs is not "
        f"known: {fenced.how}",
        "next_step": "make sure that the master is off; when it is seen again its jobs are disabled",
    }


def fence(context: PairContext, *, by_person: bool) -> Fence:
    """Call the pair's hook, unless a person has fenced the master already (``by_person``).

    The hook is a function ``hook(*, pair: str, master: str, reason: str) -> bool``: True means that the master is off
    and stays off until a person switches it on again; a fence that does not last is none. The master itself is not
    asked: a failover has got here only because no path to it answers.
    """
    if by_person:
        return Fence("confirmed", f"by the word of {context.actor}")
    if context.pair.failover.fence is None:
        return Fence("unconfirmed", "the pair has no fencing hook, and the master cannot be asked")
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fence")
    try:
        module, _, name = context.pair.failover.fence.rpartition(".")
        hook = getattr(import_module(module), name)
        call = executor.submit(hook, pair=context.pair.name, master=context.pair.master, reason=context.reason)
        confirmed = call.result(timeout=context.pair.failover.fence_timeout.total_seconds())
    except NotInTime:
        return Fence("failed", f"{context.pair.failover.fence} did not return in time (fence_timeout)")
    except Exception as error:
        log.exception("The fencing hook failed.")
        return Fence("failed", f"{context.pair.failover.fence} raised {type(error).__name__}")
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    if confirmed is True:
        return Fence("confirmed", f"by {context.pair.failover.fence}")
    return Fence("failed", f"{context.pair.failover.fence} returned {confirmed!r}")
