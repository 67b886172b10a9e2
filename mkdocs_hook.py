"""What makes ``docs/*.md`` the same on the site as on GitHub and inside of Airflow; ``mkdocs.yml`` names this file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown_it import MarkdownIt
from markdown_it.token import Token

from denodo_ha.runbook import heading_anchor, row_anchor

ROOT = Path(__file__).parent
DOCS = ROOT / "docs"
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
COMMONMARK = MarkdownIt("commonmark").enable("table")
MARKER = re.compile(r" *(?:[*+-]|\d+[.)]) *")
LISTS = ("bullet_list_open", "ordered_list_open")
REFERENCE = re.compile(r"^\[`(denodo_scheduler\.[\w.]+)`]\(\.\./plugins/\S+\.py\)( with its \w+)?$", re.MULTILINE)
"""A paragraph that is nothing but the name of a class, with a link to its source."""
ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")
"""A reference as Sphinx writes it, in a docstring."""


def on_config(config: Any) -> Any:
    """Add what this file has to the extensions of Markdown."""
    config.markdown_extensions.append(AsElsewhere(config.edit_uri_template.partition("/edit/")[0]))
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference of a class, out of its docstrings, in place of the link to its source."""
    return REFERENCE.sub(_directive, markdown)


def _directive(found: re.Match[str]) -> str:
    without_members = "    options:\n      members: []\n"
    return f"::: {found[1]}\n" + ("" if found[2] else without_members)


class AsElsewhere(Extension):
    """
    Anchors, links and names as GitHub, Airflow and an editor show them.

    :param repository: the address of the repository, for links to files that are no part of the documentation.
    """

    def __init__(self, repository: str) -> None:
        super().__init__()
        self.repository = repository

    def extendMarkdown(self, md: Markdown) -> None:
        # Before blocks of code are taken out (25).
        md.preprocessors.register(Blocks(md), "blocks", 27)
        md.preprocessors.register(Roles(md), "roles", 5)
        # After the texts are there (20), before the table of contents (5) and the check of the links (0).
        md.treeprocessors.register(Anchors(md), "anchors", 10)
        md.treeprocessors.register(Outside(self.repository), "outside", 9)


class Blocks(Preprocessor):
    """Indent lists by four blanks a level, and set blocks apart by empty lines, as Python-Markdown needs it."""

    def run(self, lines: list[str]) -> list[str]:
        tokens = list(_unquoted(COMMONMARK.parse("\n".join(lines))))
        indented = _indented(lines, tokens)
        apart = _apart(tokens)
        return [each for at, line in enumerate(indented) for each in ([""] if at in apart else []) + [line]]


def _unquoted(tokens: Sequence[Token]) -> Iterator[Token]:
    quotes = 0
    for token in tokens:
        quotes += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        if not quotes:
            yield token


def _indented(lines: Sequence[str], tokens: Sequence[Token]) -> list[str]:
    indented = list(lines)
    offsets = [0]  # of the list items around a token: how many columns of their lines are indentation
    for token in tokens:
        if token.type == "list_item_close":
            offsets.pop()
        elif token.type == "list_item_open" and token.map:
            (first, end), outer, blanks = token.map, offsets[-1], " " * 4 * len(offsets)
            marker = MARKER.match(lines[first], outer)
            offsets.append(marker.end() if marker else outer)
            indented[first] = blanks[4:] + lines[first][outer:].lstrip()
            for at in range(first + 1, end):
                indented[at] = blanks + _without(lines[at], offsets[-1]) if lines[at].strip() else ""
    return indented


def _apart(tokens: Sequence[Token]) -> set[int]:
    """Return the lines before which an empty one is needed."""
    apart: set[int] = set()
    for at, token in enumerate(tokens):
        first, end = token.map or (0, 0)
        if token.type == "fence" and token.level:
            apart |= {first, end}
        # Behind an item that is more than one paragraph: list_item_open, paragraph_open, inline and two that close.
        later = token.type == "list_item_open" and tokens[at - 1].type == "list_item_close"
        if (
            (later and tokens[at - 5].type != "list_item_open")
            or token.type == "table_open"
            or (token.type in LISTS and not token.level)
        ):
            apart.add(first)
    return apart


def _without(line: str, offset: int) -> str:
    """Return a line without the indentation of its list item, which a wrapped paragraph need not have."""
    return line.lstrip() if line[:offset].strip() else line[offset:]


class Roles(Preprocessor):
    """Write the references of docstrings as code."""

    def run(self, lines: list[str]) -> list[str]:
        return [ROLE.sub(r"`\1`", line) for line in lines]


class Anchors(Treeprocessor):
    """Give headings and the words of tables the anchors that :mod:`denodo_ha.runbook` leads to."""

    def run(self, root: Element) -> None:
        taken: dict[str, str] = {}
        for heading in (each for each in root.iter() if each.tag in HEADINGS):
            heading.set("id", heading_anchor(_text(heading), taken))
            taken[heading.get("id", "")] = ""
        section = column = ""
        for element in root.iter():
            if element.tag in HEADINGS:
                section = element.get("id", "")
            elif element.tag == "tr" and (first := next(iter(element), None)) is not None:
                if first.tag == "th":
                    column = _text(first)
                    continue
                for word in first.iter("code"):
                    anchor = row_anchor(column, section, _text(word), taken)
                    word.set("id", anchor)
                    taken[anchor] = ""


class Outside(Treeprocessor):
    """
    Lead from the site to the repository where a page leads to a file outside of ``docs/``.

    :param repository: the address of the repository.
    """

    def __init__(self, repository: str) -> None:
        super().__init__()
        self.repository = repository

    def run(self, root: Element) -> None:
        for link in root.iter("a"):
            target = urlsplit(link.get("href", ""))
            there = (DOCS / target.path).resolve()
            inside = target.scheme or not target.path or there.is_relative_to(DOCS)
            if not inside and there.exists():  # the strict build tells of one that does not
                kind = "tree" if there.is_dir() else "blob"
                anchor = f"#{target.fragment}" if target.fragment else ""
                link.set("href", f"{self.repository}/{kind}/main/{there.relative_to(ROOT).as_posix()}{anchor}")


def _text(element: Element) -> str:
    return unescape("".join(element.itertext()))
