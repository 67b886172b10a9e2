"""Where code may live, and how much of it in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = {"plugins": ROOT / "plugins", "include": ROOT / "include"}
MODULES = {
    ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
    for root in ROOTS.values()
    for file in sorted(root.rglob("*.py"))
}
PURE = [name for name in MODULES if name.split(".")[0] == "denodo_ha"]
FORBIDDEN = ("airflow", "requests", "httpx", "urllib3", "denodo_scheduler", "denodo_cli", "denodo_standin")
LONGEST_MODULE, LONGEST_FUNCTION, LARGEST_PLUGIN = 440, 60, 17500


def imports(name: str, *, at_start: bool) -> Iterator[str]:
    """What a module imports: all of it, or only what it imports when it is imported itself."""
    tree = ast.parse(MODULES[name].read_text())
    for node in ast.walk(tree):
        if at_start and _is_late(tree, node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_late(tree: ast.Module, node: ast.AST) -> bool:
    return not any(node is top for top in tree.body)


def test_no_import_circle() -> None:
    graph = {name: {each for each in imports(name, at_start=True) if each in MODULES} - {name} for name in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these modules import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", PURE)
def test_the_core_knows_nothing_of_airflow_or_http(name: str) -> None:
    assert [each for each in imports(name, at_start=False) if each.split(".")[0] in FORBIDDEN] == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] in ("denodo_ha", "denodo_scheduler")])
def test_nothing_is_too_long_to_be_read_at_once(name: str) -> None:
    text = MODULES[name].read_text()
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    too_long = {each.name: (each.end_lineno or 0) - each.lineno + 1 for each in functions}
    assert text.count("\n") <= LONGEST_MODULE
    assert {function: lines for function, lines in too_long.items() if lines > LONGEST_FUNCTION} == {}


def test_the_plugin_stays_small() -> None:
    found = (ROOTS["plugins"] / "denodo_scheduler").rglob("*")
    files = (file for file in found if file.suffix in {".py", ".sh"} and file.parent.name != "example_dags")
    assert sum(file.read_text().count("\n") for file in files) <= LARGEST_PLUGIN


def test_only_the_context_writes_the_record() -> None:
    """So that no change of the record can forget its event."""
    writers = {
        name
        for name, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("records.save")
    }
    assert writers == {"denodo_scheduler.steps.context"}
