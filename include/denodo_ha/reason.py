"""The reason why a step was not done, in one form for errors, decisions, XComs and events."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """The reason why a step ends without success.

    :param code: stable identifier, such as ``same_server``; ``docs/reason-codes.md`` explains each.
    :param what: what is wrong, as a clause without a full stop.
    :param next_step: what a person can do about it; empty where no action is needed.
    """

    code: str
    what: str
    next_step: str = ""

    def __str__(self) -> str:
        """Return one readable line: ``[code] what. Next: next step.``"""
        said = f"[{self.code}] {self.what.rstrip('.')}."
        return f"{said} Next: {self.next_step.rstrip('.')}." if self.next_step else said

    def to_json(self) -> dict[str, str]:
        return self._asdict()


class Explained:
    """A mixin of errors that carry their reason."""

    reason: Reason

    @property
    def code(self) -> str:
        return self.reason.code

    @property
    def what(self) -> str:
        return self.reason.what

    @property
    def next_step(self) -> str:
        return self.reason.next_step
