"""What was learned of the server that receives a sync; nothing here is assumed from its version."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from denodo_ha.durations import format_duration


class Capabilities(BaseModel):
    """What one target server was seen to do.

    :param version: the server's full version when this was learned; another version starts from nothing.
    :param import_replaces: whether an import of a cut-down archive deleted the jobs that it did not hold; None where it
        is not known. The manual says that it does not [D], one write-up of a live server that it does [unresolved].
    :param faithful: types of jobs that were written over REST and read back equal.
    :param unfaithful: types of jobs that were not, or that REST refuses.
    :param longest_import: seconds from sending an import to the moment all its jobs were read back disabled, the
        longest so far.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = ""
    import_replaces: bool | None = None
    faithful: tuple[str, ...] = ()
    unfaithful: tuple[str, ...] = ()
    longest_import: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None

    def for_version(self, version: str) -> Capabilities:
        """Return what is known of a server of ``version``: nothing if this was learned of another version."""
        return self if version == self.version else Capabilities(version=version)

    def learned_faithful(self, job_type: str) -> Capabilities:
        """A job of this type was read back equal. A type that once was not stays unfaithful."""
        if job_type in self.unfaithful:
            return self
        return self._with(faithful=_joined(self.faithful, job_type))

    def learned_unfaithful(self, job_type: str) -> Capabilities:
        """A job of this type was not read back equal, or was refused."""
        faithful = tuple(each for each in self.faithful if each != job_type)
        return self._with(faithful=faithful, unfaithful=_joined(self.unfaithful, job_type))

    def learned_import(self, *, replaces: bool | None = None, seconds: float | None = None) -> Capabilities:
        """An import was read back.

        :param replaces: whether it deleted jobs that it did not hold; None if there were none to delete. Once it
            did, it is not believed any more that it does not.
        :param seconds: from sending it to the moment all its jobs were read back disabled.
        """
        known = self.import_replaces
        longest = [each for each in (self.longest_import, seconds) if each is not None]
        return self._with(
            import_replaces=known if known or replaces is None else replaces,
            longest_import=max(longest, default=None),
        )

    def lines(self) -> list[str]:
        """Return what is known, one sentence a line."""
        deletes = {
            None: "Whether an import deletes the jobs that it does not hold is not known yet.",
            True: "An import deletes the jobs that it does not hold, so each import sends the whole archive.",
            False: "An import leaves the jobs that it does not hold as they are.",
        }
        longest = (
            "No import was measured yet."
            if self.longest_import is None
            else f"The longest import took {_seconds(self.longest_import)} until all its jobs were read back disabled."
        )
        written = f"Written over REST and read back equal: {', '.join(self.faithful) or 'no type of job yet'}."
        others = f"Not written over REST, because it loses or refuses something: {', '.join(self.unfaithful)}."
        learned = f"Learned of version {self.version}." if self.version else "Nothing was learned of this server yet."
        return [learned, deletes[self.import_replaces], written, *([others] if self.unfaithful else []), longest]

    def _with(self, **changed: object) -> Capabilities:
        return self.model_copy(update=changed)


def _joined(types: tuple[str, ...], job_type: str) -> tuple[str, ...]:
    return tuple(sorted({*types, job_type}))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 60 else format_duration(timedelta(seconds=round(seconds)))
