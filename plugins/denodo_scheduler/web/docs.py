"""The documentation of this version, as pages: ``docs/*.md`` of the repository, which the wheel holds here.

``mkdocs.yml``, by which the documentation is a site too, says in which sections the pages stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response
from markdown_it import MarkdownIt
from markdown_it.token import Token

from denodo_ha.runbook import heading_anchor, row_anchor
from denodo_scheduler.web.access import user

_OF_THE_WHEEL, _OF_THE_REPOSITORY = Path(__file__).parent / "docs_pages", Path(__file__).parents[3] / "docs"
FOLDER = _OF_THE_WHEEL if _OF_THE_WHEEL.is_dir() else _OF_THE_REPOSITORY
PICTURES = frozenset({".png", ".svg", ".jpg", ".gif", ".webp"})

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{up}page/docs.css">
</head>
<body>
<nav aria-label="Documentation"><a href="{up}page/index.html">Denodo pairs</a> {pages}</nav>
<main>
{body}</main>
</body>
</html>
"""
IN_EVERY_PAGE = ("on-duty", "runbooks", "reason-codes")
"""The pages that the line at the top of each leads to, besides the list of all."""

router = APIRouter(dependencies=[Depends(user)])


@router.get("/docs/{path:path}")
def docs(path: str) -> Response:
    """Answer with a page, such as ``runbooks.html``, the first one, ``index.html``, or a picture."""
    if path == "index.html":
        return HTMLResponse(index())
    name, _, extension = path.partition(".")
    if extension == "html" and name in pages():
        return HTMLResponse(rendered(name))
    if path in _pictures():
        return FileResponse(FOLDER / path)
    raise HTTPException(404, "there is no such page")


@cache
def pages() -> dict[str, str]:
    """Return the titles of all pages, by their names."""
    return {file.stem: _title(file) for file in sorted(FOLDER.glob("*.md"))}


@cache
def rendered(name: str) -> str:
    """Return a page as HTML."""
    return _page(pages()[name], _body(name))


def index() -> str:
    """Return the first page, and beneath it the list of all by their sections."""
    lists = "".join(
        f"<h3>{escape(section)}</h3>\n<ul>\n"
        + "".join(f'<li><a href="{name}.html">{escape(pages()[name])}</a></li>\n' for name in names)
        + "</ul>\n"
        for section, names in sections().items()
    )
    first = _body("index") if "index" in pages() else "<h1>Documentation</h1>\n"
    return _page("Documentation", f'{first}<h2 id="all-pages">All pages</h2>\n{lists}')


def sections() -> dict[str, list[str]]:
    """Return the names of the pages by their sections, in the order of the site; last those that it does not list."""
    files = (folder / "mkdocs.yml" for folder in (FOLDER, FOLDER.parent))
    file = next((file for file in files if file.is_file()), None)
    nav = yaml.safe_load(file.read_text(encoding="utf-8"))["nav"] if file else []
    found = {
        section: [name for page in listed if (name := page.removesuffix(".md")) in pages()]
        for each in nav
        for section, listed in each.items()
    }
    others = sorted({*pages()} - {name for names in found.values() for name in names})
    return found | ({"More": others} if others else {})


def _body(name: str) -> str:
    tokens = MARKDOWN.parse((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    anchored(tokens)
    for token in tokens:
        _lead(token.children or ())
    return str(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {}))


def _page(title: str, body: str) -> str:
    named = ((name, pages()[name]) for name in IN_EVERY_PAGE if name in pages())
    links = " ".join(f'<a href="{name}.html">{escape(said)}</a>' for name, said in (*named, ("index", "Documentation")))
    return PAGE.format(title=escape(title), up="../", pages=links, body=body)


def _title(file: Path) -> str:
    first = re.search(r"^# (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return re.sub("[`*]", "", first[1]) if first else file.stem


@cache
def _pictures() -> frozenset[str]:
    """The pictures beside the pages, by their paths from there."""
    found = (file for file in FOLDER.rglob("*") if file.suffix in PICTURES and file.is_file())
    return frozenset(file.relative_to(FOLDER).as_posix() for file in found)


# -- how a page is rendered

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def anchored(tokens: Sequence[Token]) -> list[str]:
    """Give each heading, and each word that a row of a table explains in its first column, its anchor; see
    :mod:`denodo_ha.runbook`.

    :return: all anchors.
    """
    taken = dict.fromkeys(_anchored_headings(tokens), "")
    section = column = ""
    for at, token in enumerate(tokens):
        token.attrs.pop("style", None)  # how a column is aligned; the page's security policy has no style in it
        if token.type == "heading_open":
            section = str(token.attrGet("id"))
        elif token.type == "tr_open" and tokens[at + 1].type == "th_open":
            column = tokens[at + 2].content
        elif token.type == "tr_open":
            for word in _codes(tokens[at + 2].children or ()):
                anchor = row_anchor(column, section, word.content, taken)
                word.attrSet("id", anchor)
                taken[anchor] = ""
    return list(taken)


def _anchored_headings(tokens: Sequence[Token]) -> Iterator[str]:
    taken: set[str] = set()
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            children = tokens[at + 1].children or ()
            anchor = heading_anchor("".join(each.content for each in children), taken)
            token.attrSet("id", anchor)
            taken.add(anchor)
            yield anchor


def _codes(children: Sequence[Token]) -> Iterator[Token]:
    return (each for each in children if each.type == "code_inline")


def _lead(children: Sequence[Token]) -> None:
    """Turn the links of a page to those that work here; what leads to another file of the repository becomes text."""
    inside: list[bool] = []
    for token in children:
        if token.type == "link_open":
            there = _there(str(token.attrGet("href")))
            inside.append(bool(there))
            token.attrSet("href", there)
            if there.startswith(("http:", "https:")):
                token.attrSet("rel", "noopener noreferrer")
            _hide(token, not there)
        elif token.type == "link_close":
            _hide(token, not inside.pop())
        elif token.type == "image" and str(token.attrGet("src")) not in _pictures():
            token.type, token.tag, token.content = "text", "", f"[{token.content}]"


def _hide(token: Token, hidden: bool) -> None:
    if hidden:
        token.type, token.tag, token.content, token.nesting = "text", "", "", 0


def _there(target: str) -> str:
    """Return where a link of a page leads to, empty where there is nothing to be shown."""
    if urlsplit(target).scheme in ("http", "https") or target.startswith("#"):
        return target
    path, _, anchor = target.partition("#")
    if path.endswith(".md") and path[:-3] in pages():
        return f"{path[:-3]}.html" + (f"#{anchor}" if anchor else "")
    return target if target in _pictures() else ""
