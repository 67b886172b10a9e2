"""Export files that are none, and what they are made of."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from typing import IO

from denodo_ha.snapshot.archive import METADATA
from support.hostile_server import MB

VERSION = b"installation.version=9.1.0\n"
JOB = b'<config><element type="job"/><default-parameters>%s</default-parameters></config>'
NAME = b'<simple-param name="name"><value>load</value></simple-param>'
PATH = "data/projects/sales/job/load.xml"


class File:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def open(self, mode: str = "rb", /) -> IO[bytes]:
        return io.BytesIO(self.content)


def packed(entries: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for path, content in entries.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def export(path: str = PATH, content: bytes = JOB % NAME, **more: bytes) -> bytes:
    return packed({METADATA: VERSION, path: content, **more})


GOOD = export()


def _renamed(old: bytes, new: bytes) -> bytes:
    """An entry of another name, which no writer would write."""
    assert len(old) == len(new)
    return export(old.decode()).replace(old, new)


def _empty_name() -> bytes:
    """The first entry's name, and the directory's, made empty."""
    content = packed({"x": b"", METADATA: VERSION})
    local = content[:26] + struct.pack("<H", 0) + content[28:30] + content[31:]
    at = local.index(b"PK\x01\x02")
    local = local[: at + 28] + struct.pack("<H", 0) + local[at + 30 : at + 46] + local[at + 47 :]
    end = local.index(b"PK\x05\x06")
    size, begin = struct.unpack("<LL", local[end + 12 : end + 20])
    offset = local.index(b"PK\x01\x02", at + 4) + 42
    shifted = struct.pack("<L", struct.unpack("<L", local[offset : offset + 4])[0] - 1)
    local = local[:offset] + shifted + local[offset + 4 :]
    return local[: end + 12] + struct.pack("<LL", size - 1, begin - 1) + local[end + 20 :]


def _shifted(content: bytes, by: int) -> bytes:
    """The offsets of a directory, for an archive that stands ``by`` bytes later in its file."""
    end = content.rindex(b"PK\x05\x06")
    begin = struct.unpack("<L", content[end + 16 : end + 20])[0]
    made = bytearray(content)
    at = begin
    while made[at : at + 4] == b"PK\x01\x02":
        offset = struct.unpack_from("<L", made, at + 42)[0]
        struct.pack_into("<L", made, at + 42, offset + by)
        name, extra, comment = struct.unpack_from("<3H", made, at + 28)
        at += 46 + name + extra + comment
    struct.pack_into("<L", made, end + 16, begin + by)
    return bytes(made)


def _same_bytes_often(copies: int) -> bytes:
    """A directory that lists one entry again and again under other names (the bomb of David Fifield's kind)."""
    data = bytes(MB)
    content = packed({"a00000": data, METADATA: VERSION})
    begin, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    first_end = content.index(b"PK\x01\x02", begin + 4)
    entry = content[begin:first_end]
    more = b"".join(entry.replace(b"a00000", b"a%05d" % number) for number in range(1, copies))
    directory = content[begin:end] + more
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies + 1, copies + 1, len(directory), begin, 0)
    return content[:begin] + directory + tail


def _directory_of_millions() -> bytes:
    """More entries in the directory than its end announces."""
    content = packed({"a": b""})
    begin, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    directory = content[begin:end] * 600_000
    return content[:begin] + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), begin, 0)


def xml(text: bytes | str) -> bytes:
    return export(content=text if isinstance(text, bytes) else text.encode())


