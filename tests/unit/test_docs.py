"""The documentation is true: codes, events, alerts, options, forms, commands, examples and links agree with code."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from denodo_cli import cli, operations
from denodo_ha.alerts import WRONG_PAIR
from denodo_ha.decisions import DECISIONS, RULES, Alert
from denodo_ha.pairs import MassChangeLimits, Notify, Pair, PairOptions
from denodo_ha.pairs_file import GROUPS, load_pairs
from denodo_ha.preconditions import sync_may_begin
from denodo_ha.record import Operation, Pause, Phase, Record, Role, Step
from denodo_ha.verdict import Verdict
from denodo_ha.watching import FAILED, MONITOR_STOPPED, STEP_FAILED
from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.switchover import switchover_dag
from denodo_scheduler.dags.sync import sync_dag
from denodo_scheduler.exceptions import (
    ConfigurationError,
    NoTokenError,
    TokenRefusedError,
    WrongArgumentError,
    WrongConnectionError,
)

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SOURCES = sorted(
    [*(ROOT / "plugins" / "denodo_scheduler").rglob("*.py"), *(ROOT / "include" / "denodo_ha").rglob("*.py")]
)
OPERATOR = (ROOT / "docs" / "operator.md").read_text()
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()

CODED = {
    "Blocked": 0,
    "NotYet": 0,
    "NothingToDo": 0,
    "Reason": 0,
    "Decision": 0,
    "_blocked": 0,
    "_healthy": 0,
    "_Unproven": 0,
}
CODED |= {"Admission": 1}
"""What is called with a reason code, and as which argument."""
KINDS = {"event": 0, "_saved": 1, "leave": 0, "left": 2, "Change": 1, "News": 0, "DisablingEvent": 1}
"""What is called with a kind of event."""

Calls = Mapping[str, int]


def refusals() -> set[str]:
    """The codes with which a sync may not begin, in every state of the record."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    other = Operation(
        kind="failover", id="a", target="b", step=Step.CLAIMED, started=now, lease_until=now + timedelta(minutes=2)
    )
    records = [Record(phase=phase, active=role) for phase in Phase for role in Role]
    records += [Record(paused=Pause(since=now, reason="x")), Record(operation=other)]
    tried = product(records, Role)
    return {found[0] for record, source in tried if (found := sync_may_begin(record, now, source))}


COMPUTED: dict[tuple[str, str], set[str]] = {
    ("decisions.py", "code"): set(),
    ("decisions.py", "self.code"): set(),
    ("outcome.py", "code"): set(),
    ("exceptions.py", "self.code"): {
        each.code
        for each in (ConfigurationError, NoTokenError, TokenRefusedError, WrongArgumentError, WrongConnectionError)
    },
    ("look.py", "reason.code"): set(),
    ("passive.py", "self.kind"): set(),
    ("passive.py", "code"): set(),
    ("report.py", "news.kind"): set(),
    ("operation.py", "kind"): set(),
    ("operate.py", "found.kind"): set(),
    ("operation.py", "f'{intent.operation.kind}_begun'"): {"failover_begun", "switchover_begun"},
    ("guard.py", "reason.code"): set(),
    ("guard.py", "f'{role}_changed'"): {"master_changed", "slave_changed"},
    ("preconditions.py", "record.phase.value if under_way else 'master_active'"): refusals(),
    ("preconditions.py", "record.phase.value"): {"failing_over", "failing_back"},
    ("preconditions.py", "f'{passive}_may_be_active'"): {"master_may_be_active", "slave_may_be_active"},
    ("claim.py", "f'{role}_changed'"): {"master_changed", "slave_changed"},
    ("claim.py", "f'{ticket.target}_active'"): {"master_active", "slave_active"},
    ("watching.py", "judgement['code']"): set(),
    ("watching.py", "MONITOR_STOPPED"): set(),
    ("watching.py", "STEP_FAILED"): set(),
    ("switchover.py", "event['kind'].removeprefix('switchover_')"): {"given_up", "rolled_back"},
    ("switching.py", "kind"): {"switchover", "failback"},
    ("drill.py", "self.code"): set(),
    ("drill.py", "code"): set(),
    ("drill.py", "last.code"): set(),
    ("drill.py", "RAN"): {"ran"},
    ("drill.py", "told['code']"): set(),
    ("drill.py", "done['code']"): set(),
    ("transitions.py", "GAVE_WAY"): {"gave_way"},
    ("act.py", "'repaired' if dirty else 'drift'"): {"repaired", "drift"},
}
"""What an argument can be that is not a plain text: by file and expression. An empty set: passed on to another call."""


def words_of(calls: Calls) -> set[str]:
    """The texts with which any of ``calls`` is called in the sources."""
    return {word for source in SOURCES for word in _words_in(source, calls)}


