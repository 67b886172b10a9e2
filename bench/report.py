"""What was measured, whether it meets its target, and how that is shown and kept."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

_PACKAGES = ("airflow-denodo-scheduler-ha", "apache-airflow", "apache-airflow-providers-http", "pydantic", "requests")


@dataclass(frozen=True)
class Measurement:
    """One number.

    :param unit: ``s``, ``MB`` …; nothing for a plain number or a ratio.
    :param at_most: the target: not more than this. :param at_least: the target: not less than this.
    :param note: what to know about it.
    """

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def target(self) -> str:
        limits = (("≤", self.at_most), ("≥", self.at_least))
        return ", ".join(f"{sign} {_number(limit)}" for sign, limit in limits if limit is not None)


@dataclass(frozen=True)
class Result:
    """One row of the bench: what was measured in it, and why it ended early, if it did.

    :param seconds: how long the row took.
    """

    name: str
    title: str
    measurements: tuple[Measurement, ...]
    seconds: float
    error: str = ""

    @property
    def met(self) -> bool:
        """Nothing failed and no target was missed."""
        return not self.error and all(measurement.met is not False for measurement in self.measurements)


def table(results: Sequence[Result]) -> Table:
    """All results, for people."""
    shown = Table(title="make bench", title_justify="left", show_lines=False)
    shown.add_column("")
    shown.add_column("measured", justify="right")
    shown.add_column("target", justify="right")
    shown.add_column("")
    shown.add_column("note", overflow="fold")
    for result in results:
        shown.add_section()
        shown.add_row(f"[bold]{result.title}[/]")
        for one in result.measurements:
            shown.add_row(f"  {one.what}", _value(one), one.target, _verdict(one), Text(one.note))
        if result.error:
            shown.add_row("  failed", "", "", "[red]failed[/]", Text(result.error))
    return shown


def write_json(file: Path, results: Sequence[Result]) -> None:
    """Write the results, with the machine and the versions they were measured on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "met": all(result.met for result in results),
        "machine": _machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "rows": [_row(result) for result in results],
    }
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _row(result: Result) -> dict[str, Any]:
    """JSON has no infinite numbers: such a value is null."""
    measurements = [
        asdict(one) | {"met": one.met, "value": one.value if math.isfinite(one.value) else None}
        for one in result.measurements
    ]
    return asdict(result) | {"met": result.met, "measurements": measurements}


def _machine() -> dict[str, Any]:
    """:return: among others the load of the last minute, since a busy machine is a slow one."""
    return {
        "system": platform.platform(),
        "processor": next(_processors(), platform.machine()),
        "processors": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "load": round(os.getloadavg()[0], 2),
    }


def _processors() -> Iterator[str]:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            yield line.partition(":")[2].strip()


def _value(one: Measurement) -> str:
    """An infinite value is of something that never came."""
    return "never" if math.isinf(one.value) else f"{_number(one.value)} {one.unit}".rstrip()


def _number(value: float) -> str:
    """Whole numbers as they are, others with three digits that say something."""
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _verdict(one: Measurement) -> str:
    return {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[one.met]
