"""Pages and docstrings use the field's words, and repeat none by mistake."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SOURCES = sorted(file for folder in ("dags", "plugins", "include") for file in (ROOT / folder).rglob("*.py"))
INSTEAD = {
    r"quench\w*": "disable, demote",
    r"witness\w*": "epoch file",
    r"bursts?": "immediate runs",
    r"(belongs?|belonged) to the past": "superseded by a newer run",
    r"in the same breath": "immediately, in the same task",
    r"believe\w* in": "declares the master down; waits for it",
    r"bad nights?": "incident",
    r"turned down": "rejected",
    r"a surprise in the night": "fail at parse time",
}
"""What is not written, as a pattern, and what is."""


def prose(text: str) -> str:
    """Return a text without code, targets of links and names of parameters, line by line."""
    without_blocks = re.sub(r"^ *```.*?^ *```", lambda found: "\n" * found[0].count("\n"), text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]+`|(?<=])\([^)\s]+\)|:param \w+:", " * ", without_blocks)


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def texts() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        lines = prose(page.read_text()).split("\n")
        yield from ((f"{page.name}:{number}", line) for number, line in enumerate(lines, 1))
    for file in SOURCES:
        for number, text in docstrings(file):
            yield f"{file.relative_to(ROOT)}:{number}", prose(text.replace("``", "`"))


TEXTS = list(texts())


@pytest.mark.parametrize(("word", "instead"), INSTEAD.items())
def test_the_words_of_the_field(word: str, instead: str) -> None:
    found = {place: said[0] for place, text in TEXTS if (said := re.search(rf"\b({word})\b", text, re.IGNORECASE))}
    assert found == {}, f"write: {instead}"


def test_no_word_is_there_twice() -> None:
    twice = re.compile(r"\b(?!for for)([a-z]+)\s+\1\b", re.IGNORECASE)  # what is "waited for for an hour" is right
    assert {place: said[0] for place, text in TEXTS if (said := twice.search(text))} == {}


def test_what_is_code_is_no_prose() -> None:
    text = prose("a `quench` b [c](quench.md)\n```\nquench\n```\nquench\n")
    assert [number for number, line in enumerate(text.split("\n"), 1) if "quench" in line] == [5]
