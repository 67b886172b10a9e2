"""The documentation as a site: built without a warning, and the same pages as on GitHub and inside of Airflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from markdown import markdown
from mkdocs_hook import AsElsewhere

from denodo_scheduler.provider_info import get_provider_info
from denodo_scheduler.web import docs

ROOT = Path(__file__).parents[2]
PAGES = sorted(file.stem for file in (ROOT / "docs").glob("*.md"))
WRITTEN = [name for name in PAGES if name != "operators"]
"""All but the page that holds more on the site: what the docstrings say."""
ADDRESSES = ("*.md", "*.toml", "Dockerfile", "docs/*.md", "include/*.md", "include/*.toml", ".github/**/*.yml")
"""Files that may lead to the site."""
COUNTED = ("h1", "h2", "h3", "h4", "li", "ol", "ul", "tr", "th", "td", "pre", "code", "img", "strong", "em", "del", "a")
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Html(HTMLParser):
    """
    What an article of the site, or a page without a frame, is made of.

    :param text: the HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.made_of: Counter[str] = Counter()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.inside = "<article" not in text
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loaded += [given[LOADED[tag]]] if LOADED.get(tag) in given and given.get("rel") != "canonical" else []
        self.inside |= tag == "article"
        if self.inside and not {"headerlink", "md-content__button"} & set(given.get("class", "").split()):
            self.made_of += Counter([tag] if tag in COUNTED else [])
            self.anchors += [given["id"]] if "id" in given else []
            self.links += [given["href"]] if tag == "a" else []

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "article"


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    built = build(ROOT, folder)
    assert (built.returncode, "WARNING" in built.stdout) == (0, False), built.stdout
    return folder


def test_each_page_has_the_blocks_and_the_anchors_that_it_has_inside_of_airflow(site: Path) -> None:
    other = {}
    for name in WRITTEN:
        tokens = docs.MARKDOWN.parse((ROOT / "docs" / f"{name}.md").read_text())
        docs.anchored(tokens)
        there = Html(docs.MARKDOWN.renderer.render(tokens, docs.MARKDOWN.options, {}))
        here = Html((site / f"{name}.html").read_text())
        if here.made_of != there.made_of or sorted(here.anchors) != sorted(there.anchors):
            other[name] = here.made_of - there.made_of, there.made_of - here.made_of, {*here.anchors} ^ {*there.anchors}
    assert other == {}


def test_the_reference_shows_each_class_that_it_names(site: Path) -> None:
    named = re.findall(r"^\[`(denodo_scheduler\.[\w.]+)`]", (ROOT / "docs" / "operators.md").read_text(), re.MULTILINE)
    shown = (site / "operators.html").read_text()
    anchors = Html(shown).anchors
    assert len(named) > 10
    assert [name for name in named if name not in anchors] == []
    assert "denodo_scheduler.hooks.scheduler.DenodoSchedulerHook.export_metadata" in anchors
    assert [anchor for anchor in anchors if re.search(r"\._", anchor)] == []
    assert ":param" not in shown
    assert "<em>required" not in shown, "what reaches the base class by **kwargs looks required, whatever it is"
    assert ":class:" not in shown


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = {each for file in site.rglob("*.html") for each in Html(file.read_text()).loaded}
    assert loaded
    assert [each for each in loaded if urlsplit(each).netloc] == []
    styles = "".join(file.read_text() for file in site.rglob("*.css"))
    assert re.findall(r"@import|url\(['\"]?(?:https?:)?//", styles) == []


@pytest.mark.parametrize(
    "defect",
    [
        "[page](nothing.md)",
        "[anchor](other.md#nowhere)",
        "[anchor](#nowhere)",
        "[file](../nothing.txt)",
        "[folder](pictures/)",
        "![picture](pictures/nothing.png)",
    ],
)
def test_a_link_that_leads_nowhere_fails_the_build(defect: str, tmp_path: Path) -> None:
    shown = small_site(tmp_path, index=f"# A\n{defect}\n", other="# B\n")
    assert shown.returncode != 0
    assert "index.md" in shown.stdout
    assert re.sub(r".*\((.*)\)", r"\1", defect) in shown.stdout


