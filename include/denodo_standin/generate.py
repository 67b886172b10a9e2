"""Generate realistic metadata, as in an export file of a busy server; the same seed gives the same metadata."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_standin.exportfile import Export
from denodo_standin.params import ENCRYPTED, Element, Params

_PROJECTS = (
    "default",
    "Sales",
    "Finance",
    "Supply chain",
    "Recursos Humanos España",
    "Kundenservice Köln",
    "Risk/Compliance",
    "R&D",
    "データ基盤",
    "Marketing EMEA",
    "Logística",
    "Treasury",
)
_VERBS = ("Load", "Refresh", "Export", "Index", "Actualizar", "Prüfe", "Archive", "Publish")
_SUBJECTS = (
    "customers",
    "orders",
    "sales/returns",
    "facturación",
    "Überstunden",
    "stock levels",
    "100% checks",
    "price lists",
    "注文 日次",
    "ledger entries",
    "tickets <open>",
    "campaign results",
    "suppliers & parts",
    "web logs",
)
# These are sparse enough for quiet windows: no job is due between the quarters of an hour.
_QUARTERS = (0, 15, 30, 45)
_CRONS: tuple[tuple[float, Callable[[Random], str]], ...] = (
    (0.50, lambda r: f"{r.choice((0, 0, 0, 0, 30))} {r.choice(_QUARTERS)} {r.randrange(7)} * * ?"),
    (0.64, lambda r: f"0 {r.choice(_QUARTERS)} {r.randrange(6, 22)} ? * MON-FRI"),
    (0.78, lambda r: f"0 {r.choice(_QUARTERS)} {r.randrange(24)} ? * {r.choice(('SUN', 'SAT', '2', 'FRI'))}"),
    (0.86, lambda r: f"0 {r.choice(_QUARTERS)} {r.randrange(7)} {r.choice(('1', 'L', '15', 'LW'))} * ?"),
    (0.94, lambda r: f"0 {r.choice(_QUARTERS)} * * * ?"),
    (0.96, lambda _: "0 0/15 * * * ?"),
    (1.00, lambda _: ""),
)
_TYPES = ("VDP",) * 6 + ("VDPCache",) * 3 + ("VDPDataLoad",) * 2 + ("VDPIndexer",)
_DEPENDENT = 0.12


@dataclass(frozen=True)
class Generated:
    """Generated metadata.

    :param disabled: the disabled jobs, which an export file does not contain
    """

    export: Export
    disabled: tuple[JobKey, ...]


def generate(*, jobs: int, projects: int, seed: int = 1, disabled: int = 0, version: str = "9.1.0") -> Generated:
    """Generate metadata.

    :param disabled: how many of the ``jobs`` are disabled
    :raises ValueError: the numbers contradict each other
    """
    if projects < 1 or jobs < 0 or not 0 <= disabled <= jobs:
        raise ValueError("there must be at least 1 project, and no more disabled jobs than jobs")
    random = Random(seed)  # noqa: S311
    names = [
        _PROJECTS[n] if n < len(_PROJECTS) else f"{_PROJECTS[n % len(_PROJECTS)]} {n + 1}" for n in range(projects)
    ]
    elements: list[Element] = []
    for number, project in enumerate(names):
        count = jobs // projects + (number < jobs % projects)
        elements += _data_sources(random, project)
        elements += _jobs(random, project, number, count)
    keys = [JobKey(project=each.project, name=each.name) for each in elements if each.kind == "job"]
    descriptions = {name: f"Jobs of {name}" if number % 2 else None for number, name in enumerate(names)}
    chosen = set(random.sample(range(jobs), disabled))
    return Generated(
        Export(version, descriptions, tuple(elements)), tuple(key for n, key in enumerate(keys) if n in chosen)
    )


def _data_sources(random: Random, project: str) -> Iterator[Element]:
    for name, sub_type, uri in (
        ("VDP", "VDP", "//localhost:9999/admin"),
        ("Data warehouse", "JDBC", "jdbc:postgresql://dwh:5432/sales"),
    ):
        yield Element(
            project,
            "dataSource",
            sub_type,
            False,
            {
                "name": name,
                "connectionURI": uri,
                "login": "scheduler",
                "password": _secret(random),
                "poolEnabled": True,
                "poolMaxActive": 30,
                "poolMaxWait": -1,
                "poolValidationQuery": "select 1 from dual()",
            },
        )


def _jobs(random: Random, project: str, number: int, count: int) -> Iterator[Element]:
    scheduled: list[str] = []
    for name in _names(number, count):
        job_type = random.choice(_TYPES)
        params: Params = {"name": name, "dataSource": "VDP"}
        if random.random() < 0.3:
            params["description"] = f"{name}, owned by team {random.randrange(1, 9)}"
        params |= _extraction(random, job_type)
        if job_type == "VDP" and random.random() < 0.6:
            params["processor"] = {"exporter": _exporter(random)}
        if random.random() < 0.3:
            params["handlers"] = {"handler": {"type": "MAIL", "mailAddress": "data-team@example.com"}}
        if random.random() < 0.1:
            params["retryConfig"] = {"maxRetries": random.randrange(1, 4), "delay": 60_000}
        if trigger := _trigger(random, scheduled):
            params["trigger"] = trigger
            scheduled.append(name)
        params["reportConfig"] = {"maxIndividualReports": 100, "reportOnlyErrors": True}
        yield Element(project, "job", job_type, False, params)


def _names(number: int, count: int) -> Iterator[str]:
    """Yield the names of a project's jobs: the same in every project, in capitals in every third."""
    for n in range(count):
        subject, verb = _SUBJECTS[n % len(_SUBJECTS)], _VERBS[n // len(_SUBJECTS) % len(_VERBS)]
        again = n // (len(_SUBJECTS) * len(_VERBS))
        name = f"{verb} {subject} {again + 1}" if again else f"{verb} {subject}"
        yield name.upper() if number % 3 == 2 else name


def _extraction(random: Random, job_type: str) -> Params:
    view = f"bv_{random.choice('abcdefgh')}{random.randrange(1000)}"
    if job_type == "VDP":
        query = f"""select * from {view} where "day" = '@DAY' and amount > {random.randrange(100)}"""  # noqa: S608
        return {"parameterizedQuery": query, "sourcesNotChange": True, "exportAsTransaction": False}
    if job_type == "VDPCache":
        return {"view": view, "loadProcess": "REPLACE", "invalidate": "ALL_ROWS", "atomicOperation": True}
    if job_type == "VDPDataLoad":
        return {"element": view, "elementType": "SUMMARY", "loadUsing": "REFRESH"}
    return {"view": view, "indexServer": "//localhost:9995", "clearIndex": False}


def _exporter(random: Random) -> Params:
    return {
        "fileName": f"/exports/{random.randrange(10_000)}.csv",
        "encoding": "UTF-8",
        "overwriteFile": True,
        "filter": "NONE",
        "zipPassword": _secret(random),
        "separator": ";",
        "includeHeader": True,
        "type": "CSV",
    }


def _trigger(random: Random, candidates: list[str]) -> dict[str, Any]:
    place = random.random()
    cron = next(make for limit, make in _CRONS if place < limit)(random)
    if not cron:
        return {}
    trigger: dict[str, Any] = {"type": "cron", "cronExpression": cron}
    if candidates and random.random() < _DEPENDENT:
        trigger["dependency"] = {"jobId": random.choice(candidates), "executeAnyway": random.random() < 0.2}
    return trigger


def _secret(random: Random) -> dict[str, str]:
    return {ENCRYPTED: base64.b64encode(random.randbytes(96)).decode()}
