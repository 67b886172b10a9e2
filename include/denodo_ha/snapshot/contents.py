"""The contents of an export file, and their comparison with those of another one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, ConfigDict, ValidationError

from denodo_ha.jobs import JobKey, fold
from denodo_ha.snapshot.zip_check import ArchiveError

Identity = tuple[str, str, str]
"""What names an element: its kind, project and name, the last two without case."""


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
    def identity(self) -> Identity:
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
    def by_identity(self) -> dict[Identity, Element]:
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
class SecretsChange:
    """Which encrypted values changed between two exports.

    :param identities: the elements whose values are known to have changed.
    :param hidden: all values of the elements that have some in both exports differ. So the server salts them at every
        export [S: true of every genuine file], and whether one of them changed cannot be seen.
    """

    identities: frozenset[Identity] = frozenset()
    hidden: bool = False


def changed_secrets(old: ArchiveContents, new: ArchiveContents) -> SecretsChange:
    """Compare the encrypted values of the elements that are in both exports."""
    values = {
        identity: (before.secrets, element.secrets)
        for identity, element in new.by_identity.items()
        if (before := old.by_identity.get(identity))
    }
    set_or_cleared = {identity for identity, (before, after) in values.items() if (before is None) != (after is None)}
    both = {identity for identity, (before, after) in values.items() if before and after}
    differing = {identity for identity in both if values[identity][0] != values[identity][1]}
    hidden = bool(both) and differing == both
    return SecretsChange(frozenset(set_or_cleared if hidden else set_or_cleared | differing), hidden)
