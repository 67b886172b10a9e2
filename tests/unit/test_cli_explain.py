"""``denodo-ha explain``: what a word means, without any Airflow."""

from __future__ import annotations

import pytest

from denodo_cli.cli import main
from denodo_cli.explain import WORDS
from denodo_ha.explained import KINDS, SECTIONS, plain
from denodo_ha.runbook import of_code
from denodo_scheduler.links import docs_path


@pytest.fixture(autouse=True)
def no_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW_API_URL", "AIRFLOW_USER", "AIRFLOW_PASSWORD", "AIRFLOW_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def told(capsys: pytest.CaptureFixture[str], word: str) -> list[str]:
    assert main(["explain", word]) == 0
    return capsys.readouterr().out.rstrip().split("\n\n")


def test_a_code_with_its_next_step_and_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "stale_snapshot")[0].splitlines() == [
        "stale_snapshot (the failover DAG: what decide found)",
        "  means:    The last verified sync is older than oldest_snapshot of the pair.",
        "  the tool: It does not fail over before a sync succeeds or a person accepts the old snapshot.",
        "  you can:  See why syncs fail. If the master is dead, fail over with an old snapshot.",
        "  page:     docs/reason-codes.md#code-stale_snapshot",
    ]


def test_a_code_of_several_dags_has_a_paragraph_for_each_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    meanings = {(each.means, each.next_step) for section in SECTIONS if (each := section.find("same_server"))}
    paragraphs = told(capsys, "same_server")
    assert len(paragraphs) >= len(meanings) > 1
    assert "(the failover DAG: how a step can end; a drill; the sync DAG)" in paragraphs[1]


def test_an_incident_comes_before_the_row(capsys: pytest.CaptureFixture[str]) -> None:
    paragraph = told(capsys, "record_lost")[0]
    assert paragraph.index("docs/runbooks.md#record-lost") < paragraph.index("docs/reason-codes.md#code-record_lost")


def test_an_event_and_an_alert(capsys: pytest.CaptureFixture[str]) -> None:
    event, alert = told(capsys, "quenched")
    assert event.startswith("quenched (an event)\n")
    assert alert.startswith("quenched (an alert)\n")


def test_the_page_is_that_of_airflow_where_one_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_API_URL", "https://ana:s3cret@airflow.example.org/team/")
    paragraph, _ = told(capsys, "stale_snapshot")
    assert paragraph.endswith(f" https://airflow.example.org/team/{docs_path(*of_code('stale_snapshot'))}")


def test_every_word_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for word in WORDS:
        assert all(paragraph.startswith(f"{word} (") for paragraph in told(capsys, word))
    assert {"healthy", "failback", "double_run"} <= set(WORDS)
    assert {plain(each.kind) for each in KINDS} <= set(WORDS)


def test_a_word_that_is_not_known_names_those_like_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "stale-snapshots"]) == 3
    assert "known are stale_snapshot" in capsys.readouterr().out
    assert main(["explain", "x"]) == 3
    assert "docs/reason-codes.md" in capsys.readouterr().out
