"""The bodies of a server's answers, read within limits: how large they are unpacked, and what they hold as JSON."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

CHUNK = 256 * 1024
"""How much is unpacked at once, in bytes."""
ANSWER_LIMIT = 64 * 1024**2
"""How large an answer may be, in bytes."""
ERROR_LIMIT = 64 * 1024
"""How much of an error's body is read, in bytes."""
_BYTES_PER_VALUE = 32
"""A value takes more memory than text: as many as this allows within a limit take about as much as three times it."""


class BodyError(ValueError):
    """A body that is not believed or cannot be read; the message continues a sentence about it."""


class TooLargeError(BodyError):
    """A body beyond its limit, of which nothing can be said, also not that it is wrong."""


class Unpacker:
    """
    Unpacks a body piece by piece, never more than a limit, and never much of it at once.

    :param encoding: the header ``Content-Encoding``; only gzip is asked for.
    :param limit: bytes that the body may have, packed and unpacked.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._packed = self._unpacked = 0
        known = encoding.strip().lower()
        if known not in {"", "identity", "gzip", "x-gzip"}:
            raise BodyError(f"is compressed in another way ({known[:20]!r}) than was asked for")
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in known else None

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """
        Give what a piece of the body unpacks to.

        :raises TooLargeError: it is larger than the limit. :raises BodyError: it is damaged.
        """
        self._packed += len(packed)
        self._ensure_limit(self._packed)
        if self._gzip is None:
            yield packed
            return
        while packed and not self._gzip.eof:
            try:
                unpacked = self._gzip.decompress(packed, CHUNK)
            except zlib.error:
                raise BodyError("has a damaged compression") from None
            self._unpacked += len(unpacked)
            self._ensure_limit(self._unpacked)
            packed = self._gzip.unconsumed_tail
            if unpacked:
                yield unpacked

    def end(self) -> None:
        """
        Check that the body was whole.

        :raises BodyError: its compression ends too early.
        """
        if self._gzip is not None and self._packed and not self._gzip.eof:
            raise BodyError("has a damaged compression")

    def _ensure_limit(self, size: int) -> None:
        if size > self._limit:
            raise TooLargeError(f"is larger than {self._limit} bytes, unpacked")


def parse_json(body: bytes | bytearray, limit: int = ANSWER_LIMIT) -> Any:
    """
    Read JSON in UTF-8, nested 200 levels deep at most. Of two equal keys of an object the last one counts.

    :param limit: the limit of the body in bytes, from which follows how many values it may hold.
    :raises BodyError: it is none, or its values would take far more memory than their text.
    """
    if not body:
        raise BodyError("is empty: it is not JSON")
    if sum(map(body.count, (b",", b"[", b"{"))) > max(limit // _BYTES_PER_VALUE, 1000):
        raise TooLargeError("holds more values than are believed")
    text = body[3:] if body.startswith(b"\xef\xbb\xbf") else body
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        said = str(error)
        if "recursion" in said:
            raise BodyError("is nested too deep") from None
        raise BodyError(f"({len(body)} bytes) is cut or damaged: it is not JSON") from None
