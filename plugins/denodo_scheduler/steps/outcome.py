"""Ends of a step that are not success: each carries a reason with its code and the next step for a person."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from denodo_ha.reason import Explained, Reason
from denodo_ha.text import one_line
from denodo_scheduler.exceptions import ConfigurationError
from denodo_scheduler.state.storage import WrongStorageError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")


class Blocked(Explained, AirflowFailException):
    """A rule does not hold; trying again would change nothing, so the task fails at once."""

    def __init__(self, code: str, what: str, next_step: str) -> None:
        self.reason = Reason(code, what, next_step)
        super().__init__(str(self.reason))


class NotYet(Explained, AirflowException):
    """A rule does not hold now and may hold soon; the task's retries apply."""

    def __init__(self, code: str, what: str, next_step: str) -> None:
        self.reason = Reason(code, what, next_step)
        super().__init__(str(self.reason))


class NothingToDo(Explained, AirflowSkipException):
    """The step changes nothing, for a reason that is no fault; the task is skipped."""

    def __init__(self, code: str, what: str, next_step: str = "") -> None:
        self.reason = Reason(code, what, next_step)
        super().__init__(f"{self.reason} Nothing was changed.")


CONFIGURATION = (ConfigurationError, WrongStorageError)
"""Errors that stay until a person corrects something."""


def plainly(function: Callable[P, T]) -> Callable[P, T]:
    """Have ``function`` raise an error that has a reason without the way that led to it, which is logged at DEBUG.

    Airflow logs a traceback of each error that ends a task; of such a one it has only Airflow's own lines then.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not isinstance(getattr(error, "reason", None), Reason):
                raise
            log.debug("The way to the error:", exc_info=True)
            raise error.with_traceback(None) from None

    return run


def at_once(function: Callable[P, T]) -> Callable[P, T]:
    """Have ``function`` fail a task at once on a configuration error, whatever its retries are, and :func:`plainly`.

    The steps of the DAGs and the ``execute`` of each public operator and sensor are made so.

    :raises Blocked: with the reason of the error.
    """

    @plainly
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except CONFIGURATION as error:
            raise Blocked(*error.reason) from None

    return run


def readable(read: Callable[[V], T], value: V) -> T:
    """Read what an earlier task of the same run has handed on or stored.

    :raises Blocked: it is damaged, of another version, or deleted since; a task that was cleared alone finds it so.
    """
    try:
        return read(value)
    except (AttributeError, FileNotFoundError, LookupError, OverflowError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {one_line(str(error))[:200]}"
        what = f"what an earlier task of this run handed on cannot be read ({said})"
        raise Blocked("unreadable", what, "clear the whole run, or wait for the next one: it begins anew") from None


def require(*rules: Reason | None) -> None:
    """Go on only where no rule has a reason against it.

    :raises Blocked: with the first reason.
    """
    for reason in rules:
        if reason:
            raise Blocked(*reason)
