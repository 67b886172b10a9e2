"""The documentation is true: phases, options, forms, commands, examples and links agree with code."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from denodo_cli import cli, operations
from denodo_ha.decisions import Alert
from denodo_ha.offers import IDS
from denodo_ha.pairs import Pair, PairOptions
from denodo_ha.pairs_file import GROUPS, load_pairs
from denodo_ha.pairs_options import MassChangeLimits, Notify
from denodo_ha.readiness.judge import CHECKS, OF_TARGET
from denodo_ha.record import Phase, Role
from denodo_ha.transitions import TRANSITIONS
from denodo_ha.verdict import Verdict
from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.switchover import switchover_dag
from denodo_scheduler.dags.sync import sync_dag
from denodo_scheduler.web.docs import MARKDOWN

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
ON_DUTY = (ROOT / "docs" / "on-duty.md").read_text()
READINESS = (ROOT / "docs" / "readiness.md").read_text()


def section(page: str, title: str) -> str:
    """A chapter with everything beneath it."""
    level = title.split(" ")[0]
    begin = page.index(f"\n{title}\n")
    end = re.compile(rf"^#{{1,{len(level)}}} ", re.MULTILINE).search(page, begin + len(title) + 2)
    return page[begin : end.start() if end else len(page)]


def first_cells(text: str) -> set[str]:
    """The words in code font in the first cell of each row of the tables."""
    rows = re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)
    return {word for cell in rows for word in re.findall(r"`([^`]+)`", cell)}


class TestOnDuty:
    def test_every_field_of_every_form_is_explained(self) -> None:
        forms = {kind: first_cells(section(ON_DUTY, f"### The form of the {kind} DAG")) for kind in dags()}
        assert forms == {kind: set(dag.params) for kind, dag in dags().items()}

    def test_what_a_person_can_do_has_its_word_on_the_page_of_pairs(self) -> None:
        words = re.findall(r"^\| \*\*(.+?)\*\* \|", section(ON_DUTY, "## What you can do"), re.MULTILINE)
        assert len(words) > 15
        assert set(words) - set(IDS) == set()


class TestPhases:
    def test_every_phase_is_explained(self) -> None:
        page = (ROOT / "docs" / "phases.md").read_text()
        assert re.findall(r"^## `(\w+)`$", page, re.MULTILINE) == list(Phase)

    def test_the_drawing_has_every_change_of_phase_and_no_other(self) -> None:
        drawing = (ROOT / "docs" / "pictures" / "phases.svg").read_text()
        arrows = re.findall(r'<g id="(\w+)-to-(\w+)">(.*?)</g>', drawing, re.DOTALL)
        shown = [(start, end, " ".join(re.findall(r"<text[^>]*>([^<]*)<", text))) for start, end, text in arrows]
        assert sorted(shown) == sorted(TRANSITIONS)


class TestReadiness:
    def test_every_finding_and_no_other_is_explained(self) -> None:
        names = {re.sub(" (master|slave)$", "", name) for name in CHECKS}
        assert first_cells(section(READINESS, "## What it looks at")) == names

    def test_what_stops_a_switchover_is_marked(self) -> None:
        marked = re.findall(r"^\| ([^|]*) \| yes \|", READINESS, re.MULTILINE)
        assert {word for cell in marked for word in re.findall(r"`([^`]+)`", cell)} == OF_TARGET
        each = {re.sub(" (master|slave)$", "", name) for name in CHECKS if name.endswith((" master", " slave"))}
        assert first_cells(section(READINESS, "### Each server")) == each


def dags() -> dict[str, DAG]:
    """By the word in their id."""
    pair = Pair(name="default")
    made = {"sync": sync_dag, "failover": failover_dag, "switchover": switchover_dag, "operations": operations_dag}
    return {kind: make(pair) for kind, make in made.items()}


class TestCommands:
    def commands(self) -> list[str]:
        """What is written as code: in a line of an example, or in backticks."""
        tokens = (token for page in PAGES for token in MARKDOWN.parse(page.read_text()))
        code = (
            line
            for token in tokens
            for each in (token, *(token.children or ()))
            if each.type in ("fence", "code_inline")
            for line in each.content.splitlines()
        )
        return [
            each.partition("#")[0].strip() for each in code if re.match(r"denodo-ha [a-z]", each) and "…" not in each
        ]

    def test_those_of_denodo_ha_start_what_the_forms_allow(self) -> None:
        known, started = dags(), set()
        for line in self.commands():
            words = [each.replace("<pair>", "default").replace("PAIR", "default") for each in shlex.split(line)[1:]]
            if words[0].isupper() or len(words) == 1 != (words[0] in ("list", "check-config")):
                continue  # a placeholder, or the name of a command in a sentence
            args = cli._parser().parse_args(words)
            if args.command not in operations.FORM:
                continue
            active = Role.SLAVE if args.command in ("fail-back", "re-protect") else Role.MASTER
            situation: Any = SimpleNamespace(needed=SimpleNamespace(active=active))
            dag_id, conf = operations.asked_for(args, operations.form_of(args), situation)
            dag = known[dag_id.removeprefix("denodo_scheduler_").removesuffix("__default")]
            assert set(conf) <= set(dag.params), line
            for name in dag.params:
                param = dag.params.get_param(name)
                param.resolve(conf.get(name, param.value))  # raises where the form would refuse it
            started.add(args.command)
        assert started == set(operations.FORM)


OPTIONS = [
    *(name for name in PairOptions.model_fields if name not in GROUPS),
    *(f"{group}.{name}" for group, model in GROUPS.items() for name in model.model_fields),
]


class TestOptions:
    def test_are_on_the_page_and_no_others(self) -> None:
        page = (ROOT / "docs" / "pairs-options.md").read_text()
        assert first_cells(page) == set(OPTIONS)

    def test_of_an_option_are_in_the_file_of_pairs(self) -> None:
        file = (ROOT / "include" / "pairs.yaml").read_text()
        for name in (*MassChangeLimits.model_fields, *Notify.model_fields):
            assert re.search(rf"#.*\b{name}:", file), name

    def test_every_alert_is_in_the_file_of_pairs(self) -> None:
        file = (ROOT / "include" / "pairs.yaml").read_text()
        assert [alert for alert in Alert if not re.search(rf"\b{alert}\b", file)] == []

    def test_every_verdict_is_named_for_dags_of_ones_own(self) -> None:
        page = (ROOT / "docs" / "building-blocks.md").read_text()
        assert [verdict for verdict in Verdict if f"`{verdict}`" not in page] == []


@pytest.mark.parametrize("package", ["include/denodo_ha", "plugins/denodo_scheduler"])
def test_each_module_has_its_place_in_the_architecture(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    inside = [each for each in (ROOT / package).iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()]
    named = [each.stem for each in inside if re.search(rf"[`/]{each.stem}(\.py|/[^`]*)?`", page)]
    assert sorted({each.stem for each in inside} - {*named, "__init__"}) == []


def test_what_a_page_for_contributors_names_is_where_it_says() -> None:
    text = "\n".join(
        (ROOT / page).read_text() for page in ("docs/extending.md", "docs/architecture.md", "CONTRIBUTING.md")
    )
    paths = set(re.findall(r"`((?:include|plugins|tests|docs|dags|deploy)/[\w./-]+)`", text)) - {"docs/"}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    named = re.findall(r"`(\w+)` (?:of|in) `([\w./-]+\.py)`", text)
    assert ("ALERTS", "plugins/denodo_scheduler/dags/history.py") in named
    defined = {(name, path): rf"^(class |def )?{name}\b|^ +{name}\(" for name, path in named}
    wrong = [place for place, pattern in defined.items() if not re.search(pattern, (ROOT / place[1]).read_text(), re.M)]
    assert wrong == []


def test_what_an_idle_pair_costs_are_the_tasks_of_a_look() -> None:
    page = (ROOT / "docs" / "airflow.md").read_text()
    said = re.search(r"An idle pair needs (\d+) .*?\((.*?), and four that are skipped\)", page)
    assert said
    tasks, named = set(dags()["failover"].task_ids), set(re.findall(r"`(\w+)`", said[2]))
    assert named < tasks
    assert (int(said[1]), len(tasks - named)) == (len(tasks), 4)


def blocks(language: str) -> list[Any]:
    """Code blocks of all pages, named by page and line."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text[: block.start()].count("\n") + 1
            found.append(pytest.param(block[1], id=f"{page.name}:{line}"))
    return found


