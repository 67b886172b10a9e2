"""Check that a file is an intact zip archive, more strictly than the readers of Python and Java do."""

from __future__ import annotations

import errno
import io
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

CHUNK = 256 * 1024
MAX_ENTRIES = 200_000
MAX_DIRECTORY = 32 * 1024**2
MAX_TOTAL = 8 * 1024**3
SMALL = 64 * 1024**2
MAX_RATIO = 200

_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_LONGEST_END = _END.size + 0xFFFF
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_DESCRIPTORS = {12: "<LLL", 16: "<LLL", 20: "<LQQ", 24: "<LQQ"}
"""What may stand after the data of an entry, by its size: with and without a signature, and for large files."""
_SIGNATURE = b"PK\x07\x08"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DATA_DESCRIPTOR_FLAG = 0x08
_ZIP64 = 0xFFFFFFFF
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError)
_UNSAFE = re.compile(r"^/|^[A-Za-z]:|\\|(^|/)\.\.(/|$)")
_LONGEST_NAME = 4096
_ODD = re.compile(r"^$|//|[\x00-\x1f\x7f]")


class ArchiveError(ValueError):
    """The file is not a usable export; the message gives the reason for a person."""


@contextmanager
def damage_explained(what: str) -> Iterator[None]:
    """Turn what zipfile raises for a damaged file into ArchiveError about ``what``; errors of storage pass."""
    try:
        yield
    except ArchiveError:
        raise
    except _DAMAGE as error:
        raise ArchiveError(f"{what} is damaged ({error}). Export again.") from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ArchiveError(f"{what} is damaged (it points outside of the file). Export again.") from None


def check_beginning(stream: IO[bytes], expected_size: int | None = None) -> int:
    """Refuse a file that is no zip archive, or shorter or longer than announced; return the size in bytes."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(1024)
    if not size:
        raise ArchiveError("The export is empty (0 bytes). Export again.")
    if not head.startswith(b"PK\x03\x04"):
        raise ArchiveError(f"The export is {_kind_of(head)}, not a zip archive.")
    if expected_size is not None and size != expected_size:
        verb = "ends after" if size < expected_size else "has"
        raise ArchiveError(f"The export {verb} {size} of {expected_size} bytes. Export again.")
    return size


def _kind_of(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return "an HTML page, probably a login or error page (check host, port and base path of the connection)"
    if text.startswith((b"{", b"[")):
        return "a JSON text, probably an error message of the server"
    if text.startswith(b"<?xml"):
        return "an XML file (turn off the export option that writes XML)"
    if text.startswith(b"pk\x05\x06"):
        return "an archive without entries"
    return "something else"


@dataclass(frozen=True)
class Archive:
    """An archive whose directory was checked.

    :param ends: where the bytes of an entry end, by where they begin.
    """

    file: zipfile.ZipFile
    stream: IO[bytes]
    ends: dict[int, int]

    def read(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield the entry's bytes in pieces; raise ArchiveError if they or their headers contradict the directory."""
        with damage_explained(f'"{entry.filename}" in the export'):
            _check_headers(self.stream, entry, self.ends[entry.header_offset])
            with self.file.open(entry) as data:
                while chunk := data.read(CHUNK):
                    yield chunk


@contextmanager
def open_zip(stream: IO[bytes], size: int) -> Iterator[Archive]:
    """Open the archive after checking its directory: complete, nothing before or after it or between its entries, no
    entry twice, no unsafe path, no bomb.
    """
    with damage_explained("The export's directory"):
        begin, announced = _find_directory(stream, size)
        archive = zipfile.ZipFile(stream)
    with archive:
        entries = archive.infolist()
        if announced != len(entries):
            raise ArchiveError(
                f"The export's directory is damaged ({len(entries)} entries instead of {announced}). Export again."
            )
        _check_names([entry.orig_filename for entry in entries])
        _check_sizes(entries, size)
        places = sorted(entry.header_offset for entry in entries)
        if places[:1] != [0]:
            raise ArchiveError("The export's archive is preceded by something that is not in its directory.")
        yield Archive(archive, stream, dict(pairwise([*places, begin])))


