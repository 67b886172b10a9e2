"""Read a YAML file as plain values that remember their lines."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

Path = tuple[str | int, ...]
_MAX_DEPTH = 16


class YamlDocument:
    """A document: ``data`` as it was read, and ``mistakes`` as (path, line, message).

    Keys stay the text that was written (``on``, ``1``). Text that is not YAML has ``data`` None and one mistake.
    """

    def __init__(self, text: str) -> None:
        self.mistakes: list[tuple[Path, int, str]] = []
        self.data: Any = None
        self._lines: dict[Path, int] = {}
        self._blank: set[Path] = set()
        loader = Loader(text)
        try:
            self._loader = loader
            node = loader.get_single_node()
            if node is not None:
                self.data = self._value(node, ())
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            context = getattr(error, "context", None)
            message = f"is not valid YAML: {problem}{f' ({context})' if context else ''}"
            self.mistakes.append(((), mark.line + 1 if mark else 1, message))
        finally:
            loader.dispose()

    def line(self, path: Path) -> int | None:
        """Return the line (from 1) of the key or list item at ``path``; None if the file does not have it."""
        return self._lines.get(path)

    def is_blank(self, path: Path) -> bool:
        """Return whether nothing is written at ``path`` after its key, not even ``null``."""
        return path in self._blank

    def _value(self, node: yaml.Node, path: Path) -> Any:
        if len(path) > _MAX_DEPTH:
            return self._mistake(node, path, "is nested too deeply")
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if node.tag == "tag:yaml.org,2002:null" and not node.value:
            self._blank.add(path)
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError):
            return self._mistake(node, path, f"cannot be read as {node.tag.rpartition(':')[2]}: {node.value!r}")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistake(key_node, path, "has a key that is not text")
                continue
            key = key_node.value
            if key in result:
                self._mistake(key_node, (*path, key), f"stands twice; first in line {self._lines[*path, key]}")
                continue
            self._lines[*path, key] = key_node.start_mark.line + 1
            result[key] = self._value(value_node, (*path, key))
        return result

    def _mistake(self, node: yaml.Node, path: Path, message: str) -> None:
        self.mistakes.append((path, node.start_mark.line + 1, message))


def read_yaml(file: FilePath) -> YamlDocument:
    """Read ``file``; raise OSError if it cannot be read. Bytes that are not UTF-8 are a mistake of the document."""
    raw = file.read_bytes()
    try:
        return YamlDocument(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        document = YamlDocument("")
        document.mistakes.append(((), raw.count(b"\n", 0, error.start) + 1, "is not UTF-8 text"))
        return document
