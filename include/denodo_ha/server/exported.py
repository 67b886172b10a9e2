"""The file in the answer of an export: the whole body, or one field of JSON that carries it in base64 [G]."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from denodo_ha.server.bodies import BodyError, TooLargeError, parse_json

ZIP = b"PK\x03\x04"

_FOLDERS = {"config": ("config", "config-dbStored"), "permissions": ("permissions",)}
"""Where an export holds what belongs to the server's own host [S]."""

_AROUND = 64 * 1024
"""How many bytes the JSON around the file may have before it, and after it."""
_START = re.compile(rb'(?:^|[:\[,])\s*"(?:data:[\w.+/;=-]{0,100},)?(?=UEsDB)')
"""What comes before the base64 of a ZIP."""
_LONGEST_START = 300
_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
_ESCAPE = re.compile(rb"\\(?:u00([0-9a-fA-F]{2})|([^u]))")
_BLANK = re.compile(rb"\s+")
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def unasked(entry: str, options: Mapping[str, Any]) -> bool:
    """
    Return whether an entry of an export file is of a kind that is not wanted, whatever the server did.

    Server configuration and permissions are wanted only where their option is true: an override of its place alone, or
    one that leaves it out, asks for neither.
    """
    top, kind, folder, *_ = [*entry.split("/"), "", ""]
    found = (option for option, folders in _FOLDERS.items() if folder in folders)
    return (top, kind) == ("data", "resources") and any(not _wanted(options.get(option)) for option in found)


def _wanted(wish: Any) -> bool:
    value = wish.get("value") if isinstance(wish, Mapping) else wish
    return value is True or (isinstance(value, str) and value.casefold() == "true")


def unwrapped(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """
    Give the file that an answer carries, a piece at a time: never much of it is in memory at once.

    An answer that carries no ZIP in base64 is given as it is, for the caller to judge.

    :param chunks: the body of the answer.
    :param limit: bytes that the file may have.
    :raises TooLargeError: it has more, or the JSON around it is too large.
    :raises BodyError: the JSON or its base64 is cut or damaged, or carries two files.
    """
    size = 0
    for piece in _file(chunks):
        size += len(piece)
        if size > limit:
            raise TooLargeError(f"is larger than {limit} bytes, unpacked")
        yield piece


def _file(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    while len(head) < _AROUND and (chunk := next(chunks, b"")):
        head += chunk
        begin = head.lstrip(_BEFORE_JSON)
        if len(begin) >= len(ZIP) and begin[:1] not in {b"{", b"[", b'"'}:
            break
        if start := _START.search(head, max(len(head) - len(chunk) - _LONGEST_START, 0)):
            yield from _decoded(head[: start.end()], head[start.end() :], chunks)
            return
    yield head
    yield from chunks


def _decoded(before: bytes, text: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decode base64 up to the next quotation mark, and make sure that what is around it is whole JSON."""
    rest = b""
    while b'"' not in text:
        piece, rest = _bytes(rest + text)
        yield piece
        if not (text := next(chunks, b"")):
            raise BodyError("ends in the middle of the file that it carries in base64")
    last, _, after = text.partition(b'"')
    piece, rest = _bytes(rest + last)
    yield piece
    yield _bytes(rest + b"=" * (-len(rest) % 4))[0] if rest else b""
    for chunk in chunks:
        after += chunk
        if len(after) > _AROUND:
            raise TooLargeError(f"has more than {_AROUND} bytes of JSON after the file that it carries")
    if _START.search(after):
        raise BodyError("carries two files in base64, and only one export was asked for")
    parse_json(before + b'"' + after)


def _bytes(text: bytes) -> tuple[bytes, bytes]:
    """Decode as much of ``text`` as is whole, and return the rest too."""
    cut = text.rfind(b"\\", max(len(text) - 5, 0))
    cut = len(text) if cut < 0 or _ESCAPE.match(text, cut) else cut
    plain = _ESCAPE.sub(_unescaped, text[:cut]).translate(_URL_SAFE)
    plain = _BLANK.sub(b"", plain)
    whole = len(plain) - len(plain) % 4
    try:
        return binascii.a2b_base64(plain[:whole], strict_mode=True), plain[whole:] + text[cut:]
    except binascii.Error:
        raise BodyError("carries a file whose base64 is damaged") from None


def _unescaped(escape: re.Match[bytes]) -> bytes:
    if escape[1]:
        return bytes([int(escape[1], 16)])
    return _CONTROLS.get(escape[2], escape[2])
