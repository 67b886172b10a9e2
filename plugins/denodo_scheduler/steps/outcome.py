"""Ends of a step that are not success: each has a reason code and the next step for a person."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException


def sentence(code: str, what: str, next_step: str) -> str:
    """One readable line: ``[code] what. Next: next step.``"""
    return f"[{code}] {what.rstrip('.')}. Next: {next_step.rstrip('.')}."


class Blocked(AirflowFailException):
    """A rule does not hold; trying again would change nothing, so the task fails at once."""

    def __init__(self, code: str, what: str, next_step: str) -> None:
        super().__init__(sentence(code, what, next_step))
        self.code, self.what, self.next_step = code, what, next_step


class NotYet(AirflowException):
    """A rule does not hold now and may hold soon; the task's retries apply."""

    def __init__(self, code: str, what: str, next_step: str) -> None:
        super().__init__(sentence(code, what, next_step))
        self.code, self.what, self.next_step = code, what, next_step


class NothingToDo(AirflowSkipException):
    """The step changes nothing, for a reason that is no fault; the task is skipped."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(f"[{code}] {what.rstrip('.')}. Nothing was changed.")
        self.code = code
