"""Read and write the export file: a zip with one line of XML per data source and job [S].

A name that cannot be a file name is percent-encoded in the zip (``/ \\ : * ? " < > | %``, control characters and names
of dots only) [G]; the parameter ``name`` inside holds the original.
"""

from __future__ import annotations

import random
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from denodo_standin.params import Element, parse, xml_of

RESOURCES = "data/resources/"

_PROPERTIES = "data/server-metadata.properties"
_PROJECTS = "data/projects/"
_ELEMENT = re.compile(r"data/projects/([^/]+)/(dataSource|job)/[^/]+\.xml")
_DESCRIPTION = re.compile(r"data/projects/([^/]+)/description\.txt")
_PROJECT = re.compile(r"data/projects/([^/]+)/")
_NO_FILE_NAME = re.compile(r'[%/\\:*?"<>|\x00-\x1f]|^\.+$')
_PADDING = f"{RESOURCES}drivers/stand-in-padding-"
_MEGABYTE = 1 << 20
_PADDING_ENTRY_MB = 10


class DamagedExportError(ValueError):
    """The file is not an export of a Scheduler server; the message says where it is damaged."""


@dataclass(frozen=True)
class Export:
    """The contents of an export file, without its resources.

    :param projects: description by name, in the order of the file
    """

    version: str
    projects: dict[str, str | None]
    elements: tuple[Element, ...]


def read_export(path: Path) -> Export:
    """Read and check the whole file, every byte of the resources included, without keeping them in memory.

    :raises DamagedExportError: the file is no zip, is damaged, or is not an export
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise DamagedExportError(f"The entry '{damaged}' is damaged: export again")
            return _read(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise DamagedExportError(f"Not an intact zip archive ({error}): export again") from None


def read_resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files under data/resources, one at a time, without the stand-in's padding."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.startswith(RESOURCES) and not info.is_dir() and not info.filename.startswith(_PADDING):
                yield info.filename.removeprefix(RESOURCES), archive.read(info)


def write_export(
    export: Export,
    *,
    moment: datetime,
    resources: Iterable[tuple[str, bytes]] = (),
    salted: bool = True,
    padding_mb: int = 0,
) -> Iterator[bytes]:
    """Yield the bytes of an export file, in pieces, so that it is never whole in memory.

    :param moment: the time of the export, in the time zone of the server
    :param salted: see :func:`denodo_standin.params.xml_of`
    :param padding_mb: megabytes of incompressible drivers to add, the same in every export
    """
    stream = _Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _entries(export, moment, resources, salted):
            archive.writestr(_info(name, moment), content)
            yield stream.take()
        for name, chunks in _padding(padding_mb):
            with archive.open(_info(name, moment, zipfile.ZIP_STORED), "w") as entry:
                for chunk in chunks():
                    entry.write(chunk)
                    yield stream.take()
    yield stream.take()


def entry_name(name: str) -> str:
    """Return the ``name`` of a project or an element as a file name [G]."""
    return _NO_FILE_NAME.sub(lambda match: "".join(f"%{ord(char):02X}" for char in match[0]), name)


def _read(archive: zipfile.ZipFile) -> Export:
    names = archive.namelist()
    if _PROPERTIES not in names:
        raise DamagedExportError(f"'{_PROPERTIES}' is missing: this is not an export of a Scheduler server")
    projects: dict[str, str | None] = {}
    elements = []
    for name in names:
        if match := _PROJECT.match(name):
            projects.setdefault(unquote(match[1]), None)
        if match := _DESCRIPTION.fullmatch(name):
            projects[unquote(match[1])] = archive.read(name).decode()
        elif match := _ELEMENT.fullmatch(name):
            elements.append(_element(archive, name, unquote(match[1]), match[2]))
    return Export(_version(archive.read(_PROPERTIES)), projects, tuple(elements))


def _element(archive: zipfile.ZipFile, name: str, project: str, kind: str) -> Element:
    try:
        element = parse(project, archive.read(name))
        if element.kind != kind:
            raise ValueError(f"it is of type '{element.kind}'")
    except ValueError as error:
        raise DamagedExportError(f"The entry '{name}' does not hold a {kind}: {error}") from None
    return element


def _version(properties: bytes) -> str:
    match = re.search(r"^installation\.version=(.*?)\r?$", properties.decode("latin-1"), re.MULTILINE)
    return match[1] if match else ""


def _entries(
    export: Export, moment: datetime, resources: Iterable[tuple[str, bytes]], salted: bool
) -> Iterator[tuple[str, bytes]]:
    comment = (
        f"#Generated with Denodo Platform {export.version}\n#{moment:%a %b %d %H:%M:%S} {moment.tzname()} {moment:%Y}"
    )
    yield _PROPERTIES, f"{comment}\ninstallation.version={export.version}\n".encode()
    yield _PROJECTS, b""
    for project, description in export.projects.items():
        folder = f"{_PROJECTS}{entry_name(project)}/"
        yield folder, b""
        if description:
            yield f"{folder}description.txt", description.encode()
        for kind in ("dataSource", "job"):
            members = [each for each in export.elements if each.project == project and each.kind == kind]
            if members:
                yield f"{folder}{kind}/", b""
            for element in members:
                yield f"{folder}{kind}/{entry_name(element.name)}.xml", xml_of(element, salted=salted)
    folders: set[str] = set()
    for path, content in resources:
        for folder in [RESOURCES, f"{RESOURCES}{path.rpartition('/')[0]}/"]:
            if folder not in folders:
                folders.add(folder)
                yield folder, b""
        yield f"{RESOURCES}{path}", content


def _padding(megabytes: int) -> Iterator[tuple[str, Callable[[], Iterator[bytes]]]]:
    for start in range(0, megabytes, _PADDING_ENTRY_MB):
        count = min(_PADDING_ENTRY_MB, megabytes - start)
        noise = random.Random(start)  # noqa: S311

        def chunks(count: int = count, noise: random.Random = noise) -> Iterator[bytes]:
            return (noise.randbytes(_MEGABYTE) for _ in range(count))

        yield f"{_PADDING}{start:04}.jar", chunks


def _info(name: str, moment: datetime, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, moment.timetuple()[:6])
    info.compress_type = method
    return info


class _Stream:
    """A stream that zipfile writes to; it cannot seek, so zipfile writes sizes after each entry."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Do nothing: there is no file to close."""

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
