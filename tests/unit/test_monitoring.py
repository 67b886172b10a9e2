"""What is shipped for monitoring systems fits to what is sent: documentation, mapping, rules and dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from denodo_demo.airflow import PROJECT
from denodo_demo.slowness import allow
from denodo_ha.measures import MEASURES, Kind, Sample, dotted

MONITORING = PROJECT / "deploy" / "monitoring"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "pairs.json"
SENT = {
    f"airflow_denodo_ha_{name}{'_total' if each.kind is Kind.COUNTER else ''}": each for name, each in MEASURES.items()
}
"""The measures by their names in Prometheus."""


def read(name: str) -> Any:
    return yaml.safe_load((MONITORING / name).read_text())


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read("rules.yaml")["groups"][0]["rules"]
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def expressions(part: Any) -> Iterator[str]:
    """All expressions in a dashboard."""
    if isinstance(part, dict):
        yield from (part[key] for key in ("expr", "definition") if key in part)
        for each in part.values():
            yield from expressions(each)
    elif isinstance(part, list):
        for each in part:
            yield from expressions(each)


def unknown(expression: str) -> list[str]:
    """The names of series, and labels with their selectors, that an expression asks for and nobody sends."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    wrong = [name for name in re.findall(r"\bdenodo_ha:\w+", expression) if name not in recorded]
    for name, selected in re.findall(r"\b(airflow_\w+)(?:\{([^}]*)\})?", expression):
        if name not in SENT:
            wrong.append(name)
            continue
        labels = re.findall(r"(\w+)=", re.sub(r'"[^"]*"', "", selected))
        wrong += [f"{name}: {label}" for label in labels if label not in ("pair", SENT[name].label)]
    return wrong


