"""What a sync has to deliver: what changed on the source, and what the target lacks or has otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from denodo_ha.durations import format_duration
from denodo_ha.jobs import JobKey
from denodo_ha.snapshot.contents import ArchiveContents, Element, SecretsChange, changed_secrets

NEW, CHANGED, SECRETS, DIFFERS, MISSING, APART, DIRTY = (
    "new",
    "changed",
    "secrets",
    "different on the target",
    "missing on the target",
    "missing or different on the target",
    "with secrets, which may differ on the target",
)


@dataclass(frozen=True)
class ChangedElement:
    """One element to deliver, and why."""

    element: Element
    why: str

    @property
    def key(self) -> JobKey | None:
        """The job's key; None for an element that is no job."""
        return job_key(self.element) if self.element.kind == "job" else None


@dataclass(frozen=True)
class Changes:
    """The elements to deliver, in the order of their identity. Removed elements are no delivery."""

    items: tuple[ChangedElement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.items)

    @property
    def elements(self) -> tuple[Element, ...]:
        return tuple(change.element for change in self.items)

    @property
    def counts(self) -> dict[str, int]:
        """Number of elements for each reason."""
        return dict(sorted(Counter(change.why for change in self.items).items()))

    def __str__(self) -> str:
        return ", ".join(f"{number} {why}" for why, number in self.counts.items()) or "nothing"


def job_key(element: Element) -> JobKey:
    return JobKey(project=element.project or "", name=element.name)


def changes(
    *,
    committed: ArchiveContents | None,
    now: ArchiveContents,
    different_on_target: Collection[JobKey],
    missing_on_target: Collection[JobKey],
    sources_different: Collection[tuple[str, str]],
    dirty: bool,
    last_import_age: timedelta | None,
    secrets_refresh: timedelta,
) -> Changes:
    """Find what has to be delivered.

    An element counts that was added or changed since the committed snapshot, or whose secrets were; and one that the
    target lacks or has otherwise. Without a committed snapshot a job or a data source that the target has equal, as far
    as REST shows it, and that has no secrets needs no delivery.

    :param committed: the contents of the committed snapshot of the same source; None if there is none.
    :param now: those of the source's export.
    :param different_on_target: jobs that the target has with another definition.
    :param missing_on_target: jobs that the target lacks.
    :param sources_different: project and name of the data sources that the target lacks or has otherwise.
    :param dirty: the target may hold other secrets than the committed snapshot, so all are delivered.
    :param last_import_age: how long ago **all** secrets were delivered; None if they never were. A sync that delivers
        some of them does not make the others younger.
    :param secrets_refresh: where the server salts its secrets, all are delivered when they are as old as this.
    """
    sources = {_source(*each) for each in sources_different}
    differing, missing = set(different_on_target), set(missing_on_target)
    secrets = changed_secrets(committed, now) if committed else SecretsChange()
    refresh = (
        committed is not None and secrets.hidden and (last_import_age is None or last_import_age >= secrets_refresh)
    )
    old = committed.by_identity if committed else {}

    def why(element: Element) -> str | None:
        before = old.get(element.identity)
        if element.kind == "job" and job_key(element) in missing:
            return MISSING if before else NEW
        if committed and (before is None or before.hash != element.hash):
            return CHANGED if before else NEW
        if element.kind == "job" and job_key(element) in differing:
            return DIFFERS
        if element.kind == "dataSource" and _source(element.project or "", element.name) in sources:
            return APART
        if committed is None and element.kind not in ("job", "dataSource"):
            return NEW
        if element.identity in secrets.identities:
            return SECRETS
        if element.secrets and (dirty or committed is None):
            return DIRTY
        if refresh and element.secrets:
            return f"all secrets, which were last delivered {_ago(last_import_age)}"
        return None

    return Changes(tuple(ChangedElement(element, reason) for element in now.elements if (reason := why(element))))


def _source(project: str, name: str) -> JobKey:
    """Return a data source's project and name in the form in which jobs are compared."""
    return JobKey(project=project, name=name)


def _ago(age: timedelta | None) -> str:
    return f"{format_duration(age)} ago" if age is not None else "at an unknown time"
