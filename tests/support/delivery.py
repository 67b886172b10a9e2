"""A small pair for the tests of differential syncs. Its clocks go on while a sync waits, and while jobs are enabled."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

import pytest

from denodo_demo.standin import StandinServer
from denodo_ha.record import Phase, Promotion, Role
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_standin.exportfile import Export
from denodo_standin.params import ENCRYPTED, Element
from support.sync import NIGHTLY, VERSION, Books, DagRun, Sync, act, enabled, load, states

GAP = 9
"""Seconds that the target's clock goes on after each import, right before its jobs are disabled."""
EVERY_10_SECONDS = "*/10 * * * * ?"
WRITES = ("import_metadata", "create_project", "create_job", "replace_job", "set_jobs_status")
"""The methods of the hook that change a server."""


def secret(text: str) -> dict[str, str]:
    return {ENCRYPTED: b64encode(text.encode()).decode()}


def source(uri: str = "//vdp-a:9999/admin", *, project: str = "Sales", name: str = "VDP") -> Element:
    params = {"name": name, "connectionURI": uri, "login": "scheduler", "password": secret("of the data source")}
    return Element(project, "dataSource", "VDP", False, params)


def job(
    name: str,
    *,
    project: str = "Sales",
    cron: str = NIGHTLY,
    kind: str = "VDP",
    sealed: str = "",
    after: str = "",
    start: str = "",
    description: str = "",
) -> Element:
    """A job of the data source VDP.

    :param sealed: a secret that it holds. :param after: the job of its project that it depends on.
    """
    trigger: dict[str, Any] = {"type": "cron", "cronExpression": cron}
    trigger |= {"startTime": start} if start else {}
    trigger |= {"dependency": {"jobId": after, "executeAnyway": False}} if after else {}
    params: dict[str, Any] = {"name": name, "dataSource": "VDP", "trigger": trigger}
    params |= {"description": description} if description else {}
    if kind == "VDP":
        exporter = {"type": "CSV", "fileName": f"/exports/{name}.csv", "filter": "NONE"}
        exporter |= {"zipPassword": secret(sealed)} if sealed else {}
        params |= {"parameterizedQuery": "select 1", "processor": {"exporter": exporter}}
    else:
        params |= {"view": "bv_a1", "loadProcess": "REPLACE"}
    return Element(project, "job", kind, False, params)


def put(server: StandinServer, *elements: Element) -> None:
    """Have these elements on a server, the jobs enabled."""
    projects: dict[str, str | None] = dict.fromkeys(each.project for each in elements)
    load(server, Export(VERSION, projects, elements))


SMALL = (source(), job("first"), job("second", kind="VDPCache", after="first"), job("sealed", sealed="s"))


def refill(server: StandinServer, *elements: Element) -> None:
    """Have these elements on a server, and nothing else."""
    for project in server.request("GET", "/projects"):
        server.request("DELETE", f"/projects/{project['id']}")
    put(server, *elements)


def audit(books: Books) -> list[tuple[str, str, str]]:
    """What happened to which job of a server, and by what."""
    return [(f"{each['project']} / {each['job']}", each["change"], each["by"]) for each in books.audit]


def woken(books: Books) -> list[str]:
    """The jobs that were enabled on a server, each time."""
    return [name for name, change, _ in audit(books) if change == "enabled"]


def definition(server: StandinServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in server.request("GET", "/jobs") if f"{each['projectName']} / {each['name']}" == name
    )
    return found


def data_source(server: StandinServer, name: str = "VDP") -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in server.request("GET", "/dataSources") if each["name"] == name)
    return found


def addresses(server: StandinServer) -> dict[str, str]:
    """The address that each data source of a server holds, by ``project / name``."""
    sources = server.request("GET", "/dataSources")
    return {f"{each['projectName']} / {each['name']}": each["connectionURI"] for each in sources}


def content(server: StandinServer) -> dict[str, Any]:
    """What the jobs of a server are, with names in place of ids, whether enabled or not."""
    jobs = server.request("GET", "/jobs")
    names = {each["id"]: each["name"] for each in [*jobs, *server.request("GET", "/dataSources")]}

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: each for key, each in value.items() if key not in ("id", "projectId", "disabled")}
            return {key: named(each) for key, each in kept.items()}
        if isinstance(value, list):
            return [named(each) for each in value]
        return names.get(value, value)

    return {f"{each['projectName']} / {each['name']}": named(each) for each in jobs}


def channels(out: DagRun) -> list[str]:
    assert out.event, out.errors
    return [piece["channel"] for piece in out.event["delivered"]]


def requests(*servers: StandinServer) -> dict[str, int]:
    """What the servers' web tools were asked since their last reset, without the path that all share."""
    found: Counter[str] = Counter()
    for server in servers:
        for text, number in server.webtool.requests().items():
            method, path = text.split(" ", 1)
            found[f"{method} {path.rpartition('/public/api')[2]}"] += number
    return found


def in_step(sync: Sync) -> bool:
    """Whether the slave has what the master has, all of it disabled, and the record says so."""
    same = content(sync.slave) == content(sync.master)
    return same and not enabled(sync.slave) and sync.record.dirty is None and sync.record.pending == ()


def time_goes_on(sync: Sync, patch: pytest.MonkeyPatch, target: StandinServer) -> None:
    """Let the target's clock go on between each import and what follows it, so that what is due then runs."""
    send = DenodoSchedulerHook.import_metadata

    def sent(*args: Any, **kwargs: Any) -> Any:
        result = send(*args, **kwargs)
        target.scheduler.clock(advance_seconds=GAP)
        return result

    patch.setattr(DenodoSchedulerHook, "import_metadata", sent)


@contextmanager
def at_write(
    patch: pytest.MonkeyPatch, at: int, then: Callable[[], object], *, after: bool = False
) -> Iterator[list[str]]:
    """Have something happen right before or after request number ``at``, from 0, that changes a server.

    Requests that are sent at the same time are sent one after the other; what is sent while it happens does not count.
    Yields the names of what was sent.
    """
    made: list[str] = []
    one, happening = Lock(), Event()

    def happen() -> None:
        happening.set()
        then()
        happening.clear()

    def counted(name: str) -> Callable[..., Any]:
        send = getattr(DenodoSchedulerHook, name)

        def sent(*args: Any, **kwargs: Any) -> Any:
            if happening.is_set():
                return send(*args, **kwargs)
            with one:
                made.append(name)
                if len(made) == at + 1 and not after:
                    happen()
                result = send(*args, **kwargs)
                if len(made) == at + 1 and after:
                    happen()
                return result

        return sent

    with patch.context() as inner:
        for name in WRITES:
            inner.setattr(DenodoSchedulerHook, name, counted(name))
        yield made


def fail_over(sync: Sync) -> None:
    """Have the slave as the active server, as after a failover whose master is back and disabled."""
    wanted = enabled(sync.master)
    act(sync.master, "disable", *states(sync.master))
    act(sync.slave, "enable", *wanted)
    record = sync.record
    promotion = Promotion(id="failover", kind="failover", at=sync.now(), plan=record.snapshot_id or "", complete=True)
    changed = {"phase": Phase.FAILED_OVER, "active": Role.SLAVE, "epoch": record.epoch + 1, "last_promotion": promotion}
    sync.save(record.model_copy(update=changed))
