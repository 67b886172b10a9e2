"""The page ``docs/decision-table.md``, written from the code that decides.

To renew it: ``python -m denodo_ha.decision_table > docs/decision-table.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from denodo_ha.decisions import DECISIONS, RULES, TABLE, Action, Cell
from denodo_ha.record import Phase
from denodo_ha.transitions import TRANSITIONS
from denodo_ha.verdict import Answer, Verdict, verdict

_HEAD = """\
# Decision table

Made by `python -m denodo_ha.decision_table` from the code that decides; a test keeps it current. Do not edit it.

The failover DAG asks the servers, which gives a verdict. The verdict and the pair's phase give a list of rules. The
first rule that does not hold decides; where all hold, the last column does."""

_ANSWERS = """\
## Verdicts

Answers: `up`: the Scheduler server lives; `failed`: a web tool answers with 5xx; `no_answer`: refused, reset or too
late; `misconfigured`: 400, 401, 403, 404, TLS, a redirect, HTML; `not_asked`: the pair has no such path. `up` is
believed at once, any other verdict after `fall` times in a row."""

_PATHS: tuple[tuple[str, Sequence[Answer]], ...] = (
    ("master's web tool", [answer for answer in Answer if answer is not Answer.NOT_ASKED]),
    ("slave's web tool, about the master", list(Answer)),
    ("slave's web tool, about the slave", [answer for answer in Answer if answer is not Answer.NOT_ASKED]),
)
_Answers = tuple[tuple[Answer, ...], ...]


def page() -> str:
    """The whole page, in Markdown with one Mermaid diagram."""
    sections = [
        _HEAD,
        _ANSWERS,
        _table((*(path for path, _ in _PATHS), "verdict"), _verdicts()),
        "## Phases",
        _diagram(),
    ]
    for phase in Phase:
        sections += [f"## In phase `{phase}`", _table(("verdict", "rules in their order", "all hold"), _cells(phase))]
    head = ("code", "branch", "what it means", "next step for a person", "looked at again", "alert")
    sections += ["## Decisions", _table(head, _decisions())]
    return "\n\n".join(sections) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _verdicts() -> Iterator[list[str]]:
    """One row for each combination of answers, where rows that differ in one column only are one."""
    rows: dict[tuple[_Answers, Verdict], None] = {
        (tuple((answer,) for answer in answers), verdict(*answers)): None
        for answers in product(*(allowed for _, allowed in _PATHS))
    }
    for column in reversed(range(len(_PATHS))):
        groups: dict[tuple[_Answers, _Answers, Verdict], tuple[Answer, ...]] = {}
        for answers, judged in rows:
            others = answers[:column], answers[column + 1 :], judged
            groups[others] = groups.get(others, ()) + answers[column]
        rows = {((*before, each, *after), judged): None for (before, after, judged), each in groups.items()}
    for answers, judged in rows:
        asked = zip(answers, _PATHS, strict=True)
        yield [*("any" if len(each) == len(allowed) else _code(each) for each, (_, allowed) in asked), _code([judged])]


def _diagram() -> str:
    """The state diagram; a label of Mermaid holds no colon."""
    arrows = (f"    {start} --> {end}: {when.replace(': ', ', ')}" for start, end, when in TRANSITIONS)
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.NORMAL}", *arrows, "```"])


def _cells(phase: Phase) -> Iterator[list[str]]:
    """One row for each cell; verdicts that share one stand together."""
    verdicts: dict[Cell, list[Verdict]] = {}
    for judged in Verdict:
        verdicts.setdefault(TABLE[phase, judged], []).append(judged)
    for cell, same in verdicts.items():
        rules = (RULES[name] for name in cell.rules)
        shown = [f"{number}. {rule.words}, else `{rule.otherwise}`" for number, rule in enumerate(rules, 1)]
        yield [_code(same), "<br>".join(shown) or "none", _code([cell.decision])]


def _decisions() -> Iterator[list[str]]:
    """By branch."""
    for decision in sorted(DECISIONS.values(), key=lambda each: list(Action).index(each.action)):
        again = "when something changes" if decision.settled else "at once"
        alert = _code([decision.alert]) if decision.alert else "none"
        yield [_code([decision.code]), _code([decision.action]), decision.what, decision.next_step, again, alert]


if __name__ == "__main__":
    print(page(), end="")