DOCTYPE = b"<!DOCTYPE config [%s]>"
ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10 if n else b"ha") for n in range(10))
BAD: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "an entry without name": _empty_name,
    "a project without name": lambda: export("data/projects//job/load.xml"),
    "a project of no letters": lambda: export("data/projects/%00/job/load.xml"),
    "a line break in a name": lambda: _renamed(b"data/projects/sales/job/lo.xml", b"data/projects/sales/job/l\n.xml"),
    "a zero in a name": lambda: _renamed(b"data/projects/sales/job/lo.xml", b"data/projects/sales/job/l\0.xml"),
    "something before": lambda: b"PK\x03\x04" + bytes(26) + GOOD,
    "something after": lambda: GOOD + b"\n",
    "an archive after an archive": lambda: GOOD + export(content=JOB % NAME.replace(b"load", b"evil")),
    "an archive after an archive, shifted": lambda: (
        GOOD + _shifted(export(content=JOB % NAME.replace(b"load", b"evil")), len(GOOD))
    ),
    "one whose end is in a comment": lambda: packed({"a": b""}, comment=GOOD[-22:]),
    "one entry listed often": lambda: _same_bytes_often(2000),
    "a bomb": lambda: export("drivers/x.jar", bytes(80 * MB)),
    "many bombs": lambda: packed({METADATA: VERSION, **{f"data/x{n}.bin": bytes(15 * MB) for n in range(10)}}),
    "a directory of millions": _directory_of_millions,
    "packed by LZMA": lambda: packed({METADATA: VERSION, PATH: JOB % NAME}, method=zipfile.ZIP_LZMA),
    "packed by bzip2": lambda: packed({METADATA: VERSION, PATH: JOB % NAME}, method=zipfile.ZIP_BZIP2),
    "200,000 entries of which two are one": lambda: _twice(200_000),
    "XML of an unknown encoding": lambda: xml('<?xml version="1.0" encoding="no-such"?><config/>'),
    "XML of a codec that is no text": lambda: xml('<?xml version="1.0" encoding="zlib_codec"?><config/>'),
    "XML of several bytes a letter": lambda: xml('<?xml version="1.0" encoding="shift_jis"?><config/>'),
    "XML in UTF-7": lambda: xml('<?xml version="1.0" encoding="utf-7"?><config/>'),
    "XML in UTF-32": lambda: xml('<?xml version="1.0" encoding="utf-32"?><config/>'.encode("utf-32")),
    "XML in half of UTF-16": lambda: xml("<config/>".encode("utf-16")[:-1]),
    "XML that is noise": lambda: xml(bytes(range(256))),
    "XML that is nested": lambda: xml(b"<config>" + b"<a>" * 200_000),
    "XML that is nested in values": lambda: xml(
        b"<config>" + b"<value>" * 50_000 + b"</value>" * 50_000 + b"</config>"
    ),
    "XML of many parameters": lambda: xml(JOB % b"".join(b'<simple-param name="p%d"/>' % n for n in range(100_000))),
    "XML of a long name": lambda: xml(JOB % NAME.replace(b"load", b"x" * MB)),
    "XML that is large": lambda: xml(JOB % (b"<!--%s-->" % bytes(32).hex().encode() * 260_000)),
    "entities within entities": lambda: xml(DOCTYPE % ENTITIES + b"<config>&e9;</config>"),
    "an entity of a file": lambda: xml(DOCTYPE % b'<!ENTITY e SYSTEM "file:///etc/passwd">' + b"<config>&e;</config>"),
    "an entity of parameters": lambda: xml(DOCTYPE % b'<!ENTITY % e "x"> %e;'.replace(b"%", b"%%") % () + b"<config/>"),
    "attributes by declaration": lambda: xml(
        DOCTYPE % (b'<!ATTLIST a x CDATA "%s">' % (b"x" * 60_000)) + b"<config>" + b"<a/>" * 300_000 + b"</config>"
    ),
    "properties of many lines": lambda: export("data/x.properties", b"a\n" * 2_000_000),
    "a version after many blanks": lambda: packed({METADATA: b"installation.version=" + b" " * 200_000 + b"\x0b\n"}),
    "a version before many blanks": lambda: packed({METADATA: b"x installation.version=x" + b" " * 5_000_000 + b"y"}),
}


def _twice(number: int) -> bytes:
    """So many entries without content, of which the last two have one name."""
    one = packed({"data/000000": b""}, method=zipfile.ZIP_STORED)
    begin, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    local, entry = one[:begin], one[begin:end]
    names = [b"%06d" % min(each, number - 2) for each in range(number)]
    files = b"".join(local.replace(b"000000", name) for name in names)
    directory = b"".join(
        entry[:42] + struct.pack("<L", each * len(local)) + entry[46:].replace(b"000000", name)
        for each, name in enumerate(names)
    )
    count = min(number, 0xFFFF)
    if number > 0xFFFF:
        at = len(files) + len(directory)
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, number, number, len(directory), len(files))
        directory += record + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    size = len(directory) - (76 if number > 0xFFFF else 0)
    return files + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, len(files), 0)
