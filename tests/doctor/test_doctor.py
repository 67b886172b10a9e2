"""What a doctor finds out of a pair, and that it leaves nothing behind."""

from __future__ import annotations

from typing import Any

from denodo_ha.doctor.diagnosis import Answer, Diagnosis
from denodo_ha.doctor.scratch import is_scratch
from denodo_scheduler.steps.doctor.look import look
from denodo_scheduler.steps.doctor.probe import probe
from support.sync import Books, Sync, untouched


def tried(pair: Sync, **asked: Any) -> Diagnosis:
    """Run both steps of a doctor, as one run of the operations DAG does."""
    asked = {"reason": "a test", "run_id": "a run", **asked}
    context = pair.prepared(**asked)
    found = look(context)
    return probe(pair.prepared(**asked), Diagnosis.from_json(found.to_json()))


def by_code(found: Diagnosis) -> dict[str, Answer]:
    return {each.code: each for each in found.answers}


def scratch(pair: Sync) -> set[str]:
    """The scratch projects that either server has."""
    names = (each["name"] for server in pair.servers.servers for each in server.request("GET", "/projects"))
    return set(filter(is_scratch, names))


def foreign(books: Books) -> list[dict[str, Any]]:
    """What happened to jobs that are no doctor's."""
    return [each for each in books.audit if not is_scratch(each["project"])]


def test_all_questions(pair: Sync) -> None:
    books = Books(pair.slave)
    with untouched(pair.master):
        found = tried(pair)
    for line in found.lines: print(line)
    assert foreign(books) == []
    assert scratch(pair) == set()
    print(pair.record.capabilities)
    assert 0
