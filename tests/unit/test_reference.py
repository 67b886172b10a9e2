"""What is generated from the options is current, and the JSON schema for editors agrees with the reader."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import TypeAdapter, ValidationError

from denodo_ha.pairs import PairOptions
from denodo_ha.pairs_file import FLAT, GROUPS, read_pairs
from denodo_ha.pairs_values import Duration, DurationOrZero
from denodo_ha.reference import FILES
from denodo_ha.server.connection import form

ROOT = Path(__file__).parents[2]
SCHEMA_FILE = ROOT / "include" / "denodo_ha" / "pairs.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR = Draft7Validator(SCHEMA)
SHIPPED = sorted(
    [
        ROOT / "include" / "pairs.yaml",
        *ROOT.glob("docs/examples/pairs*.yaml"),
        *ROOT.glob("deploy/compose/*/pairs.yaml"),
    ]
)


def as_json(value: Any) -> Any:
    """What an editor makes of what was read from YAML: days are texts."""
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_json(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def wrong(text: str) -> list[str]:
    """What the schema refuses in a file."""
    return [error.message for error in VALIDATOR.iter_errors(as_json(yaml.safe_load(text)))]


@pytest.mark.parametrize("path", FILES)
def test_what_is_generated_is_current(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path](), "run: make tables"


def test_every_option_has_a_description_of_whole_sentences() -> None:
    def described(model: Any) -> dict[str, str | None]:
        return {name: field.description for name, field in model.model_fields.items()}

    for model in (PairOptions, *GROUPS.values()):
        for name, text in described(model).items():
            assert text, name
            assert re.search(r"^[A-Z\[].*\.$", text), f"{name}: {text}"
    pages = (ROOT / "docs" / "connection-options.md").read_text(encoding="utf-8")
    assert [name for name in form() if f"| `{name}` |" not in pages] == []


class TestShipped:
    @pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(ROOT)))
    def test_is_right_and_names_the_schema_in_its_first_line(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        assert wrong(text) == []
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
        assert named is not None
        assert (file.parent / named[1]).samefile(SCHEMA_FILE)

    def test_all_are_found(self) -> None:
        assert len(SHIPPED) >= 4

    def test_the_examples_of_the_pages_are_right(self) -> None:
        pages = {file.name: file.read_text("utf-8") for file in (ROOT / "docs").glob("*.md")}
        found = [
            (name, block)
            for name, text in pages.items()
            for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            if re.search(r"^pairs:", block, re.MULTILINE)
        ]
        assert len(found) >= 4
        assert {name: mistakes for name, block in found if (mistakes := wrong(block))} == {}

    def test_the_template_is_right_with_every_option_set(self) -> None:
        text = re.sub(
            r"^( {4}| {6})# ", r"\1", (ROOT / "include" / "pairs.yaml").read_text("utf-8"), flags=re.MULTILINE
        )
        assert set(yaml.safe_load(text)["pairs"]["default"]) == set(PairOptions.model_fields)
        assert wrong(text) == []


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "pairs:",
        "pears: {a: {}}",
        "pairs: {a: {shedule: x}}",
        "pairs: {a: {}}\nother: 1",
        "pairs: {a b: {}}",
        "pairs: {a: 5}",
        "pairs: {a: {name: b}}",
        "pairs: {a: {projects: []}}",
        "pairs: {a: {projects: sales}}",
        "pairs: {a: {projects: ['']}}",
        "pairs: {a: {master: ''}}",
        "pairs: {a: {master_timezone: Europe Madrid}}",
        "pairs: {a: {slave_restarted: March}}",
        "pairs: {a: {slave_restarted: 5}}",
        "pairs: {a: {tags: x}}",
        "pairs: {a: {queue: 7}}",
        "pairs: {a: {properties: {both: {}}}}",
        "pairs: {a: {properties: {master: {x: 9}}}}",
        "pairs: {a: {sync: {quiet_window: 5 minutes}}}",
        "pairs: {a: {sync: {quiet_window: 0s}}}",
        "pairs: {a: {sync: {quiet_window: -1}}}",
        "pairs: {a: {sync: {quiet_window: 1.5}}}",
        "pairs: {a: {sync: {quiet_window: PT}}}",
        "pairs: {a: {sync: {quiet_window: 5m 1h}}}",
        "pairs: {a: {sync: {quiet_margin: ''}}}",
        "pairs: {a: {sync: {quiet_timeout: 999999999999}}}",
        "pairs: {a: {sync: {schedule: '@fortnightly'}}}",
        "pairs: {a: {sync: {schedule: '* * * *'}}}",
        "pairs: {a: {sync: {schedule: 5}}}",
        "pairs: {a: {sync: {orphans: keep}}}",
        "pairs: {a: {sync: {verify_definitions: 1}}}",
        "pairs: {a: {sync: {mass_change: {percent: 101}}}}",
        "pairs: {a: {sync: {mass_change: 5}}}",
        "pairs: {a: {sync: [schedule]}}",
        "pairs: {a: {watch: {fall: 0}}}",
        "pairs: {a: {watch: {fall: '4'}}}",
        "pairs: {a: {watch: {second_path: master-host}}}",
        "pairs: {a: {failover: {policy: manuel}}}",
        "pairs: {a: {failover: {fence: power_off}}}",
        "pairs: {a: {failover: {catch_up_jobs: []}}}",
        "pairs: {a: {failover: always}}",
        "pairs: {a: {snapshots: {location: snapshots}}}",
        "pairs: {a: {snapshots: {keep: 1}}}",
        "pairs: {a: {alerts: {notify: [{arguments: {}}]}}}",
        "pairs: {a: {alerts: {notify: [{notifier: a.B, alerts: [fire]}]}}}",
        "pairs: {a: {alerts: {notify: {notifier: a.B}}}}",
        "pairs: {a: {check: {recovery_time: soon}}}",
        "pairs: {a: {quiet_window: soon}}",
        "defaults: {failover: {fencing: yes}}\npairs: {a: {}}",
    ],
)
def test_a_mistake_is_refused_by_the_schema_and_by_the_reader(text: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.yaml"
    file.write_text(text, encoding="utf-8")
    assert read_pairs(file).error
    assert wrong(text) != []


VALUES: list[Any] = [
    *[
        None,
        True,
        False,
        {},
        [],
        date(2026, 3, 1),
        1.5,
        -1,
        0,
        1,
        2,
        20,
        50,
        90,
        100,
        1000,
        1001,
        3153600000,
        3153600001,
    ],
    *[
        "",
        " ",
        "x",
        "ä",
        "a.b",
        "ä.b",
        "a.ü",
        "a.b.C",
        "*",
        "default",
        "automatic",
        "approval",
        "manual",
        "report",
        "delete",
    ],
    *[
        "required",
        "best_effort",
        "hold",
        "fail_back",
        "none",
        "start_missed",
        "auto",
        "//h:8000",
        "//[::1]:80",
        "h:8000",
    ],
    *["UTC", "Asia/Kolkata", "Etc/GMT+5", "/a", "/a b", "s3://c@b/x", "file:/x", "s3://c:p@b", "a/b", "2026-03-01"],
    *["2026-3-1", "@daily", "@midnight", "0 0 * * *", " 1  2 * * 1-5 ", "* * * * * *", "0 0 * *", "0 0 * * 1#2", "5m"],
    *["90s", "1h 30m", "2D", "P1DT", "PT5M", "P", "PT", "5", "0s", "1 h", "36500d", "36501d", "45m", "3h"],
    *[["a"], ["a", ""], [1], [None], ["*", "b*"], [{"notifier": "a.B"}], [{"notifier": "a"}], [{"notifier": "ü.B"}]],
    *[[{"notifier": "a.B", "arguments": {"x": [1]}, "alerts": ["drill"]}], [{"alerts": []}], ["x" * 101], "x" * 251],
    *[{"percent": 5}, {"jobs": 0}, {"percent": 101}, {"percent": 0, "jobs": 9}, {"master": {}}, {"master": {"x": "y"}}],
    {"master": {"a.dataSource.b.c.d": "1"}, "slave": {"*.DATASOURCE.*.*.d": "2"}},
]
PLACES = [
    *[(name,) for name in (*PairOptions.model_fields, *FLAT, "timezone")],
    *[(group, name) for group, model in GROUPS.items() for name in model.model_fields],
]


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_what_the_reader_accepts_the_schema_accepts(place: tuple[str, ...], tmp_path: Path) -> None:
    pairs: dict[str, Any] = {}
    for number, value in enumerate(VALUES):
        given: Any = value
        for key in reversed(place):
            given = {key: given}
        needed = {"drill": ["a"]} if place == ("drill_schedule",) else {}
        pairs[f"p{number}"] = {"master": f"m{number}", "slave": f"s{number}", **needed, **given}
    file = tmp_path / "pairs.yaml"
    file.write_text(yaml.safe_dump({"pairs": pairs}, allow_unicode=True), encoding="utf-8")
    accepted = read_pairs(file).pairs
    assert accepted
    refused = {
        name: pairs[name] for name in accepted if list(VALIDATOR.iter_errors(as_json({"pairs": {"a": pairs[name]}})))
    }
    assert refused == {}


@pytest.mark.parametrize("text", ["defaults:\npairs: {a: }", "pairs:\n  a:\n    sync:\n    snapshots:\n    alerts:\n"])
def test_what_is_left_blank_is_right(text: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.yaml"
    file.write_text(text, encoding="utf-8")
    assert not read_pairs(file).error
    assert wrong(text) == []


@settings(max_examples=500)
@given(text=st.text("0127dhmsDHMSPT \n", max_size=9))
@pytest.mark.parametrize("kind", [Duration, DurationOrZero])
def test_a_duration_is_right_for_both_or_for_neither(kind: Any, text: str) -> None:
    adapter = TypeAdapter(kind)
    try:
        accepted = bool(adapter.validate_python(text)) or True
    except ValidationError:
        accepted = False
    assert Draft7Validator(adapter.json_schema()).is_valid(text) == accepted
