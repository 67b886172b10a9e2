"""A changing request is sent right after a look at the record, and only within the lease that keeps others away."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from denodo_scheduler.steps import permit as module
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.permit import FRESH, Permit


class Right:
    """A claim whose lease is prolonged by as much as is asked for, and a second more."""

    def __init__(self, permit: Permit, clock: Clock) -> None:
        self.permit, self.clock = permit, clock
        self.asked: list[str] = []
        self.lost = False

    def ensure(self) -> None:
        self._look("ensure", 100.0)

    def prolong(self, seconds: float) -> None:
        self._look("prolong", seconds + 1)

    def _look(self, how: str, lease: float) -> None:
        self.asked.append(how)
        if self.lost:
            raise NothingToDo("superseded", "the pair has moved on")
        self.permit.looked(self, self.clock.now, lease)


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def right(clock: Clock) -> Right:
    made = Right(Permit(), clock)
    made.permit.looked(made, clock.now, 100.0)
    return made


def test_without_a_claim_everything_may_be_sent() -> None:
    Permit()(60)


def test_a_fresh_look_is_not_repeated(right: Right, clock: Clock) -> None:
    clock.now += FRESH
    right.permit(60)
    assert right.asked == []


def test_an_old_look_is_repeated_and_good_again_then(right: Right, clock: Clock) -> None:
    clock.now += FRESH + 0.1
    right.permit(60)
    right.permit(60)
    assert right.asked == ["ensure"]


def test_a_request_that_may_outlast_the_lease_prolongs_it_first(right: Right, clock: Clock) -> None:
    right.permit(100)
    assert right.asked == []
    right.permit(100.1)
    assert right.asked == ["prolong"]
    clock.now += 0.9
    right.permit(100.1)
    assert right.asked == ["prolong"]
    clock.now += 0.2
    right.permit(100.1)
    assert right.asked == ["prolong", "prolong"]


@pytest.mark.parametrize(("slept", "seconds"), [(FRESH + 1, 60), (0, 101), (1000, 60)])
def test_a_right_that_is_lost_meanwhile_sends_nothing(right: Right, clock: Clock, slept: float, seconds: float) -> None:
    right.lost = True
    clock.now += slept
    with pytest.raises(NothingToDo):
        right.permit(seconds)


def test_a_right_without_a_lease_is_only_looked_at_again(right: Right, clock: Clock) -> None:
    right.permit.looked(right, clock.now, None)
    right.permit(100_000)
    assert right.asked == []
    clock.now += FRESH + 1
    right.permit(100_000)
    assert right.asked == ["ensure"]