def _words_in(source: Path, calls: Calls) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        position = calls.get(name)
        if position is None or len(node.args) <= position or (False):
            continue
        said = node.args[position]
        if isinstance(said, ast.Starred):  # a reason that was made elsewhere
            continue
        if isinstance(said, ast.Constant):
            yield said.value
        else:
            where = source.name, ast.unparse(said)
            assert where in COMPUTED, f"{where} is a new way to make a word; say in COMPUTED what it can be"
            yield from COMPUTED[where]


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


def codes() -> set[str]:
    return (
        words_of(CODED)
        | set(DECISIONS)
        | {rule.otherwise for rule in RULES.values()}
        | {MONITOR_STOPPED, STEP_FAILED, FAILED.code, WRONG_PAIR}
    )


class TestOperatorPage:
    def test_every_reason_code_is_explained(self) -> None:
        assert len(codes()) > 80
        assert codes() - first_cells(section(OPERATOR, "## Reason codes")) == set()

    def test_no_reason_code_is_explained_that_the_code_does_not_have(self) -> None:
        assert first_cells(section(OPERATOR, "## Reason codes")) - codes() == set()

    def test_every_decision_is_among_those_of_the_failover_dag(self) -> None:
        shown = first_cells(section(OPERATOR, "### Of the failover DAG: what `decide` found"))
        assert set(DECISIONS) - shown == set()

    def test_every_way_in_which_a_sync_is_refused_is_among_those_of_the_sync_dag(self) -> None:
        assert refusals() - first_cells(section(OPERATOR, "### Of the sync DAG")) == set()

    def test_every_kind_of_event_and_no_other_is_explained(self) -> None:
        kinds = words_of(KINDS) | {"monitor_stopped"}
        assert "failback" in kinds
        assert first_cells(section(OPERATOR, "## History")) == kinds

    def test_every_alert_and_no_other_is_explained(self) -> None:
        shown = first_cells(section(OPERATOR, "## Alerts"))
        assert shown - {"healthy"} == set(Alert)

    def test_every_phase_is_explained(self) -> None:
        assert first_cells(section(OPERATOR, "## The phases")) == set(Phase)

    def test_every_field_of_every_form_is_explained(self) -> None:
        shown = section(OPERATOR, "### The forms")
        rows: dict[str, set[str]] = {}
        name = ""
        for dag, field in re.findall(r"^\| *([a-z]*) *\| (\*[^|]*)\|", shown, re.MULTILINE):
            name = dag or name
            rows.setdefault(name, set()).update(re.findall(r"`([a-z_]+)`", field))
        assert rows == {kind: set(dag.params) for kind, dag in dags().items()}


def dags() -> dict[str, DAG]:
    """By the word in their id."""
    pair = Pair(name="default")
    made = {"sync": sync_dag, "failover": failover_dag, "switchover": switchover_dag, "operations": operations_dag}
    return {kind: make(pair) for kind, make in made.items()}


class TestCommands:
    def commands(self) -> list[str]:
        """What is written as code: in a line of an example, or in backticks."""
        code = (
            each
            for page in PAGES
            for block in re.findall(r"^```(?:bash)?\n(.*?)^```|`([^`\n]+)`", page.read_text(), re.MULTILINE | re.DOTALL)
            for each in "".join(block).splitlines()
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
    @pytest.mark.parametrize("option", OPTIONS)
    def test_are_in_the_file_of_pairs_and_on_the_page(self, option: str) -> None:
        file = (ROOT / "include" / "pairs.yaml").read_text()
        group, _, name = option.rpartition(".")
        if group:
            file = re.search(rf"^    {group}:.*\n((?:      .*\n)*)", file, re.MULTILINE)[1]  # type: ignore[index]
        indent = "      " if group else "    "
        assert re.search(rf"^{indent}(# )?{name}:", file, re.MULTILINE), f"{option} is not in include/pairs.yaml"
        assert option in first_cells(section(DEPLOYMENT, "## 3. The pair"))

    def test_of_an_option_are_in_the_file_of_pairs(self) -> None:
        file = (ROOT / "include" / "pairs.yaml").read_text()
        for name in (*MassChangeLimits.model_fields, *Notify.model_fields):
            assert re.search(rf"#.*\b{name}:", file), name

    def test_the_page_lists_no_other(self) -> None:
        assert first_cells(section(DEPLOYMENT, "## 3. The pair")) == set(OPTIONS)

    def test_every_alert_is_in_the_file_of_pairs(self) -> None:
        file = (ROOT / "include" / "pairs.yaml").read_text()
        assert [alert for alert in Alert if not re.search(rf"\b{alert}\b", file)] == []

    def test_every_verdict_is_named_for_dags_of_ones_own(self) -> None:
        page = (ROOT / "docs" / "building-blocks.md").read_text()
        assert [verdict for verdict in Verdict if f"`{verdict}`" not in page] == []


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
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
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
