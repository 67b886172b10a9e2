"""Generate realistic metadata, as in an export file; the same seed gives the same metadata."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_standin.exportfile import Export
from denodo_standin.params import ENCRYPTED, Element, Params
from denodo_standin.settings import Duration

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

# The schedules of a server that never rests: shares of all its jobs, and the weights of what the others have.
_EVERY_MINUTE, _EVERY_10_SECONDS, _WITH_SECRETS = 0.05, 0.01, 0.1
_OFTEN: tuple[tuple[float, Callable[[Random], str]], ...] = (
    (60, lambda r: f"{r.choice((0, 0, 0, 30))} {r.randrange(60)} {r.randrange(24)} * * ?"),
    (15, lambda r: f"0 {r.randrange(60)} {r.randrange(24)} ? * MON-FRI"),
    (15, lambda r: f"0 {r.randrange(60)} * * * ?"),
    (7, lambda r: f"0 {r.randrange(10)}/{r.choice((10, 15, 20, 30))} * * * ?"),
    (2.5, lambda r: f"0 {r.randrange(5)}/5 * * * ?"),
)
_LONG_JOBS = 2
_LONG_CRON = "0 0 * * * ?"
_LONG_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Generated:
    """Generated metadata.

    :param disabled: the disabled jobs, which an export file does not contain
    :param durations: the jobs that run for hours
    """

    export: Export
    disabled: tuple[JobKey, ...]
    durations: tuple[Duration, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """What a job of a busy server is like.

    :param restless: it is due every minute or more often
    :param long: it runs for hours
    :param secret: it has a secret
    """

    cron: str
    restless: bool
    long: bool
    secret: bool

    @property
    def rests(self) -> bool:
        return not self.restless and not self.long


def generate(
    *, jobs: int, projects: int, seed: int = 1, disabled: int = 0, version: str = "9.1.0", busy: bool = False
) -> Generated:
    """Generate metadata.

    :param disabled: how many of the ``jobs`` are disabled
    :param busy: of a server that never rests: 5 % of its jobs are due every minute and 1 % every 10 s, the others once
        a day up to every 5 minutes; a tenth has secrets; two are due every hour and run for four. Otherwise nothing is
        due between the quarters of an hour.
    :raises ValueError: the numbers contradict each other
    """
    if projects < 1 or jobs < 0 or not 0 <= disabled <= jobs:
        raise ValueError("there must be at least 1 project, and no more disabled jobs than jobs")
    random = Random(seed)  # noqa: S311
    names = [
        _PROJECTS[n] if n < len(_PROJECTS) else f"{_PROJECTS[n % len(_PROJECTS)]} {n + 1}" for n in range(projects)
    ]
    elements: list[Element] = []
    plans = _plans(random, jobs) if busy else [None] * jobs
    remaining = iter(plans)
    for number, project in enumerate(names):
        count = jobs // projects + (number < jobs % projects)
        elements += _data_sources(random, project)
        elements += _jobs(random, project, number, list(islice(remaining, count)))
    keys = [JobKey(project=each.project, name=each.name) for each in elements if each.kind == "job"]
    descriptions = {name: f"Jobs of {name}" if number % 2 else None for number, name in enumerate(names)}
    chosen = set(random.sample(range(jobs), disabled))
    return Generated(
        Export(version, descriptions, tuple(elements)),
        tuple(key for n, key in enumerate(keys) if n in chosen),
        tuple(_long(key) for key, plan in zip(keys, plans, strict=True) if plan and plan.long),
    )


def _plans(random: Random, jobs: int) -> list[_Plan]:
    crons = [f"{random.randrange(60)} * * * * ?" for _ in range(round(jobs * _EVERY_MINUTE))]
    crons += [f"{random.randrange(10)}/10 * * * * ?" for _ in range(round(jobs * _EVERY_10_SECONDS))]
    restless = len(crons)
    makers = random.choices([make for _, make in _OFTEN], [weight for weight, _ in _OFTEN], k=jobs - restless)
    crons += [_LONG_CRON if n < _LONG_JOBS else make(random) for n, make in enumerate(makers)]
    long = range(restless, restless + _LONG_JOBS)
    secret = set(random.sample(range(jobs), round(jobs * _WITH_SECRETS)))
    plans = [_Plan(cron, restless=n < restless, long=n in long, secret=n in secret) for n, cron in enumerate(crons)]
    random.shuffle(plans)
    return plans


def _long(key: JobKey) -> Duration:
    return Duration(seconds=_LONG_SECONDS, match=re.compile(f"^{re.escape(f'{key.project} / {key.name}')}$"))


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


def _jobs(random: Random, project: str, number: int, plans: Sequence[_Plan | None]) -> Iterator[Element]:
    scheduled: list[str] = []
    for name, plan in zip(_names(number, len(plans)), plans, strict=True):
        must_export = plan is not None and plan.secret
        job_type = "VDP" if must_export else random.choice(_TYPES)
        params: Params = {"name": name, "dataSource": "VDP"}
        if random.random() < 0.3:
            params["description"] = f"{name}, owned by team {random.randrange(1, 9)}"
        params |= _extraction(random, job_type)
        if job_type == "VDP" and (must_export or random.random() < 0.6):
            params["processor"] = {"exporter": _exporter(random, secret=plan is None or plan.secret)}
        if random.random() < 0.3:
            params["handlers"] = {"handler": {"type": "MAIL", "mailAddress": "data-team@example.com"}}
        if random.random() < 0.1:
            params["retryConfig"] = {"maxRetries": random.randrange(1, 4), "delay": 60_000}
        if trigger := _trigger(random, plan, scheduled):
            params["trigger"] = trigger
            if plan is None or plan.rests:
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


def _exporter(random: Random, *, secret: bool) -> Params:
    return {
        "fileName": f"/exports/{random.randrange(10_000)}.csv",
        "encoding": "UTF-8",
        "overwriteFile": True,
        "filter": "NONE",
        **({"zipPassword": _secret(random)} if secret else {}),
        "separator": ";",
        "includeHeader": True,
        "type": "CSV",
    }


def _trigger(random: Random, plan: _Plan | None, candidates: list[str]) -> dict[str, Any]:
    cron = _sparse_cron(random) if plan is None else plan.cron
    if not cron:
        return {}
    trigger: dict[str, Any] = {"type": "cron", "cronExpression": cron}
    if candidates and (plan is None or plan.rests) and random.random() < _DEPENDENT:
        trigger["dependency"] = {"jobId": random.choice(candidates), "executeAnyway": random.random() < 0.2}
    return trigger


def _sparse_cron(random: Random) -> str:
    place = random.random()
    return next(make for limit, make in _CRONS if place < limit)(random)


def _secret(random: Random) -> dict[str, str]:
    return {ENCRYPTED: base64.b64encode(random.randbytes(96)).decode()}
