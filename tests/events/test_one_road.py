"""One function writes the record, and each change that it is called for says by which event it is told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
SOURCES = [path for folder in ("dags", "plugins", "include") for path in sorted((PROJECT / folder).rglob("*.py"))]

WITHOUT_EVENT = {
    ("claim.py", "lambda record: renewed(record, until)"): "only the lease of an operation whose begin was told",
    ("claim.py", "lambda record: advanced(renewed(record, until), step, plan)"): "only how far that operation is",
    ("claim.py", "ended"): "only its lease",
    ("claim.py", "partial(importing, until=until)"): "only how long the sync's next request takes",
    (
        "guard.py",
        "lambda latest: (latest.model_copy(update={'master': addresses[0]}), None)",
    ): "an address that older records lack",
    (
        "guard.py",
        "lambda latest: (latest.model_copy(update={'exclusive': exclusive}), None)",
    ): "what the storage was seen to do",
    ("import_.py", "begun"): "begins an import: the slave is dirty until a sync or a repair is told",
    ("import_.py", "close_operation"): "after an earlier try of this task: the slave stays dirty",
    ("send.py", "partial(importing, until=self.context.now() + LEASE)"): "only how long the sync's next writes take",
    ("send.py", "partial(importing, until=self.context.now() + sync.lease)"): "only how long its next import takes",
    ("send.py", "answered"): "only how far the sync is",
    (
        "send.py",
        "lambda record: close_operation(record.model_copy(update={'dirty': before.dirty} if before else {}))",
    ): "nothing was sent, so the target is as it was; or it stays dirty until a sync or a repair is told",
    ("send.py", "lambda record: (mark_dirty(record, now=now, reason=reason), None)"): (
        "the next run repairs the target, and that is told"
    ),
    ("deliver.py", "lambda record: learned(record, self.ticket.target, known)"): "what a server was seen to do",
    ("verify.py", "lambda record: mark_dirty(close_operation(record), now=context.now(), reason=why)"): (
        "the next run repairs the slave, and that is told"
    ),
    ("drill.py", "partial(drill_begun, drill=begun, target=context.slave.address, lease=LEASE)"): (
        "what it does is told at its end, or by what ends it when its task has died"
    ),
    ("drill.py", "taken"): "only which try of it acts",
    ("drill.py", "lambda record: drill_enables(advanced(renewed(record, until), step), key)"): "only how far it is",
    ("drill.py", "partial(drill_saw, seen=seen)"): "the same",
    ("claim.py", "renewed"): "only the lease of a doctor, whose end is told",
    ("tidy.py", "begun"): "what a doctor is going to make, which is told when it is deleted",
    ("tidy.py", "taken"): "who deletes it",
    ("probe.py", "changed"): "what a server was seen to do",
    ("history.py", "cleared"): "the outbox itself, without what is in the history",
}
"""Saves of the record that no event tells of, and why. None changes what the pair's phase, active server, epoch,
snapshot, or a person's word for it are."""

WITH_EVENT = {("operate.py", "changed"), ("operation.py", "change"), ("problem.py", "failed")}
"""Functions that give the changed record and its event."""


class Call(NamedTuple):
    file: str
    function: str
    receiver: str
    name: str
    arguments: tuple[str, ...]


def calls() -> Iterator[Call]:
    """All calls of methods, and the function in which each is."""
    for source in SOURCES:
        yield from _calls(ast.parse(source.read_text()), source.name, "")


def _calls(node: ast.AST, file: str, function: str) -> Iterator[Call]:
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
        yield from _calls(child, file, ".".join(filter(None, (function, inside))))
        if isinstance(child, ast.Call):
            called = child.func
            receiver = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
            name = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
            given = [*child.args, *(each.value for each in child.keywords)]
            yield Call(file, function, receiver, name, tuple(map(ast.unparse, given)))


def test_one_function_writes_the_record() -> None:
    writers = {
        (call.file, call.function)
        for call in calls()
        if (call.name == "save" and call.receiver.endswith("records"))
        or (call.name in ("set", "aset") and call.arguments[:1] in [("RECORD_KEY",), ("'record'",)])
    }
    assert writers == {
        ("context.py", "PairContext.save"),
        ("context.py", "PairContext.create"),
        ("record_store.py", "RecordStore._reflect"),
    }


def test_nothing_else_can_write_it_because_only_a_pairs_context_has_its_store() -> None:
    """What starts a job on the active server only reads it."""
    found = list(calls())
    makers = {(call.file, call.function) for call in found if call.name == "RecordStore"}
    assert makers == {("shared.py", "pair_records")}
    asked = [call for call in found if call.name == "pair_records"]
    assert {call.file for call in asked} == {"shared.py", "active.py"}
    assert {call.function for call in asked if call.file == "shared.py"} == {"pair_context"}
    reads = [call for call in found if call.file == "active.py" and call.receiver.startswith("pair_records(")]
    assert [call.name for call in reads] == ["load"] * len([call for call in asked if call.file == "active.py"])


def test_each_save_has_an_event_or_is_explained() -> None:
    saves = [
        call
        for call in calls()
        if call.name == "save" and call.receiver not in ("watch", "store") and not call.receiver.endswith("records")
    ]
    told = [call for call in saves if _has_event(call)]
    assert len(told) > 15
    assert {(call.file, call.arguments[0]) for call in saves if call not in told} == set(WITHOUT_EVENT)


def _has_event(call: Call) -> bool:
    """By the arguments of ``Claim.save(change, event)`` or ``PairContext.save(change)``."""
    change = call.arguments[0]
    if call.receiver.rpartition(".")[2] in ("context", "run"):
        gives = change.startswith("lambda") and change.endswith(")") and not change.endswith(", None)")
        return gives or (call.file, change) in WITH_EVENT or (call.file == "claim.py" and call.function == "Claim.save")
    return len(call.arguments) == 2
