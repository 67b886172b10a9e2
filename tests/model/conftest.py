"""Searches through the model, with a rule less where a test wants that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from denodo_ha.decisions import TABLE, Cell
from model.convergence import Convergence
from model.properties import Property
from model.rules import Rules
from model.search import Result, search
from model.state import START
from model.world import World

FAULTS = 2


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Takes a rule out of every cell of the decision table."""

    def remove(name: str) -> None:
        cells = [(key, cell) for key, cell in TABLE.items() if name in cell.rules]
        assert cells, f"no cell has the rule {name}"
        for key, cell in cells:
            rules = tuple(rule for rule in cell.rules if rule != name)
            monkeypatch.setitem(TABLE, key, Cell(rules, cell.decision))

    return remove


@pytest.fixture
def explore() -> Callable[..., Result]:
    """Searches all states with these rules and this many faults, or until a property breaks."""

    def run(rules: Rules, *, faults: int = FAULTS, until: Property | None = None, names: bool = False) -> Result:
        return search(START, World(rules, faults, names=names).steps, check=Convergence(rules).broken, until=until)

    return run
