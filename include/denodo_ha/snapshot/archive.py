"""Check an export file, read it, and cut it down to what is in scope, always a piece at a time."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Protocol
from urllib.parse import unquote

from denodo_ha.definitions import plain
from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.jobs import JobKey
from denodo_ha.scope import Scope
from denodo_ha.snapshot.contents import ArchiveContents, Element
from denodo_ha.snapshot.elements import ElementError, ElementParser, properties_hash
from denodo_ha.snapshot.zip_check import Archive, ArchiveError, check_beginning, open_zip

__all__ = [
    "ArchiveContents",
    "ArchiveError",
    "FilterResult",
    "Openable",
    "cut_archive",
    "filter_archive",
    "has_scratch",
    "inspect",
    "read_elements",
]

METADATA = "data/server-metadata.properties"
PROJECTS = "data/projects/"
MAX_ELEMENT = 16 * 1024**2
"""Bytes that a file may have which is read as a whole, such as the XML of a job."""
_VERSION = re.compile(rb"^[ \t]*installation\.version[ \t]*[=:](.*)$", re.MULTILINE)


class Openable(Protocol):
    """A path, local or on object storage."""

    def open(self, mode: str = ..., /) -> IO[bytes]: ...


def inspect(source: Openable, *, expected_size: int | None = None) -> ArchiveContents:
    """Read the whole export once, a piece at a time, check every byte that carries meaning and return its contents.

    ``expected_size`` is what the sender announced, in bytes. Raises ArchiveError with the reason when the file is
    empty, HTML, cut off, damaged, malicious, or holds no server metadata, no job and no data source.
    """
    with _opened(source, expected_size=expected_size) as archive:
        version = ""
        elements: list[Element] = []
        parameters: set[str] = set()
        for entry in sorted(archive.file.infolist(), key=lambda entry: entry.header_offset):
            pieces = archive.read(entry)
            if entry.filename == METADATA:
                version = _version(_whole(pieces, entry))
            elif entry.is_dir():
                _drain(pieces)
            else:
                elements.append(_element(entry, pieces, parameters))
    if not version:
        raise ArchiveError(f"The export holds no {METADATA}: it is not an export of a Denodo Scheduler.")
    if not any(element.kind in {"job", "dataSource"} for element in elements):
        raise ArchiveError(
            "The export holds no job and no data source. Check that the login has the role scheduler_admin."
        )
    contents = ArchiveContents(
        version=version,
        elements=tuple(sorted(elements, key=lambda element: element.identity)),
        parameters=tuple(sorted(set(map(plain, parameters)))),
    )
    if len(contents.by_identity) != len(elements):
        raise ArchiveError("The export holds an element twice (names are compared without case). Export again.")
    return contents


def read_elements(source: Openable, elements: Iterable[Element]) -> Iterator[tuple[Element, bytes]]:
    """Yield some of the elements that ``inspect(source)`` found, each with its file.

    :raises ArchiveError: the archive is damaged. :raises FileNotFoundError: there is none.
    """
    wanted = {element.entry: element for element in elements}
    with _opened(source) as archive:
        for entry in sorted(archive.file.infolist(), key=lambda entry: entry.header_offset):
            if element := wanted.get(entry.filename):
                yield element, _whole(archive.read(entry), entry)


@contextmanager
def _opened(source: Openable, *, expected_size: int | None = None) -> Iterator[Archive]:
    """Open and check the archive."""
    with source.open("rb") as stream:
        size = check_beginning(stream, expected_size)
        with open_zip(stream, size) as archive:
            yield archive


def _drain(pieces: Iterable[bytes]) -> None:
    for _ in pieces:
        pass


def _ensure_small(entry: zipfile.ZipInfo) -> None:
    if entry.file_size > MAX_ELEMENT:
        raise ArchiveError(f'"{entry.filename}" in the export has {entry.file_size} bytes; that much is not believed.')


def _whole(pieces: Iterable[bytes], entry: zipfile.ZipInfo) -> bytes:
    _ensure_small(entry)
    return b"".join(pieces)


def _version(metadata: bytes) -> str:
    match = _VERSION.search(metadata)
    if not match or not match[1].strip():
        raise ArchiveError(f"{METADATA} in the export does not name installation.version. Export again.")
    return re.sub(r"\\(.)", r"\1", match[1].strip(b" \t\r").decode("latin-1"))


def _project_of(entry: str) -> str | None:
    """Return the project of an entry's path; None outside the projects' folder.

    Characters that a folder's name cannot have (such as ``/``) are percent-encoded [G].
    """
    parts = entry.split("/")
    return unquote(parts[2]) if parts[:2] == ["data", "projects"] and len(parts) > 3 else None


def _element(entry: zipfile.ZipInfo, pieces: Iterator[bytes], parameters: set[str]) -> Element:
    path = entry.filename
    project = _project_of(path)
    if project is not None and (not project or not project.isprintable()):
        raise ArchiveError(f'"{path}" in the export belongs to a project whose name no project has. Export again.')
    if project is not None and path.endswith(".xml"):
        return _parsed(entry, project, pieces, parameters)
    if path.endswith(".properties"):
        try:
            digest = properties_hash(_whole(pieces, entry))
        except ElementError as error:
            raise ArchiveError(f'"{path}" in the export cannot be read: {error}. Export again.') from None
    else:
        sha256 = hashlib.sha256()
        for piece in pieces:
            sha256.update(piece)
        digest = sha256.hexdigest()
    if project is not None and path.endswith("/description.txt") and path.count("/") == 3:
        return Element(kind="project", project=project, name=project, hash=digest, entry=path)
    return Element(kind="resource", project=project, name=path, hash=digest, entry=path)


def _parsed(entry: zipfile.ZipInfo, project: str, pieces: Iterator[bytes], parameters: set[str]) -> Element:
    _ensure_small(entry)
    parser = ElementParser()
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.close()
    except ElementError as error:
        raise ArchiveError(f'"{entry.filename}" in the export cannot be read: {error}. Export again.') from None
    if parser.kind == "job":
        parameters.update(parser.parameters)
    return Element(
        kind=parser.kind,
        project=project,
        name=parser.name,
        hash=parser.hash,
        secrets=parser.secrets,
        dependencies=tuple(parser.dependencies),
        entry=entry.filename,
    )


def has_scratch(source: Openable) -> bool:
    """Return whether a scratch project of a doctor is in the export, be it an empty one."""
    with _opened(source) as archive:
        return any(is_scratch(_project_of(name) or "") for name in archive.file.namelist())


@dataclass(frozen=True)
class FilterResult:
    """The ``contents`` of the file that was written.

    ``outside_dependencies`` pairs each job in scope with a job out of scope that it depends on: on the other server it
    waits for the job of that name there.
    """

    contents: ArchiveContents
    outside_dependencies: tuple[tuple[JobKey, JobKey], ...]


def filter_archive(source: Openable, contents: ArchiveContents, destination: IO[bytes], scope: Scope) -> FilterResult:
    """Copy what is in ``scope`` to ``destination``, a piece at a time.

    ``contents`` is what ``inspect(source)`` found. Jobs out of scope are left out, and everything of projects out of
    scope; the data sources of a project in scope stay, and so do resources such as drivers. Raises ScopeError when a
    pattern matches nothing. It is not needed if ``scope.everything`` and there is no scratch project of a doctor in it.
    """
    scope.check(contents.jobs, contents.projects)
    kept = cut_archive(source, contents, destination, lambda element: _in_scope(element, scope))
    return FilterResult(kept, tuple(_outside(kept.elements, contents, scope)))


def cut_archive(
    source: Openable,
    contents: ArchiveContents,
    destination: IO[bytes],
    keep: Callable[[Element], bool],
    rewrite: Callable[[Element, bytes], bytes] | None = None,
) -> ArchiveContents:
    """Write an archive of some of the elements to ``destination``, a piece at a time.

    The server's metadata is always in it, and so are the folder and the description of each project of which an element
    is kept. All bytes stay as they are, but for what ``rewrite`` returns.

    :param contents: what ``inspect(source)`` found.
    :param keep: whether an element is kept. It is asked for the folder of each project too, which is an element of the
        kind ``project``, so that an empty project can be kept.
    :param rewrite: returns the XML to write for an element of a project, given the element and its XML.
    :return: the kept elements, as they are in ``contents``.
    """
    chosen = {element.entry for element in contents.elements if keep(element)}
    projects = {element.project for element in contents.elements if element.entry in chosen}
    kept = tuple(
        element
        for element in contents.elements
        if element.entry in chosen or (element.kind == "project" and element.project in projects)
    )
    by_entry = {element.entry: element for element in kept}
    folders = {f"{folder}/" for path in by_entry for folder in map(str, PurePosixPath(path).parents)}
    with _opened(source) as archive, zipfile.ZipFile(destination, "w") as target:
        for entry in archive.file.infolist():
            element = by_entry.get(entry.filename)
            if element is None and not _stays(entry, projects, folders, keep):
                continue
            pieces: Iterable[bytes] = archive.read(entry)
            if rewrite and element and element.project is not None and entry.filename.endswith(".xml"):
                pieces = [rewrite(element, _whole(pieces, entry))]
            copy = zipfile.ZipInfo(entry.filename, entry.date_time)
            copy.compress_type = entry.compress_type
            copy.external_attr = entry.external_attr
            copy.file_size = entry.file_size
            with target.open(copy, "w") as written:
                for piece in pieces:
                    written.write(piece)
    return ArchiveContents(version=contents.version, elements=kept, parameters=contents.parameters)


def _stays(
    entry: zipfile.ZipInfo,
    projects: Collection[str | None],
    folders: Collection[str],
    keep: Callable[[Element], bool],
) -> bool:
    """Return whether an entry that is no element stays: the metadata, and folders of what is kept."""
    path = entry.filename
    if path == METADATA:
        return True
    if not entry.is_dir():
        return False
    project = _project_of(path)
    if project is None:
        return path == PROJECTS or path in folders
    return project in projects or keep(Element(kind="project", project=project, name=project, hash="", entry=path))


def _key(element: Element) -> JobKey:
    assert element.project is not None
    return JobKey(project=element.project, name=element.name)


def _in_scope(element: Element, scope: Scope) -> bool:
    if element.project is None:
        return True
    return scope.matches(_key(element)) if element.kind == "job" else scope.matches_project(element.project)


def _outside(kept: tuple[Element, ...], contents: ArchiveContents, scope: Scope) -> list[tuple[JobKey, JobKey]]:
    known = set(contents.jobs)
    found = []
    for element in kept:
        for name in element.dependencies if element.kind == "job" else ():
            other = JobKey(project=element.project or "", name=name)
            if other in known and not scope.matches(other):
                found.append((_key(element), other))
    return found
