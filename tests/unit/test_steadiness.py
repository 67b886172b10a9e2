"""How an edit during an export is told apart from a field that changes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from denodo_ha.definitions import Names
from denodo_ha.jobs import Job
from denodo_ha.snapshot.contents import ArchiveContents, Element
from denodo_ha.snapshot.manifest import ManifestError
from denodo_scheduler.steps.sync.export import _Steadiness

NOTHING = Names({})
numbers = count()


def export(content: str = "same", parameters: Sequence[str] = ()) -> ArchiveContents:
    element = Element(kind="job", project="p", name="a", hash=content, entry="a.xml")
    return ArchiveContents(version="9.1", elements=(element,), parameters=tuple(parameters))


def reading(**fields: Any) -> list[Job]:
    section = {"query": "select 1", **fields}
    definition = {"type": "VDP", "extractionSection": section}
    return [Job(id=1, name="a", type="VDP", project_id=1, project="p", definition=definition)]


def check(steady: _Steadiness, contents: ArchiveContents, field: str = "lastLook") -> None:
    """The field changes between the two readings."""
    steady.check(reading(**{field: next(numbers)}), reading(**{field: next(numbers)}), NOTHING, contents)


def test_a_field_that_changes_while_two_files_have_the_same_content_is_noise() -> None:
    steady = _Steadiness(set())
    with pytest.raises(ManifestError, match=r"edited: extractionSection\.lastLook"):
        check(steady, export())
    check(steady, export())
    assert steady.noise == {"extractionSection.lastLook"}
    check(steady, export("another content"))


def test_a_field_whose_changes_the_file_shows_is_edited_again_and_again() -> None:
    steady = _Steadiness(set())
    for number in range(5):
        with pytest.raises(ManifestError):
            check(steady, export(f"content {number}"))
    assert steady.noise == set()


def test_a_field_that_changed_once_was_edited() -> None:
    steady = _Steadiness(set())
    with pytest.raises(ManifestError):
        check(steady, export())
    steady.check(reading(), reading(), NOTHING, export())
    with pytest.raises(ManifestError):
        check(steady, export())
    assert steady.noise == set()


@pytest.mark.parametrize("field", ["cronExpression", "startTime", "endTime", "description", "filter", "inTheFile"])
def test_what_is_documented_or_in_the_file_is_never_noise(field: str) -> None:
    steady = _Steadiness({f"extractionSection.{field}"})
    for _ in range(5):
        with pytest.raises(ManifestError):
            check(steady, export(parameters=["inthefile"]), field)
    assert steady.noise == set()


def test_a_job_that_appears_or_vanishes_is_an_edit() -> None:
    with pytest.raises(ManifestError, match="added or removed"):
        _Steadiness(set()).check(reading(), [], NOTHING, export())