class TestDocumentation:
    def test_the_table_is_that_of_the_code(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", documentation(), re.M)
        assert {name: row for name, *row in rows if name in MEASURES} == {
            name: [each.kind, f"`{each.label}`" if each.label else "none", each.what] for name, each in MEASURES.items()
        }
        assert [name for name, *_ in rows if name.endswith(("_seconds", "_timestamp")) and name not in MEASURES] == []

    @pytest.mark.parametrize("alert", alerts(), ids=lambda each: each["alert"])
    def test_each_alert_says_what_to_do(self, alert: dict[str, Any]) -> None:
        assert alert["labels"]["severity"] in ("critical", "warning")
        said = alert["annotations"]
        assert said.keys() == {"summary", "description", "runbook"}
        assert "$labels.pair" in said["summary"] or alert["alert"] == "DenodoNoMetrics"
        page, _, anchor = said["runbook"].partition("#")
        headings = re.findall(r"^#+ (.*)$", (PROJECT / page).read_text(), re.M)
        assert anchor in [heading.lower().replace(" ", "-").replace("'", "") for heading in headings]
        assert f"`{alert['alert']}`" in documentation()


def documentation() -> str:
    return (PROJECT / "docs" / "monitoring.md").read_text()


class TestMapping:
    def test_each_measure_has_its_name_and_labels(self) -> None:
        found = {}
        for mapping in read("statsd_mapping.yaml")["mappings"]:
            stars = mapping["match"].count("*")
            assert list(mapping["labels"].values()) == [f"${number + 1}" for number in range(stars)]
            found[mapping["name"]] = list(mapping["labels"])
        assert found == {name: ["pair", *filter(None, [each.label])] for name, each in SENT.items()}

    @pytest.mark.parametrize("name", MEASURES)
    def test_what_is_sent_is_matched_once(self, name: str) -> None:
        sent = "airflow." + dotted("a.b", Sample(name, 1, "x_y" if MEASURES[name].label else ""))
        matches = [each["match"] for each in read("statsd_mapping.yaml")["mappings"]]
        patterns = {each: each.replace(".", r"\.").replace("*", "[^.]+") for each in matches}
        assert [each for each, pattern in patterns.items() if re.fullmatch(pattern, sent)] == [
            f"airflow.denodo_ha.{name}.*{'.*' if MEASURES[name].label else ''}"
        ]


class TestRules:
    @pytest.mark.parametrize("rule", rules(), ids=lambda each: each.get("alert") or each["record"])
    def test_each_asks_for_what_is_sent(self, rule: dict[str, Any]) -> None:
        assert unknown(rule["expr"]) == []

    def test_a_wrong_name_would_be_noticed(self) -> None:
        wrong = 'airflow_denodo_ha_level{server="x"} + airflow_denodo_ha_levels + denodo_ha:nothing'
        assert sorted(unknown(wrong)) == [
            "airflow_denodo_ha_level: server",
            "airflow_denodo_ha_levels",
            "denodo_ha:nothing",
        ]

    def test_each_alert_is_tested(self) -> None:
        text = (MONITORING / "rules_test.yaml").read_text()
        assert {each["alert"] for each in alerts()} == set(re.findall(r'alertname="(\w+)"', text))

    @pytest.mark.parametrize("change", ["", "none"])
    def test_they_fire_in_their_states_and_in_no_others(self, change: str, tmp_path: Any) -> None:
        if shutil.which("promtool") is None:
            pytest.skip("needs promtool (on Debian: prometheus)")
        for name in ("rules.yaml", "rules_test.yaml", "prometheus.yaml"):
            shutil.copy(MONITORING / name, tmp_path)
        if change:
            text = (tmp_path / "rules.yaml").read_text()
            (tmp_path / "rules.yaml").write_text(text.replace("airflow_denodo_ha_halted == 1", "vector(0) > 1"))
        done = promtool(tmp_path, "test", "rules", "rules_test.yaml")
        assert (done.returncode == 0) is not bool(change), done.stdout + done.stderr
        done = promtool(tmp_path, "check", "config", "--syntax-only", "prometheus.yaml")
        assert done.returncode == 0, done.stdout + done.stderr


def promtool(folder: Any, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True, timeout=allow(60))


class TestDashboard:
    def test_all_it_asks_for_is_sent(self) -> None:
        asked = list(expressions(json.loads(DASHBOARD.read_text())))
        assert len(asked) > 20
        assert [wrong for each in asked for wrong in unknown(each)] == []

    def test_prometheus_understands_it(self, tmp_path: Any) -> None:
        if shutil.which("promtool") is None:
            pytest.skip("needs promtool (on Debian: prometheus)")
        asked = [each for each in expressions(json.loads(DASHBOARD.read_text())) if "label_values(" not in each]
        written = [{"record": f"panel_{number}", "expr": each} for number, each in enumerate(asked)]
        (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": written}]}))
        done = promtool(tmp_path, "check", "rules", "panels.yaml")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_every_measure_is_shown_but_those_that_another_one_tells(self) -> None:
        shown = set(re.findall(r"airflow_denodo_ha_\w+", " ".join(expressions(json.loads(DASHBOARD.read_text())))))
        shown |= {
            name
            for rule in rules()
            for name in re.findall(r"airflow_denodo_ha_\w+", rule["expr"])
            if "record" in rule and rule["record"] in DASHBOARD.read_text()
        }
        left = {"jobs_read", "state_timestamp", "heard_timestamp", "second_path_timestamp", "event_timestamp"}
        left |= {"initialised", "check_timestamp", "probe_timestamp", "probe_good_age_seconds", "paused_timestamp"}
        left |= {"sync_failing_timestamp"}
        assert SENT.keys() - shown == {f"airflow_denodo_ha_{name}" for name in left}

    def test_panels_do_not_cover_each_other(self) -> None:
        panels = json.loads(DASHBOARD.read_text())["panels"]
        assert len({each["id"] for each in panels}) == len(panels)
        cells = [
            (x, y)
            for place in (each["gridPos"] for each in panels)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < 24
