"""Breadth-first search over all reachable states of a model, and the shortest way to each property that breaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)


class Step(NamedTuple, Generic[S]):
    """Something that can happen: what, the state after it, and the properties that break by it."""

    label: str
    state: S
    broken: tuple[str, ...] = ()


@dataclass
class Result:
    """What a search found: the number of states, and for each broken property its shortest trace."""

    states: int = 0
    traces: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.states} states"]
        for broken, trace in sorted(self.traces.items()):
            lines += ["", f"{broken}:", *(f"  {number:2}. {label}" for number, label in enumerate(trace, 1))]
        return "\n".join(lines)


class Unfinished(Exception):
    """There are more states than were allowed, so nothing is proved."""


def search(
    start: S,
    steps: Callable[[S], Iterable[Step[S]]],
    *,
    check: Callable[[S], Iterable[str]] = lambda _: (),
    until: str | None = None,
    limit: int = 5_000_000,
) -> Result:
    """Visit every state that can be reached from ``start``.

    :param steps: all that can happen in a state. An ``AssertionError`` in it is reported as a broken property.
    :param check: the properties that a state itself breaks.
    :param until: end as soon as this property is seen to break.
    :raises Unfinished: there are more than ``limit`` states.
    """
    came: dict[S, tuple[S, str] | None] = {start: None}
    queue = deque([start])
    result = Result()

    def note(broken: Iterable[str], state: S, *last: str) -> None:
        for each in broken:
            if each not in result.traces:
                result.traces[each] = [*_trace(came, state), *last]

    while queue and until not in result.traces:
        state = queue.popleft()
        try:
            note(check(state), state)
            for step in steps(state):
                note(step.broken, state, step.label)
                if step.state not in came:
                    came[step.state] = (state, step.label)
                    queue.append(step.state)
        except AssertionError as error:
            note([f"an assertion of the code: {error}"], state)
        if len(came) > limit:
            raise Unfinished(f"more than {limit} states")
    result.states = len(came)
    return result


def _trace(came: Mapping[S, tuple[S, str] | None], state: S) -> list[str]:
    labels: list[str] = []
    while (step := came[state]) is not None:
        state, label = step
        labels.append(label)
    return labels[::-1]
