"""Read a YAML file as plain values that remember their lines."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import yaml
from yaml.reader import Reader

try:
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

Path = tuple[str | int, ...]

LARGEST = 1_000_000
"""How many bytes a file may have. The limits keep the time and memory of reading any file small."""
_MOST_VALUES = 20_000
_MAX_DEPTH = 16
_LONGEST_NUMBER = 100
_SCALARS = ("str", "int", "float", "bool", "null", "timestamp")


class _Unreadable(Exception):
    """The whole text cannot be read, because of what stands in ``line``."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class YamlDocument:
    """A document: ``data`` as it was read, and ``mistakes`` as (path, line, message).

    Keys stay the text that was written (``on``, ``1``). Text that is not YAML, or more than a person writes, has
    ``data`` None and one mistake.
    """

    def __init__(self, text: str) -> None:
        self.mistakes: list[tuple[Path, int, str]] = []
        self.data: Any = None
        self._lines: dict[Path, int] = {}
        self._blank: set[Path] = set()
        self._values = 0
        try:
            self.data = self._read(text)
        except _Unreadable as error:
            self.mistakes = [((), error.line, str(error))]
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            context = getattr(error, "context", None)
            message = f"is not valid YAML: {problem}{f' ({context})' if context else ''}"
            self.mistakes = [((), mark.line + 1 if mark else 1, message)]

    def _read(self, text: str) -> Any:
        if wrong := Reader.NON_PRINTABLE.search(text):
            line = text.count("\n", 0, wrong.start()) + 1
            raise _Unreadable(line, f"is not valid YAML: it holds the control character U+{ord(wrong[0]):04X}")
        _ensure_moderate(text)
        self._loader = Loader(text)
        try:
            node = self._loader.get_single_node()
            return None if node is None else self._value(node, ())
        finally:
            self._loader.dispose()

    def line(self, path: Path) -> int | None:
        """Return the line (from 1) of the key or list item at ``path``; None if the file does not have it."""
        return self._lines.get(path)

    def is_blank(self, path: Path) -> bool:
        """Return whether nothing is written at ``path`` after its key, not even ``null``."""
        return path in self._blank

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._values += 1
        line = node.start_mark.line + 1
        if len(path) > _MAX_DEPTH:
            raise _too_deep(line)
        if self._values > _MOST_VALUES:  # aliases repeat values, and aliases of aliases multiply them
            raise _too_much(line)
        self._lines.setdefault(path, line)
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in _SCALARS:
            return self._scalar(node, path, tag)
        return self._mistake(node, path, f"cannot be read as {tag}: write it without a tag, as text in quotes")

    def _scalar(self, node: yaml.ScalarNode, path: Path, tag: str) -> Any:
        if tag == "null" and not node.value:
            self._blank.add(path)
        if "\0" in node.value:
            return self._mistake(node, path, "holds a NUL character")
        if tag == "str":
            return node.value
        try:
            if len(node.value) > _LONGEST_NUMBER:
                raise ValueError
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError):
            shown = node.value if len(node.value) <= _LONGEST_NUMBER else f"{node.value[:_LONGEST_NUMBER]}…"
            return self._mistake(node, path, f"cannot be read as {tag}: {shown!r}")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistake(key_node, path, "has a key that is not text")
                continue
            key = key_node.value
            if "\0" in key:
                self._mistake(key_node, path, "has a key that holds a NUL character")
                continue
            if key in result:
                self._mistake(key_node, (*path, key), f"stands twice; first in line {self._lines[*path, key]}")
                continue
            self._lines[*path, key] = key_node.start_mark.line + 1
            result[key] = self._value(value_node, (*path, key))
        return result

    def _mistake(self, node: yaml.Node, path: Path, message: str) -> None:
        self.mistakes.append((path, node.start_mark.line + 1, message))


def _ensure_moderate(text: str) -> None:
    """Raise _Unreadable if a text is nested too deeply, or holds too many values, to be composed.

    The C library composes recursively without a limit, and ends the process; it parses without recursion.
    """
    loader = Loader(text)
    depth = values = 0
    try:
        while event := loader.get_event():
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            values += isinstance(event, yaml.NodeEvent)
            line = event.start_mark.line + 1 if event.start_mark else 1
            if depth > _MAX_DEPTH + 1:
                raise _too_deep(line)
            if values > 2 * _MOST_VALUES:  # keys count here too
                raise _too_much(line)
            if isinstance(event, yaml.StreamEndEvent):
                break
    finally:
        loader.dispose()


def _too_deep(line: int) -> _Unreadable:
    return _Unreadable(line, f"is nested too deeply: more than {_MAX_DEPTH} levels")


def _too_much(line: int) -> _Unreadable:
    return _Unreadable(line, f"holds too much: more than {_MOST_VALUES} values, those that aliases repeat included")


def read_yaml(file: FilePath) -> YamlDocument:
    """Read ``file``; raise OSError if it cannot be read.

    More than ``LARGEST`` bytes, and bytes that are not UTF-8, are a mistake of the document.
    """
    with file.open("rb") as opened:
        raw = opened.read(LARGEST + 1)
    document = YamlDocument("")
    if len(raw) > LARGEST:
        document.mistakes.append(((), raw.count(b"\n") + 1, f"is too large: more than {LARGEST} bytes"))
        return document
    try:
        return YamlDocument(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        document.mistakes.append(((), raw.count(b"\n", 0, error.start) + 1, "is not UTF-8 text"))
        return document
