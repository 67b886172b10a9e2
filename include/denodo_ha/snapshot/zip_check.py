"""Check that a file is an intact zip archive, more strictly than the readers of Python and Java do."""

from __future__ import annotations

import errno
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

CHUNK = 256 * 1024
MAX_ENTRIES = 200_000
MAX_TOTAL = 8 * 1024**3
SMALL = 64 * 1024**2
MAX_RATIO = 200

_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_DESCRIPTOR = struct.Struct("<LLL")
_DATA_DESCRIPTOR_FLAG = 0x08
_ZIP64 = 0xFFFFFFFF
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError)
_UNSAFE = re.compile(r"^/|^[A-Za-z]:|\\|\0|(^|/)\.\.(/|$)")


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


def open_zip(stream: IO[bytes], size: int) -> zipfile.ZipFile:
    """Open the archive after checking its directory: complete, no entry twice, no unsafe path, no bomb."""
    with damage_explained("The export's directory"):
        try:
            archive = zipfile.ZipFile(stream)
        except zipfile.BadZipFile as error:
            if "not a zip file" not in str(error):
                raise
            raise ArchiveError(
                f"The export was cut off: it ends after {size} bytes, without the directory that ends an archive. "
                f"Export again."
            ) from None
        stream.seek(size - _END.size - len(archive.comment))
        announced = _END.unpack(stream.read(_END.size))[4]
    entries = archive.infolist()
    if announced not in (len(entries), 0xFFFF):
        raise ArchiveError(
            f"The export's directory is damaged ({len(entries)} entries instead of {announced}). Export again."
        )
    _check_names([entry.filename for entry in entries])
    _check_sizes(entries)
    return archive


def _check_names(names: list[str]) -> None:
    if len(names) > MAX_ENTRIES:
        raise ArchiveError(f"The export has {len(names)} entries; more than {MAX_ENTRIES} are not believed.")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArchiveError(f'The export holds "{twice}" twice; it cannot be known which one counts.')
    for name in names:
        if _UNSAFE.search(name):
            raise ArchiveError(f'The export holds the path "{name}", which leads out of its folder. Do not import it.')


def _check_sizes(entries: list[zipfile.ZipInfo]) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > MAX_TOTAL:
        raise ArchiveError(f"The export would unpack to {total} bytes; more than {MAX_TOTAL} are not believed.")
    for entry in entries:
        if entry.file_size > SMALL and entry.file_size > MAX_RATIO * entry.compress_size:
            raise ArchiveError(
                f'The export holds "{entry.filename}", which would unpack from {entry.compress_size} to '
                f"{entry.file_size} bytes: a zip bomb. Do not import it."
            )


def read_entry(archive: zipfile.ZipFile, stream: IO[bytes], entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the entry's bytes in pieces; raise ArchiveError if they or their headers contradict the directory."""
    with damage_explained(f'"{entry.filename}" in the export'):
        _check_headers(stream, entry)
        with archive.open(entry) as data:
            while chunk := data.read(CHUNK):
                yield chunk


def _check_headers(stream: IO[bytes], entry: zipfile.ZipInfo) -> None:
    """Check that the header before the data and the descriptor after it agree with the directory.

    Python reads the directory only, but Java's ZipInputStream, the likely reader of an import, uses these.
    """
    stream.seek(entry.header_offset)
    _, _, flags, method, _, _, crc, packed, unpacked, name, extra = _LOCAL.unpack(stream.read(_LOCAL.size))
    if (flags, method) != (entry.flag_bits, entry.compress_type):
        raise zipfile.BadZipFile("its header and the directory differ")
    expected = entry.CRC, entry.compress_size, entry.file_size
    if flags & _DATA_DESCRIPTOR_FLAG:
        if max(expected[1:]) >= _ZIP64:
            return
        stream.seek(entry.header_offset + _LOCAL.size + name + extra + entry.compress_size)
        after = stream.read(4 + _DESCRIPTOR.size)
        found = _DESCRIPTOR.unpack_from(after, 4 if after.startswith(b"PK\x07\x08") else 0)
    else:
        if _ZIP64 in (packed, unpacked):
            return
        found = crc, packed, unpacked
    if found != expected:
        raise zipfile.BadZipFile("its header and the directory differ")