def test_a_page_that_is_in_no_section_fails_the_build(tmp_path: Path) -> None:
    shown = small_site(tmp_path, index="# A\n", other="# B\n", lost="# C\n")
    assert shown.returncode != 0
    assert "lost.md" in shown.stdout


def test_links_to_rows_and_to_files_of_the_repository_are_no_defect(tmp_path: Path) -> None:
    index = "# A\n[row](other.md#code-halted) [heading](other.md#what-decide-found) [file](../LICENSE)\n"
    shown = small_site(tmp_path, index=index, other="# B\n## What `decide` found\n|code|\n|-|\n|`halted`|\n")
    assert shown.returncode == 0, shown.stdout
    assert Html((tmp_path / "site" / "index.html").read_text()).links == [
        "other.html#code-halted",
        "other.html#what-decide-found",
        "https://github.com/denodo-scheduler-ha/airflow-denodo-scheduler-ha/blob/main/LICENSE",
    ]


def small_site(folder: Path, **pages: str) -> subprocess.CompletedProcess[str]:
    """Build a site of two pages with the project's settings."""
    settings = (ROOT / "mkdocs.yml").read_text()
    nav = re.compile(r"^nav:\n(?:  .*\n)+", re.MULTILINE)
    assert nav.search(settings)
    (folder / "mkdocs.yml").write_text(nav.sub("nav: [index.md, other.md]\n", settings))
    for name in ("LICENSE", "mkdocs_hook.py", "docs/site.css"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("plugins", "include"):
        (folder / name).symlink_to(ROOT / name)
    for name, text in pages.items():
        (folder / "docs" / f"{name}.md").write_text(text)
    return build(folder, folder / "site")


LISTS = """# T
text
* a
  continued
  * b

    of b
    ```bash
    x
      y
    ```

  after it
* c
lazy

1. one
   ```bash
   1. no item
   ```
2. two

   of two
   | code |
   |---|
   | `halted` |

   - x
   - y
10. ten
    * z

text
| a | b |
|---|---|
| 1 | 2 |

> quoted
>
> * d
>   continued
> * e
"""


def test_lists_are_read_as_github_reads_them() -> None:
    made = markdown(LISTS, extensions=["tables", "sane_lists", "pymdownx.superfences", AsElsewhere("here")])
    assert Html(made).made_of == Html(docs.MARKDOWN.render(LISTS)).made_of
    assert re.findall(r"<code>(.*?)</code>", re.sub(r"<span[^>]*>|</span>", "", made), re.DOTALL)[:2] == [
        "x\n  y\n",
        "1. no item\n",
    ]


def test_titles_inside_of_airflow_hold_no_markdown() -> None:
    assert [title for title in docs.pages().values() if re.search(r"[`*_\[\]]", title)] == []


def test_every_address_of_the_site_is_a_page_of_it() -> None:
    """Such as those in the metadata of the provider and of the distributions, which no check of links reads."""
    address = re.findall(r"^site_url: (.*)", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)[0]
    texts = [file.read_text() for name in ADDRESSES for file in ROOT.glob(name)] + [json.dumps(get_provider_info())]
    named = {found for text in texts for found in re.findall(rf"{re.escape(address)}([\w./-]*)", text)}
    assert {"runbooks.html", "standin.html", "first-pair.html"} < named
    there = {f"{name}.html" for name in PAGES} | {
        f"pictures/{file.name}" for file in (ROOT / "docs/pictures").iterdir()
    }
    assert named - there == {""}


def test_every_page_is_in_one_section() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    nav = yaml.safe_load(text)["nav"]
    listed = [page for section in nav for pages in section.values() for page in pages]
    assert sorted(listed) == sorted(f"{name}.md" for name in PAGES)