class TestExamples:
    @pytest.mark.parametrize("text", blocks("yaml"))
    def test_pairs_can_be_loaded(self, text: str, tmp_path: Path) -> None:
        file = tmp_path / "pairs.yaml"
        file.write_text(text)
        assert load_pairs(file)

    @pytest.mark.parametrize("text", blocks("python"))
    def test_python_runs(self, text: str) -> None:
        exec(compile(text, "an example", "exec"), {"__name__": "an_example", "__builtins__": builtins})  # noqa: S102

    def test_python_within_a_shell_command_can_be_parsed(self) -> None:
        found = [
            text
            for page in PAGES
            for text in re.findall(r"<<'EOF'\n(.*?)^EOF", page.read_text(), re.DOTALL | re.MULTILINE)
        ]
        assert found
        for text in found:
            ast.parse(textwrap.dedent(text))


def _slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    plain = re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_slug(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


def _links() -> list[Any]:
    found = []
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in dict.fromkeys(re.findall(r"\]\(([^)\s]+)\)", text)):
            if not target.startswith(("http:", "https:")):
                found.append(pytest.param(page, target, id=f"{page.name}:{target}"))
    return found


@pytest.mark.parametrize(("page", "target"), _links())
def test_links_lead_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    assert there.exists()
    if anchor:
        assert anchor in _anchors(there)


def test_every_target_of_make_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    assert named - targets == set()
