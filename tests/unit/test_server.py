"""What is known of a Scheduler server without asking one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.jobs import Job, JobKey, Project
from denodo_ha.server.address import Place, common_name, is_loopback, second_path_uri
from denodo_ha.server.answers import (
    AnswerError,
    import_warnings,
    is_html,
    read_jobs,
    read_me,
    read_projects,
    read_reports,
    read_statuses,
    read_texts,
)
from denodo_ha.server.connection import Settings, form, parse_extra
from denodo_ha.server.flags import script_flags
from denodo_ha.server.liveness import NotProven, check_body, check_status
from denodo_ha.server.options import IMPORT_OPTIONS, OptionsError
from denodo_ha.verdict import Answer
from denodo_scheduler.client.transfer import ImportResult

STATUS = {"jobID": 1, "jobName": "load", "projectID": 7, "projectName": "sales", "state": "RUNNING"}
JOB = {"id": 1, "name": "load", "type": "VDP", "projectId": 7, "projectName": "sales"}


def without(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in names}


def projects() -> list[Project]:
    return [Project(id=7, name="sales")]


def jobs() -> list[Job]:
    return read_jobs([JOB], nobody)


def nobody() -> Any:
    raise AssertionError("asked for what the answer has said")


WORDS = st.text("ab \n/", max_size=6)
NAMES = st.sampled_from(["message", "job", "reason", "Warning"])


def _leaves(said: Any) -> Iterator[str]:
    """Each text, in one line."""
    if isinstance(said, dict | list):
        for value in said.values() if isinstance(said, dict) else said:
            yield from _leaves(value)
    elif isinstance(said, str):
        yield " ".join(str(said).split())


class TestAddress:
    @pytest.mark.parametrize("host", ["localhost", "LocalHost.", "127.8.8.8", "[::1]", "//localhost:8000", "//[::1]:1"])
    def test_loopback(self, host: str) -> None:
        assert is_loopback(host)
        assert not is_loopback(host.replace("1", "2").replace("ost", "ouse"))

    def test_localhost_becomes_the_machine_of_the_web_tool(self) -> None:
        found = second_path_uri("auto", Place("fd00::1", "//[::1]:8000"), Place("s", "//localhost:8000"))
        assert found == "//[fd00::1]:8000"

    @pytest.mark.parametrize(
        ("second_path", "place", "through", "problem"),
        [
            ("auto", Place("localhost", "//localhost:1"), Place("s", "//s:1"), "//localhost:1 is its own machine"),
            ("//S:1", Place("m", "//m:1"), Place("s", "//localhost:1"), "//S:1 is its own server"),
        ],
    )
    def test_a_server_that_is_not_reached(self, second_path: str, place: Place, through: Place, problem: str) -> None:
        with pytest.raises(LookupError, match=f"for it, {problem}"):
            second_path_uri(second_path, place, through)


class TestAnswers:
    def test_who_answers(self) -> None:
        raw = {"serverData": {"version": {"full": "9.1.0"}, "schedulerMode": "CLUSTER"}, "permissions": [{}, None]}
        found = read_me(raw)
        assert (found.version, found.scheduler_mode, found.roles) == ("9.1.0", "CLUSTER", ())
        with pytest.raises(AnswerError, match=r"serverData\.version\.full: missing"):
            read_me({"serverData": {"version": {"full": 9}}})

    def test_a_status_asks_for_what_it_leaves_out_and_for_nothing_else(self) -> None:
        key = JobKey(project="sales", name="load")
        for raw, of_projects, of_jobs in (
            (STATUS, nobody, nobody),
            (STATUS | {"projectName": None}, projects, nobody),
            (without(STATUS, "projectName", "jobName"), nobody, jobs),
        ):
            (status,) = read_statuses([raw], of_projects, of_jobs)
            assert (status.key, status.project_id) == (key, 7)

    def test_a_job_without_the_name_of_its_project(self) -> None:
        (job,) = read_jobs([without(JOB, "projectName")], projects)
        assert job.key == JobKey(project="sales", name="load")
        assert job.definition == without(JOB, "projectName")

    @pytest.mark.parametrize(
        ("raw", "problem"),
        [
            ({"list": []}, r"\(whole answer\): not a list of objects"),
            ([{"id": 1, "name": "a"}, {"id": 2}], r"\[1\]\.name: Field required"),
            ([{"id": "x", "name": "a"}], r"\[0\]\.id: Input should be a valid integer"),
        ],
    )
    def test_the_field_that_is_wrong_is_named(self, raw: Any, problem: str) -> None:
        with pytest.raises(AnswerError, match=f"^{problem}"):
            read_projects(raw)

    def test_reports_are_kept_whole(self) -> None:
        (report,) = read_reports({"list": [{"result": "OK", "rows": 3}]})
        assert (report.result, report.raw) == ("OK", {"result": "OK", "rows": 3})
        with pytest.raises(AnswerError, match=r"^list: not a list"):
            read_reports([])

    def test_texts(self) -> None:
        assert read_texts(["", "wrong"], 2) == ["", "wrong"]
        with pytest.raises(AnswerError, match="not a list of 1 texts"):
            read_texts([None], 1)

    def test_a_warning_is_not_lost_in_an_answer_of_another_form(self) -> None:
        assert import_warnings({"result": {"Errors": [{"message": "a"}, "b"]}, "imported": 3}) == ("a", "b")
        assert import_warnings({"imported": 3}) == ("imported: 3",)
        assert import_warnings("OK") == ()

    @pytest.mark.parametrize(
        ("answer", "warnings"),
        [
            ({"warnings": {"count": 0, "list": []}}, ()),
            ({"warnings": {"count": 2, "list": ["a", "b"]}}, ("list: a", "list: b")),
            ({"warnings": {"count": 2, "list": []}}, ("count: 2",)),
            ({"hasWarnings": True, "warnings": ["x"]}, ("x",)),
            ({"hasWarnings": False, "warnings": []}, ()),
            ({"warningCount": 2, "errorCount": 0, "warnings": ["x", "y"]}, ("x", "y")),
            ({"warningCount": 2}, ("warningCount: 2",)),
            ({"success": True}, ()),
            ({"warnings": ["{}"]}, ()),
            ({"warnings": "[]"}, ()),
            ({"warnings": [None, "null", " [ ] ", "[{}, null]", 0, False, "0"]}, ()),
            ({"warnings": '{"crm": ["a", "b"]}'}, ("crm: a", "crm: b")),
            ({"warnings": '{"count": 0, "list": []}'}, ()),
            ('{"count": 0}', ()),
            ({"warnings": "[WARN] a driver is missing"}, ("[WARN] a driver is missing",)),
            ({"warnings": [{"message": "a", "code": 17, "count": 3}]}, ("a (code: 17, count: 3)",)),
            ({"warnings": [{"code": 17, "count": 1, "details": ["a"]}]}, ("code: 17", "details: a")),
        ],
    )
    def test_what_is_empty_a_flag_or_a_count_is_no_warning(self, answer: Any, warnings: tuple[str, ...]) -> None:
        assert import_warnings(answer) == warnings

    def test_warnings_beyond_those_that_are_kept_are_counted_and_none_of_them(self) -> None:
        told = [f"warning {number}" for number in range(1003)]
        result = ImportResult.that_warned(import_warnings({"warnings": told}))
        assert (list(result.warnings), result.unlisted) == (told[:1000], 3)
        assert ImportResult.that_warned(told[:2]).unlisted == 0

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | WORDS,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | WORDS, inner, max_size=3),
            max_leaves=12,
        ),
        st.sampled_from(["warnings", "importErrors"]),
    )
    def test_whatever_its_shape_a_warning_is_plain_text_in_one_line_and_whole(self, said: Any, name: str) -> None:
        found = import_warnings({name: said})
        assert all(text and text == " ".join(text.split()) for text in found)
        told = " ".join(found)
        for leaf in _leaves(said):
            assert leaf in told, "no text that was said is lost"
        assert not set("{}[]'\"").intersection(told), "neither JSON nor Python"
        assert "None" not in told

    def test_pages_for_people(self) -> None:
        assert is_html("text/html;charset=UTF-8", b"")
        assert is_html("", b" \n<!DOCTYPE")
        assert not is_html("application/json", b"{}")


class TestLiveness:
    @pytest.mark.parametrize(
        ("status", "answer"), [(302, Answer.MISCONFIGURED), (401, Answer.MISCONFIGURED), (500, Answer.FAILED)]
    )
    def test_another_status_proves_no_living_server(self, status: int, answer: Answer) -> None:
        with pytest.raises(NotProven, match=f"{status} to GET /me") as found:
            check_status("/me", status)
        assert found.value.answer is answer

    @pytest.mark.parametrize(
        ("path", "body", "answer"),
        [
            ("/me", b"<html>", Answer.MISCONFIGURED),
            ("/me", b"[]", Answer.MISCONFIGURED),
            ("/projects", b"{}", Answer.MISCONFIGURED),
            ("/projects", b"[", Answer.FAILED),
        ],
    )
    def test_another_body_proves_none_either(self, path: str, body: bytes, answer: Answer) -> None:
        with pytest.raises(NotProven) as found:
            check_body(path, "application/json", body)
        assert found.value.answer is answer

    def test_proof(self) -> None:
        check_status("/me", 200)
        check_body("/me", "application/json", b'{"serverData": {"version": {"full": "9"}}}')
        check_body("/projects", "application/json", b"[]")


class TestFlags:
    def test_options_become_flags(self) -> None:
        options = {"config": False, "drivers": True, "plugins": None, "metadataPassword": "encrypted:x"}
        assert script_flags("export", options) == ["-drivers", "-mp", "encrypted:x"]
        assert script_flags("import", IMPORT_OPTIONS) == [f"-{option}" for option in IMPORT_OPTIONS]

    def test_all_that_cannot_be_passed_on_are_named_and_no_value(self) -> None:
        options = {"jars": True, "replaceJobs": "hush", "metadataPassword": "hush-hush"}
        with pytest.raises(
            OptionsError, match=r"jars: .* no such flag.*replaceJobs: .*true, false.*takes none"
        ) as found:
            script_flags("import", options)
        assert "hush" not in str(found.value)
        with pytest.raises(OptionsError, match="metadataPassword: a plain one would be seen"):
            script_flags("export", {"metadataPassword": "hush-hush"})


class TestConnection:
    def test_options_of_the_connection_lie_over_the_defaults_and_under_those_of_the_call(self) -> None:
        settings = Settings(import_options={"replaceJobs": False, "replacePlugins": False})
        found = settings.options("import", {"replacePlugins": True})
        assert found == {**IMPORT_OPTIONS, "replaceJobs": False, "replacePlugins": True}
        assert "metadataPassword" in Settings.model_validate({"metadata_password": "hush-hush"}).options("export")

    def test_another_server_has_no_address_for_the_scripts(self) -> None:
        settings, _ = parse_extra("web", '{"scheduler_uri": "//m:1", "script_server": "//inner:1"}')
        assert settings.of_server("//m:1").script_server == "//inner:1"
        other = settings.of_server("//s:1")
        assert (other.scheduler_uri, other.script_server) == ("//s:1", None)
        with pytest.raises(ValueError, match="not of the form //host:port"):
            settings.of_server("s:1")

    def test_every_field_of_the_form_may_stay_empty_and_is_explained(self) -> None:
        for name, field in form().items():
            assert field["schema"]["type"] == ["string", "null"], name
            assert field["label"], name
            assert field["description"].endswith("."), name


@pytest.mark.parametrize(
    ("tool", "own", "server", "common"),
    [
        ("m.example", "//localhost:8000", "//m.example:8000", "m.example"),
        ("m.example", "//localhost:8000", "//M.Example:8000", "M.Example"),
        ("web.example", "//sched.example:8000", "//sched.example:8000", "sched.example"),
        ("m.example", "//localhost:8000", "//other.example:8000", ""),
        ("m.example", "//localhost:8000", "//10.0.0.1:8000", ""),
        ("10.0.0.1", "//localhost:8000", "//10.0.0.1:8000", ""),
        ("fd00::1", "//localhost:8000", "//[fd00::1]:8000", ""),
        ("localhost", "//localhost:8000", "//localhost:8000", ""),
    ],
)
def test_only_a_name_is_a_common_cause(tool: str, own: str, server: str, common: str) -> None:
    assert common_name(Place(tool, own), server) == common
