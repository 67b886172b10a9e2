"""The documentation as the plugin shows it: complete, safe, and with links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import yaml
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from denodo_scheduler.web import access, docs

ROOT = Path(__file__).parents[2]
NAMES = sorted(file.stem for file in (ROOT / "docs").glob("*.md"))


def client(*, logged_in: bool = True) -> TestClient:
    def user() -> object:
        if not logged_in:
            raise HTTPException(401)
        return object()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(docs.router)
    app.dependency_overrides[access.user] = user
    return TestClient(app)


class Page(HTMLParser):
    """The anchors and links of a page, and whatever a security policy would refuse."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.refused: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if tag == "a" else []
        self.refused += [tag] if tag in ("script", "style", "iframe") else []
        self.refused += [name for name in given if name == "style" or name.startswith("on")]


@pytest.fixture(scope="module")
def shown() -> dict[str, Page]:
    asked = client()
    return {name: Page(asked.get(f"/docs/{name}.html").text) for name in (*NAMES, "index")}


def test_every_page_is_shown(shown: dict[str, Page]) -> None:
    assert NAMES
    assert [name for name in NAMES if not shown[name].ids] == []
    assert {f"{name}.html" for name in NAMES} <= set(shown["index"].links)


def test_every_link_leads_somewhere(shown: dict[str, Page]) -> None:
    lost = []
    for name, page in shown.items():
        for link in page.links:
            there = urlsplit(urljoin(f"/denodo-ha/docs/{name}.html", link))
            if there.scheme or there.path == "/denodo-ha/page/index.html":
                continue
            target = shown.get(Path(there.path).stem)
            if target is None or (there.fragment and there.fragment not in target.ids):
                lost.append((name, link))
    assert lost == []


def test_the_first_page_lists_all_by_the_sections_of_the_site() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    shown = re.findall(r"<h3>(.*?)</h3>|<li><a href=\"(.*?)\.html\"", docs.index().partition('id="all-pages"')[2])
    assert [section or f"{name}.md" for section, name in shown] == [
        each for section in nav for name, listed in section.items() for each in (name, *listed)
    ]
    assert len(nav) > 3


def test_no_anchor_is_there_twice(shown: dict[str, Page]) -> None:
    assert {name: page.ids for name, page in shown.items() if len(page.ids) != len(set(page.ids))} == {}


def test_nothing_that_the_security_policy_refuses(shown: dict[str, Page]) -> None:
    assert {name: page.refused for name, page in shown.items() if page.refused} == {}


def test_a_page_leads_back_to_the_pairs(shown: dict[str, Page]) -> None:
    assert [name for name, page in shown.items() if "../page/index.html" not in page.links] == []


def test_its_style_sheet_is_among_the_files_of_the_page() -> None:
    found = re.findall(r'rel="stylesheet" href="\.\./page/([^"]+)"', client().get("/docs/runbooks.html").text)
    assert [(Path(docs.__file__).parent / "static" / file).is_file() for file in found] == [True]


@pytest.mark.parametrize("page", ["runbooks.html", "index.html", "nothing.html"])
def test_without_a_login_there_is_nothing(page: str) -> None:
    assert client(logged_in=False).get(f"/docs/{page}").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "nothing.html",
        "runbooks",
        "runbooks.md",
        "runbooks.html.md",
        "../README.html",
        "..%2FREADME.html",
        "%2e%2e/%2e%2e/pyproject.toml",
        "..%2f..%2fpyproject.toml",
        "examples/pairs-three.yaml",
        "site.css",
        "/etc/passwd",
        "",
    ],
)
def test_nothing_else_is_shown(path: str) -> None:
    assert client().get(f"/docs/{path}").status_code == 404


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of pages of the test's own."""
    caches = (docs.pages, docs.rendered, docs._pictures)
    monkeypatch.setattr(docs, "FOLDER", tmp_path)
    for each in caches:
        each.cache_clear()
    yield tmp_path
    for each in caches:
        each.cache_clear()


def test_a_page_that_no_section_lists_is_listed_last(folder: Path) -> None:
    for name in "abc":
        (folder / f"{name}.md").write_text(f"# The page {name}\n")
    assert docs.sections() == {"More": ["a", "b", "c"]}
    (folder / "mkdocs.yml").write_text("nav:\n  - First: [b.md, gone.md]\n  - Second: [a.md]\n")
    assert docs.sections() == {"First": ["b"], "Second": ["a"], "More": ["c"]}
    assert re.findall(r'href="(.)\.html">The page', client().get("/docs/index.html").text) == ["b", "a", "c"]


def test_html_of_a_page_is_text(folder: Path) -> None:
    (folder / "a.md").write_text("# A <b>page</b> & `more`\n<script>alert(1)</script>\n\n[x](javascript:alert(1))\n")
    text = client().get("/docs/a.html").text
    assert "<script>" not in text
    assert "<b>" not in text
    assert 'href="javascript' not in text
    assert "<title>A &lt;b&gt;page&lt;/b&gt; &amp; more</title>" in text


def test_links_to_what_is_not_shown_are_text(folder: Path) -> None:
    (folder / "a.md").write_text(
        "# A\n[readme](../README.md) [file](x.yaml) [b](b.md) [c](b.md#c) [up](#a) [out](https://example.com)\n"
    )
    (folder / "b.md").write_text("# B\n## C\n")
    text = client().get("/docs/a.html").text
    assert "<p>readme file <a" in text
    assert Page(text).links[-4:] == ["b.html", "b.html#c", "#a", "https://example.com"]


def test_pictures_are_shown_and_others_named(folder: Path) -> None:
    (folder / "pictures").mkdir()
    (folder / "pictures" / "page.png").write_bytes(b"PNG")
    (folder / "a.md").write_text("# A\n![the page](pictures/page.png) ![badge](https://example.com/x.png)\n")
    asked = client()
    text = asked.get("/docs/a.html").text
    assert text.count("<img") == 1
    assert '<img src="pictures/page.png" alt="the page"' in text
    assert "[badge]" in text
    assert asked.get("/docs/pictures/page.png").content == b"PNG"
    assert client(logged_in=False).get("/docs/pictures/page.png").status_code == 401


def test_aligned_columns_have_no_style_of_their_own(folder: Path) -> None:
    (folder / "a.md").write_text("# A\n| a | b |\n|:-:|--:|\n| 1 | 2 |\n")
    assert "style=" not in client().get("/docs/a.html").text
