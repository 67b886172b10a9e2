"""The contents of an export file, and their comparison with those of another one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from pydantic import BaseModel, ConfigDict, ValidationError

from denodo_ha.durations import format_duration
from denodo_ha.jobs import JobKey, fold
from denodo_ha.snapshot.zip_check import ArchiveError


class Element(BaseModel):
    """One element of an export: a ``job``, ``dataSource`` or other element type of a project, a ``project``'s
    description, or a ``resource`` (driver, plugin, configuration).

    ``name`` is the one inside the XML, since file names may be escaped; for a resource it is the entry. ``hash`` and
    ``secrets`` are explained in ``ElementParser``. ``entry`` is the path in the archive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    project: str | None
    name: str
    hash: str
    secrets: str | None = None
    dependencies: tuple[str, ...] = ()
    entry: str

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.kind, fold(self.project or ""), fold(self.name)

    def __str__(self) -> str:
        where = f"{self.project} / " if self.project and self.kind != "project" else ""
        return f"{self.kind} {where}{self.name}"


class ArchiveContents(BaseModel):
    """The contents of an export file.

    ``version`` is the server's, as it writes it, such as ``8.0 20240927`` [S]. ``parameters`` are the names that the
    parameters of jobs have, in the form of :func:`denodo_ha.definitions.plain`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    elements: tuple[Element, ...]
    parameters: tuple[str, ...] = ()

    @cached_property
    def by_identity(self) -> dict[tuple[str, str, str], Element]:
        return {element.identity: element for element in self.elements}

    @property
    def jobs(self) -> list[JobKey]:
        return [
            JobKey(project=element.project, name=element.name)
            for element in self.elements
            if element.kind == "job" and element.project is not None
        ]

    @property
    def projects(self) -> list[str]:
        return sorted({element.project for element in self.elements if element.project is not None})

    @property
    def counts(self) -> dict[str, int]:
        """Number of ``projects``, ``jobs``, ``dataSources`` and ``resources``."""
        kinds = [element.kind for element in self.elements]
        return {
            "projects": len(self.projects),
            "jobs": kinds.count("job"),
            "dataSources": kinds.count("dataSource"),
            "resources": kinds.count("resource"),
        }

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over all elements; two exports of an unchanged server agree although their bytes never do [S]."""
        digest = hashlib.sha256()
        for identity, element in sorted(self.by_identity.items()):
            digest.update("\0".join([*identity, element.hash, ""]).encode())
        return digest.hexdigest()

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> ArchiveContents:
        """Read what ``to_json`` wrote; raises ArchiveError for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ArchiveError(
                f"The stored contents of an export cannot be read ({error.error_count()} mistakes). "
                f"Run a sync to replace them."
            ) from None


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison; ``reason`` says why the contents count as changed or unchanged."""

    unchanged: bool
    reason: str


def same_content(
    old: ArchiveContents | None, new: ArchiveContents, *, last_import_age: timedelta | None, secrets_refresh: timedelta
) -> Comparison:
    """Compare ``new`` with ``old``, which was imported last; equal contents need no import.

    When some encrypted values differ and others do not, passwords changed. When all differ, the server salts them at
    every export [S: true of every genuine file], so they carry no information; then the last import is valid until it
    is ``secrets_refresh`` old (``last_import_age`` None: no import is known).
    """
    if old is None:
        return Comparison(False, "there is no earlier export to compare with")
    if old.content_hash != new.content_hash:
        return Comparison(False, _difference(old, new))
    pairs = [(element, old.by_identity[identity].secrets) for identity, element in sorted(new.by_identity.items())]
    with_secrets = [(element, before) for element, before in pairs if element.secrets or before]
    differing = [(element, before) for element, before in with_secrets if element.secrets != before]
    if not differing:
        return Comparison(True, "all elements and encrypted values are equal")
    set_or_cleared = any(element.secrets is None or before is None for element, before in differing)
    if set_or_cleared or len(differing) < len(with_secrets):
        return Comparison(False, f"passwords changed in {len(differing)} elements, such as {differing[0][0]}")
    refresh = format_duration(secrets_refresh)
    if last_import_age is None or last_import_age >= secrets_refresh:
        return Comparison(
            False,
            f"all elements are equal, but whether passwords changed cannot be seen and the last import is not "
            f"younger than {refresh}",
        )
    return Comparison(
        True,
        f"all elements are equal; the server salts its encrypted values, and the last import is younger than {refresh}",
    )


def _difference(old: ArchiveContents, new: ArchiveContents) -> str:
    before, after = old.by_identity, new.by_identity
    groups = {
        "added": [after[key] for key in after.keys() - before.keys()],
        "removed": [before[key] for key in before.keys() - after.keys()],
        "changed": [after[key] for key in after.keys() & before.keys() if after[key].hash != before[key].hash],
    }
    parts = [
        f"{len(elements)} {word} (such as {min(elements, key=lambda element: element.identity)})"
        for word, elements in groups.items()
        if elements
    ]
    return "elements differ: " + ", ".join(parts)
