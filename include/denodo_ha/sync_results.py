"""The results that the tasks of a sync pass on to each other, as plain JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, TypeAdapter

from denodo_ha.jobs import JobKey
from denodo_ha.record import Record, Role, SnapshotRef
from denodo_ha.snapshot.manifest import Difference
from denodo_ha.text import listed, moment


def _is_moment(text: str) -> str:
    moment(text)
    return text


Moment = Annotated[str, AfterValidator(_is_moment)]
"""A time in ISO 8601, with its zone."""


class _Handed:
    def to_json(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload,no-any-return]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what ``to_json`` wrote; raise ValueError for anything else."""
        return TypeAdapter(cls).validate_python(value)


@dataclass(frozen=True)
class Exported(_Handed):
    """A snapshot that was taken and checked, and what a sync will do with it.

    :param taken: when the export began, ISO 8601.
    :param unchanged: nothing in it is new or changed for the slave, so no import is needed.
    :param comparison: why an import is needed, or why not.
    :param plan: the changes since the committed snapshot: per kind of change a number and a few names.
    :param delivery: what is to be sent, as JSON of :class:`denodo_ha.delivery.plan.DeliveryPlan`; ``text`` says it.
    :param dirty_since: since when the target was dirty when this was planned, ISO 8601.
    :param wait_until: when the first piece can be sent, ISO 8601 by Airflow's clock; None if something can be at once.
    """

    snapshot: str
    location: str
    taken: Moment
    version: str
    content_hash: str
    manifest_hash: str
    size: int
    jobs: int
    enabled: int
    unchanged: bool
    comparison: str
    plan: dict[str, Any] = field(default_factory=dict)
    delivery: dict[str, Any] = field(default_factory=lambda: {"pieces": [], "pending": []})
    text: str = ""
    dirty_since: Moment | None = None
    wait_until: Moment | None = None

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, **super().to_json()}  # first, since it is what a person reads


@dataclass(frozen=True)
class Imported(_Handed):
    """An import that was answered.

    :param operation: id of this try of the import.
    :param snapshot: what was imported.
    :param began: when the import was sent, ISO 8601.
    :param answered: when its answer came, ISO 8601.
    :param clean_at: when the slave was first read back without enabled jobs, ISO 8601.
    :param warnings: the warnings in the server's answer.
    :param others: jobs of the target outside the pair's scope before the import, as [project, name].
    :param pieces: what was sent, one after the other; the times above are those of the longest exposure.
    :param pending: what was not delivered, as JSON of :class:`denodo_ha.delivery.plan.Pending`.
    :param all_secrets: whether every element with secrets was sent.
    :param rescued: where the target's own export was kept before the first change, and the jobs that it had otherwise.
    :param unlisted: how many warnings the imports told beyond ``warnings``.
    """

    operation: str
    snapshot: str
    began: Moment
    answered: Moment
    clean_at: Moment
    warnings: list[str]
    others: list[list[str]]
    pieces: list[dict[str, Any]] = field(default_factory=list)
    pending: list[dict[str, Any]] = field(default_factory=list)
    all_secrets: bool = True
    rescued: dict[str, Any] = field(default_factory=dict)
    unlisted: int = 0


@dataclass(frozen=True)
class Disabled(_Handed):
    """The result of the step that disables jobs.

    :param disabled: number of jobs that this step disabled.
    :param clean_at: when no job was enabled any more, ISO 8601.
    """

    disabled: int
    clean_at: Moment


def summary(difference: Difference) -> dict[str, Any]:
    """Return for each kind of change how many jobs changed, and the names of a few."""
    kinds: dict[str, tuple[JobKey, ...]] = {
        "added": difference.added,
        "removed": difference.removed,
        "changed": difference.changed,
        "enabled": difference.enabled,
        "disabled": difference.disabled,
    }
    return {kind: {"jobs": len(keys), "names": listed(sorted(keys))} for kind, keys in kinds.items() if keys}


def told(exported: Exported, imported: Imported | None) -> dict[str, Any]:
    """What the event of a sync tells of its snapshot and of the import."""
    return {
        "imported": imported is not None and bool(imported.pieces),
        "comparison": exported.comparison,
        "jobs": exported.jobs,
        "enabled": exported.enabled,
        "content_hash": exported.content_hash,
        "manifest_hash": exported.manifest_hash,
        "size": exported.size,
        "plan": exported.plan,
        "delivered": imported.pieces if imported else [],
        "rescued": imported.rescued if imported else {},
        "location": exported.location,
        "warnings": imported.warnings if imported else [],
        **({"unlisted_warnings": imported.unlisted} if imported and imported.unlisted else {}),
    }


def reference(
    record: Record, exported: Exported, imported: Imported | None, committed: datetime, source: Role
) -> SnapshotRef:
    """Make the record's reference to a snapshot that is committed now.

    :param record: the record before the commit; a sync that did not deliver all secrets keeps the time of the last one
        that did.
    """
    last = record.snapshot.imported if record.snapshot and record.snapshot.source is source else None
    if last is None or (imported and imported.all_secrets and imported.pieces):
        last = datetime.fromisoformat(imported.began if imported else exported.taken)
    return SnapshotRef(
        id=exported.snapshot,
        taken=datetime.fromisoformat(exported.taken),
        committed=committed,
        imported=last,
        content_hash=exported.content_hash,
        manifest_hash=exported.manifest_hash,
        jobs=exported.jobs,
        enabled=exported.enabled,
        source=source,
    )


def exposure(imported: Imported | None, disabled: Disabled | None) -> dict[str, float]:
    """Return how long jobs may have been enabled on the passive server, in seconds.

    ``exposure_seconds`` counts from the moment the import was sent, ``exposure_after_answer_seconds`` from its answer,
    both to the moment all jobs were read back disabled. Of several imports the longest counts; what was written over
    REST is never enabled.
    """
    if imported is None or not any(piece["exposure_seconds"] for piece in imported.pieces):
        return {"exposure_seconds": 0.0, "exposure_after_answer_seconds": 0.0}
    clean = datetime.fromisoformat(disabled.clean_at if disabled and disabled.disabled else imported.clean_at)
    return {
        "exposure_seconds": round((clean - datetime.fromisoformat(imported.began)).total_seconds(), 3),
        "exposure_after_answer_seconds": round((clean - datetime.fromisoformat(imported.answered)).total_seconds(), 3),
    }
