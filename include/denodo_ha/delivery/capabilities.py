"""What was learned of the server that receives a sync; nothing here is assumed from its version."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta, timezone
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from denodo_ha.durations import format_duration

Offset = Annotated[int, Field(gt=-86_400, lt=86_400)]


class Tried(BaseModel):
    """What a doctor found when it tried something out on the server.

    :param question: its name, as in :data:`denodo_ha.doctor.questions.QUESTIONS`.
    :param verdict: whether the contract's word was ``confirmed`` or ``refuted``.
    :param seen: in one clause, what was seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    verdict: Literal["confirmed", "refuted"]
    seen: str
    at: AwareDatetime


class Capabilities(BaseModel):
    """What one target server was seen to do.

    :param version: the server's full version when this was learned; another version starts from nothing.
    :param import_replaces: whether an import of a cut-down archive deleted the jobs that it did not hold; None where it
        is not known. The manual says that it does not [D], one write-up of a live server that it does [unresolved].
    :param faithful: types of jobs that were written over REST and read back equal.
    :param unfaithful: types of jobs that were not, or that REST refuses.
    :param longest_import: seconds from sending an import to the moment all its jobs were read back disabled, the
        longest so far.
    :param offsets: how many seconds the clock of its crons is ahead of UTC in January and in July of 2099, as the next
        executions of scratch jobs told. None: not known.
    :param past_start_fires: whether a job with a ``startTime`` in the past fired as soon as it was imported [Q].
    :param tried: what a doctor found, on which the two before rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = ""
    import_replaces: bool | None = None
    faithful: tuple[str, ...] = ()
    unfaithful: tuple[str, ...] = ()
    longest_import: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    offsets: tuple[Offset, Offset] | None = None
    past_start_fires: bool | None = None
    tried: tuple[Tried, ...] = ()

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

    def learned_by_trying(
        self, tried: Collection[Tried], *, offsets: tuple[int, int] | None, past_start_fires: bool | None
    ) -> Capabilities:
        """A doctor tried these things out; what it found of each before is forgotten.

        :param offsets: None where they were not found out now, which leaves them. :param past_start_fires: the same.
        """
        new = {each.question: each for each in tried}
        kept = [each for each in self.tried if each.question not in new]
        return self._with(
            tried=(*kept, *new.values()),
            offsets=offsets or self.offsets,
            past_start_fires=self.past_start_fires if past_start_fires is None else past_start_fires,
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
        found = [learned, deletes[self.import_replaces], written, *([others] if self.unfaithful else []), longest]
        if self.offsets:
            winter, summer = (_offset(each) for each in self.offsets)
            found.append(f"Its crons are on {winter} in January and {summer} in July.")
        if self.past_start_fires is False:
            found.append("A job whose start time is past does not fire when it is imported.")
        return [*found, *(f"Tried on {each.at:%Y-%m-%d}: {each.seen}." for each in self.tried)]

    def _with(self, **changed: object) -> Capabilities:
        return self.model_copy(update=changed)


def _offset(seconds: int) -> str:
    return str(timezone(timedelta(seconds=seconds)))


def _joined(types: tuple[str, ...], job_type: str) -> tuple[str, ...]:
    return tuple(sorted({*types, job_type}))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 60 else format_duration(timedelta(seconds=round(seconds)))
