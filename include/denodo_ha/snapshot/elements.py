"""One element of an export file: ``data/projects/<project>/<kind>/<name>.xml`` [S]."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.parsers import expat

_DEEPEST = 64
_LONGEST_NAME = 4096
_MOST_NAMES = 10_000
"""How many parameters, and how many dependencies, an element may have."""
_MOST_LINES = 100_000


class ElementError(ValueError):
    """The XML is not that of an element; the message says why."""


def parse_xml(parser: expat.XMLParserType, data: bytes, final: bool) -> None:
    """Feed a parser, which refuses entities and whatever else a DTD may declare inside the file.

    :raises ElementError: the XML is broken, or written in an encoding that cannot be read.
    """
    parser.EntityDeclHandler = parser.SkippedEntityHandler = parser.AttlistDeclHandler = _refuse_entities
    try:
        parser.Parse(data, final)
    except ElementError:
        raise
    except expat.ExpatError as error:
        raise ElementError(f"its XML is broken ({error})") from None
    except (ValueError, LookupError) as error:  # from the codecs of Python
        raise ElementError(f"its XML has an encoding that cannot be read ({error})") from None


def _refuse_entities(*_: object) -> None:
    raise ElementError("its XML declares or uses entities, which no export does")


@dataclass
class _Open:
    tag: str
    name: str
    secret: bool
    text: list[str] = field(default_factory=list)
    has_children: bool = False


class ElementParser:
    """Read an element piece by piece and keep only what identifies it.

    ``hash`` is canonical: layout, comments and encrypted values do not count. ``secrets`` is the hash of the encrypted
    values alone, None when there are none. The jobs that it depends on are known by name only [S]. ``parameters`` are
    the names of all its parameters, at any depth.

    The DOCTYPE that every file has [S] is tolerated; its DTD is never fetched, and entities, declared or used, are
    refused.
    """

    def __init__(self) -> None:
        self.kind = ""
        self.name = ""
        self.dependencies: list[str] = []
        self.parameters: set[str] = set()
        self._canonical = hashlib.sha256()
        self._secrets = hashlib.sha256()
        self._has_secrets = False
        self._stack: list[_Open] = []
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        self._parser = parser

    def feed(self, chunk: bytes) -> None:
        parse_xml(self._parser, chunk, False)

    def close(self) -> None:
        """Finish; raise ElementError if the element ends early or has no kind or name."""
        parse_xml(self._parser, b"", True)
        if not self.kind:
            raise ElementError("its XML says nothing of its type (no <element type=…> inside <config>)")
        if not self.name:
            raise ElementError("its XML has no name")
        if len(self.name) > _LONGEST_NAME:
            raise ElementError(f"its name has {len(self.name)} characters; that many are not believed")

    @property
    def hash(self) -> str:
        return self._canonical.hexdigest()

    @property
    def secrets(self) -> str | None:
        return self._secrets.hexdigest() if self._has_secrets else None

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._stack and tag != "config":
            raise ElementError(f"its XML starts with <{tag[:100]}> instead of <config>")
        if len(self._stack) == _DEEPEST or max(len(self.parameters), len(self.dependencies)) > _MOST_NAMES:
            raise ElementError("its XML is nested deeper, or has more parameters, than is believed")
        if len(self._stack) == 1 and tag == "element":
            self.kind = attributes.get("type", "")
        inside_secret = bool(self._stack) and self._stack[-1].secret
        if self._stack:
            self._stack[-1].has_children = True
        if tag in ("simple-param", "compound-param"):
            self.parameters.add(attributes.get("name", ""))
        secret = inside_secret or attributes.get("encrypted", "").lower() == "true"
        self._stack.append(_Open(tag, attributes.get("name", ""), secret))
        _update(self._canonical, ["<", tag, *(part for item in sorted(attributes.items()) for part in item)])

    def _text(self, text: str) -> None:
        if self._stack:
            self._stack[-1].text.append(text)

    def _end(self, tag: str) -> None:
        current = self._stack.pop()
        text = "".join(current.text)
        if current.secret:
            if text.strip():
                self._has_secrets = True
                _update(self._secrets, [text])
            text = ""
        elif current.has_children and not text.strip():
            text = ""
        _update(self._canonical, [">", text])
        self._notice(tag, text)

    def _notice(self, tag: str, text: str) -> None:
        """Keep the element's own name and the names of jobs it waits for."""
        if tag != "value" or not self._stack:
            return
        param = self._stack[-1].name
        parents = [opened.name for opened in self._stack if opened.tag == "compound-param"]
        if param == "name" and not parents and not self.name:
            self.name = text
        elif param == "jobId" and parents and parents[-1] == "dependency" and text:
            self.dependencies.append(text)


def _update(digest: hashlib._Hash, parts: Iterable[str]) -> None:
    digest.update(json.dumps(list(parts)).encode())


def properties_hash(text: bytes) -> str:
    """Hash a Java properties file without its comments (one is a date [S]) and the order of its lines."""
    if text.count(b"\n") + text.count(b"\r") > _MOST_LINES:
        raise ElementError("it has more lines than are believed")
    lines = sorted(line.strip() for line in text.splitlines() if line.strip() and line.strip()[:1] not in b"#!")
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
