"""How a step ends that ends with a reason."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import pytest

from denodo_scheduler.exceptions import ConfigurationError, NoTokenError
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet, at_once, plainly


def _deep_inside(error: Exception) -> None:
    try:
        raise KeyError("what it comes from")
    except KeyError as cause:
        raise error from cause


@pytest.mark.parametrize("wrap", [plainly, at_once])
@pytest.mark.parametrize(
    "error",
    [Blocked("a", "b", "c"), NotYet("a", "b", "c"), NothingToDo("a", "b"), NoTokenError("no token")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_says_why_comes_without_the_way_that_led_to_it(
    wrap: Callable[[Callable[[Exception], None]], Callable[[Exception], None]],
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(type(error)) as raised:
        wrap(_deep_inside)(error)
    assert raised.value is error
    shown = "".join(traceback.format_exception(error))
    assert "_deep_inside" not in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert "what it comes from" not in shown
    assert "what it comes from" in caplog.text


def test_any_other_error_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="x") as raised:
        plainly(_deep_inside)(ValueError("x"))
    assert "_deep_inside" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]


def test_a_configuration_error_is_blocked_with_its_reason() -> None:
    with pytest.raises(Blocked) as raised:
        at_once(_deep_inside)(ConfigurationError("no rights"))
    assert raised.value.reason.code == "configuration"
    assert "_deep_inside" not in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert raised.value.__suppress_context__