def _find_directory(stream: IO[bytes], size: int) -> tuple[int, int]:
    """Find the directory without reading it: where it begins, and how many entries are announced."""
    last = stream.seek(max(0, size - _LONGEST_END))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise ArchiveError(
            f"The export was cut off: it ends after {size} bytes, without the directory that ends an archive. "
            f"Export again."
        )
    *_, count, length, begin, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise ArchiveError("The export's archive is followed by something that is not part of it. Export again.")
    end = last + at
    if count == 0xFFFF or _ZIP64 in (length, begin):
        stream.seek(end - _LOCATOR64.size)
        mark, _, end, _ = _LOCATOR64.unpack(stream.read(_LOCATOR64.size))
        stream.seek(end)
        record, *_, count, length, begin = _END64.unpack(stream.read(_END64.size))
        if (mark, record) != (b"PK\x06\x07", b"PK\x06\x06"):
            raise zipfile.BadZipFile("it is announced for large files and is none")
    if begin + length != end:
        raise ArchiveError(
            "The export's directory is damaged, or the archive is preceded by something that is not part of it. "
            "Export again."
        )
    if length > MAX_DIRECTORY:
        raise ArchiveError(f"The export's directory has {length} bytes; more than {MAX_DIRECTORY} are not believed.")
    stream.seek(begin)
    count = max(count, stream.read(length).count(b"PK\x01\x02")) if count <= MAX_ENTRIES else count
    if count > MAX_ENTRIES:
        raise ArchiveError(f"The export has {count} entries; more than {MAX_ENTRIES} are not believed.")
    return begin, count


def _check_names(names: list[str]) -> None:
    twice = next((name for name, number in Counter(names).items() if number > 1), None)
    if twice is not None:
        raise ArchiveError(f'The export holds "{twice[:200]}" twice; it cannot be known which one counts.')
    for name in names:
        if _UNSAFE.search(name):
            raise ArchiveError(
                f'The export holds the path "{name[:200]}", which leads out of its folder. Do not import it.'
            )
        if _ODD.search(name) or len(name) > _LONGEST_NAME:
            raise ArchiveError(f"The export holds the path {name[:200]!r}, which no file has. Do not import it.")


def _check_sizes(entries: list[zipfile.ZipInfo], size: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > SMALL and total > MAX_RATIO * size:
        raise ArchiveError(f"The export would unpack from {size} to {total} bytes: a zip bomb. Do not import it.")
    if total > MAX_TOTAL:
        raise ArchiveError(f"The export would unpack to {total} bytes; more than {MAX_TOTAL} are not believed.")
    for entry in entries:
        if entry.file_size > SMALL and entry.file_size > MAX_RATIO * entry.compress_size:
            raise ArchiveError(
                f'The export holds "{entry.filename}", which would unpack from {entry.compress_size} to '
                f"{entry.file_size} bytes: a zip bomb. Do not import it."
            )


def _check_headers(stream: IO[bytes], entry: zipfile.ZipInfo, end: int) -> None:
    """Check that the header before the data and the descriptor after it agree with the directory, and that nothing else
    stands there.

    Python reads the directory only, but Java's ZipInputStream, the likely reader of an import, uses these.
    """
    if entry.compress_type not in _METHODS:
        raise zipfile.BadZipFile(f"it is packed by method {entry.compress_type}, which no export is")
    stream.seek(entry.header_offset)
    _, _, flags, method, _, _, crc, packed, unpacked, name, extra = _LOCAL.unpack(stream.read(_LOCAL.size))
    if (flags, method) != (entry.flag_bits, entry.compress_type):
        raise zipfile.BadZipFile("its header and the directory differ")
    after = end - (entry.header_offset + _LOCAL.size + name + extra + entry.compress_size)
    found = crc, packed, unpacked
    if flags & _DATA_DESCRIPTOR_FLAG:
        if after not in _DESCRIPTORS:
            raise zipfile.BadZipFile("it does not end where the next one begins")
        stream.seek(end - after)
        descriptor = stream.read(after)
        if after in (16, 24):
            if not descriptor.startswith(_SIGNATURE):
                raise zipfile.BadZipFile("its header and the directory differ")
            descriptor = descriptor[len(_SIGNATURE) :]
        found = struct.unpack(_DESCRIPTORS[after], descriptor)
    elif after:
        raise zipfile.BadZipFile("it does not end where the next one begins")
    elif _ZIP64 in found[1:]:
        return
    if found != (entry.CRC, entry.compress_size, entry.file_size):
        raise zipfile.BadZipFile("its header and the directory differ")
