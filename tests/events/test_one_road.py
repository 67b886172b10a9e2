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
    ("claim.py", "lambda record: advanced(renewed(record, until), step)"): "only how far that operation is",
    ("claim.py", "renewed(record, self.context.now())"): "only its lease",
    ("guard.py", "record.model_copy(update={'master': addresses[0]})"): "an address that older records lack",
    ("import_.py", "intent"): "begins an import: the slave is dirty until a sync or a repair is told",
    ("import_.py", "close_operation"): "after an earlier try of this task: the slave stays dirty",
    ("send.py", "partial(importing, until=self.context.now() + LEASE)"): "only how long the sync's next writes take",
    ("send.py", "partial(importing, until=self.context.now() + sync.lease)"): "only how long its next import takes",
    ("send.py", "answered"): "only how far the sync is",
    (
        "send.py",
        "lambda record: close_operation(record.model_copy(update={'dirty': before.dirty} if before else {}))",
    ): "nothing was sent, so the target is as it was; or it stays dirty until a sync or a repair is told",
    ("send.py", "mark_dirty(self.context.record(), now=self.context.now(), reason=reason)"): (
        "the next run repairs the target, and that is told"
    ),
    ("deliver.py", "lambda record: learned(record, self.ticket.target, known)"): "what a server was seen to do",
    ("verify.py", "lambda record: mark_dirty(close_operation(record), now=context.now(), reason=why)"): (
        "the next run repairs the slave, and that is told"
    ),
    ("shared.py", "record.model_copy(update={'outbox': kept})"): "the outbox itself, without what is in the history",
}
"""Saves of the record that no event tells of, and why. None changes what the pair's phase, active server, epoch,
snapshot, or a person's word for it are."""


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
    assert writers == {("context.py", "PairContext.save"), ("record_store.py", "RecordStore.save")}


def test_nothing_else_can_write_it_because_only_a_pairs_context_has_its_store() -> None:
    makers = {(call.file, call.function) for call in calls() if call.name == "RecordStore"}
    assert makers == {("shared.py", "pair_context")}


def test_each_save_has_an_event_or_is_explained() -> None:
    saves = [call for call in calls() if call.name == "save" and call.receiver not in ("watch", "store")]
    assert len([call for call in saves if len(call.arguments) == 2]) > 10
    alone = {(call.file, call.arguments[0]) for call in saves if len(call.arguments) == 1}
    assert alone - {("context.py", "noted(record, event) if event else record")} == set(WITHOUT_EVENT)


def test_each_move_has_an_event() -> None:
    moves = [call for call in calls() if call.name == "move"]
    assert len(moves) > 4
    assert {len(call.arguments) for call in moves} == {2}
