"""Site properties: values of data sources that belong to one server, such as the address of the VDP at its site.

Names are the vendor's: ``<project>.dataSource.<type>.<name>.<parameter>`` [D]. Project, type and name may be globs and
are compared without case, and a project or a data source may have dots in its name: every reading of a name that fits
counts. The most specific name wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from denodo_ha.hosts import hosts_of
from denodo_ha.jobs import fold
from denodo_ha.snapshot.elements import ElementError, parse_xml

_GLOB = re.compile(r"[*?\[]")
_SECRET = re.compile(r"passw|pwd|secret|passphrase|credential|token$|apikey|api_key|privatekey", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff]")
_VALUE_TAG = re.compile(rb"<value(?:\s[^>]*?)?(/?)>")
_PARAMETERS = ["config", "default-parameters", "simple-param"]
_ADDRESS = re.compile(r"uri|url|host", re.IGNORECASE)
_SHAPE = "must be <project>.dataSource.<type>.<name>.<parameter>, such as default.dataSource.VDP.vdp.connectionURI"

Names = tuple[str, str, str]
"""Project, type and name of a data source, or globs for them."""


class PropertiesError(ValueError):
    """A data source's property cannot be told; the message says what to correct in ``properties`` of the pair."""


@dataclass(frozen=True)
class _Property:
    """One line of the options: its name as it is written there, and its value."""

    text: str
    value: str

    @cached_property
    def parameter(self) -> str:
        return self.text.rpartition(".")[2]

    @cached_property
    def readings(self) -> tuple[Names, ...]:
        """All ways to read the name, without case."""
        *parts, _ = fold(self.text).split(".")
        readings = (
            (".".join(parts[:at]), parts[at + 1], ".".join(parts[at + 2 :]))
            for at in range(1, len(parts) - 2)
            if parts[at] == "datasource"
        )
        return tuple(reading for reading in readings if all(reading))

    def fitting(self, names: Names) -> list[Names]:
        """Return the readings that fit a data source."""
        return [reading for reading in self.readings if all(map(_fits, names, reading))]


class SiteProperties:
    """The properties of one server.

    :param values: value by name, free of what ``mistakes`` finds.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._properties = [_Property(*each) for each in values.items()]

    def __bool__(self) -> bool:
        return bool(self._properties)

    def value_for(self, project: str, type: str, name: str, parameter: str) -> str | None:
        """Return the value that a parameter of a data source has on this server; None if no property says one.

        :raises PropertiesError: two equally specific properties say different values.
        """
        names = fold(project), fold(type), fold(name)
        found = [
            (_specificity(reading), each)
            for each in self._properties
            if fold(each.parameter) == fold(parameter)
            for reading in each.fitting(names)
        ]
        if not found:
            return None
        highest = max(specificity for specificity, _ in found)
        best = {each.value: each for specificity, each in found if specificity == highest}
        if len(best) > 1:
            one, other = sorted(each.text for each in best.values())[:2]
            raise PropertiesError(
                f'the properties "{one}" and "{other}" fit the data source {project} / {name} equally well and say '
                f"different values; correct `properties` of the pair so that one of them is more specific"
            )
        (value,) = best
        return value

    def unmatched(self, sources: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return the names that fit none of these data sources, which ``GET /dataSources`` gives."""
        known = [_names(source) for source in sources]
        return [each.text for each in self._properties if not any(each.fitting(names) for names in known)]


def mistakes(master: Mapping[str, str], slave: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return what is wrong with the options ``properties`` of a pair: a message by server and name."""
    sides = {
        side: [_Property(*each) for each in values.items()] for side, values in (("master", master), ("slave", slave))
    }
    wrong: dict[tuple[str, str], str] = {}
    for side, other in (("master", "slave"), ("slave", "master")):
        right: list[_Property] = []
        for each in sides[side]:
            problem = _mistake(each)
            rival = next((earlier for earlier in right if _disagree(earlier, each)), None)
            if problem is None and rival:
                problem = (
                    f'is as specific as "{rival.text}", fits the same data sources and says another value; '
                    f"make one of them more specific"
                )
            elif problem is None and not any(_covers(general, each) for general in sides[other]):
                problem = (
                    f"has no counterpart under {other}: a sync in the other direction would carry this value there; "
                    f"add the {other}'s own value under the same name"
                )
            if problem is None:
                right.append(each)
            else:
                wrong[side, each.text] = problem
    return wrong


def _mistake(each: _Property) -> str | None:
    if not each.parameter or not each.readings:
        return f"{_SHAPE}, not {each.text!r}"
    if _GLOB.search(each.parameter):
        return "must name its parameter, after the last dot, in full; project, type and name may be globs"
    if _SECRET.search(each.parameter):
        return (
            "must not be a secret: this file is no place for one, and secrets are carried from server to server inside "
            "the export, encrypted"
        )
    if "${" in each.value:
        return "must not hold ${…}, which nothing would replace; write the value itself"
    if _CONTROL.search(each.value):
        return "must be one line without control characters"
    return None


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _specificity(reading: Names) -> tuple[int, int]:
    """Return the number of parts that are no glob, then the number of plain characters in the globs."""
    globs = [part for part in reading if _GLOB.search(part)]
    return len(reading) - len(globs), sum(len(_GLOB.sub("", part)) for part in globs)


def _disagree(one: _Property, other: _Property) -> bool:
    """Whether two properties are known to say different values for one data source, equally specific."""
    return (
        one.value != other.value
        and fold(one.parameter) == fold(other.parameter)
        and any(
            _specificity(left) == _specificity(right) and all(map(_meet, left, right))
            for left in one.readings
            for right in other.readings
        )
    )


def _meet(one: str, other: str) -> bool:
    return _fits(one, other) or _fits(other, one)


def _covers(general: _Property, special: _Property) -> bool:
    return fold(general.parameter) == fold(special.parameter) and all(
        any(all(map(_fits, reading, wider)) for wider in general.readings) for reading in special.readings
    )


def _names(source: Mapping[str, Any]) -> Names:
    project, kind, name = (str(source.get(key) or "") for key in ("projectName", "type", "name"))
    return fold(project), fold(kind), fold(name)


@dataclass
class _Value:
    """The value of a parameter: where its tag begins and where its end tag does, or what follows it if it has none."""

    begin: int
    end: int
    text: str
    secret: bool


class _ValueFinder:
    """Find the values of a data source's own parameters in its XML, without changing a byte."""

    def __init__(self, xml: bytes) -> None:
        self.kind = self.sub_type = ""
        self.encoding = "utf-8"
        self.values: dict[str, list[_Value]] = {}
        self._path: list[str] = []
        self._parameter, self._secret, self._begin = "", False, 0
        self._text: list[str] = []
        parser = expat.ParserCreate()
        parser.XmlDeclHandler = self._declaration
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        self._parser = parser
        parse_xml(parser, xml, True)

    def text(self, parameter: str) -> str:
        return next((value.text for value in self.values.get(parameter, ())), "")

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self.encoding = encoding or self.encoding

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        if self._path == ["config", "element"]:
            self.kind, self.sub_type = attributes.get("type", ""), attributes.get("subType", "")
        elif self._path == _PARAMETERS:
            self._parameter = attributes.get("name", "")
            self._secret = attributes.get("encrypted", "").lower() == "true"
        self._begin = self._parser.CurrentByteIndex
        self._text.clear()

    def _end(self, _tag: str) -> None:
        if self._path == [*_PARAMETERS, "value"]:
            found = _Value(self._begin, self._parser.CurrentByteIndex, "".join(self._text), self._secret)
            self.values.setdefault(self._parameter, []).append(found)
        self._path.pop()


def rewrite_element(xml: bytes, project: str, site: SiteProperties) -> bytes:
    """Return the XML of an element with the properties of a server; only these values change, and no other byte.

    An element that is no data source, and a parameter that the element does not have, stay as they are.

    :param project: the project of the element.
    :raises ElementError: the XML cannot be read, or a parameter has several values.
    :raises PropertiesError: a property would replace a secret, or two of them contradict each other.
    """
    found = _ValueFinder(xml)
    if found.kind != "dataSource" or not site:
        return xml
    name = found.text("name")
    written: list[tuple[_Value, str]] = []
    for parameter, values in found.values.items():
        value = site.value_for(project, found.sub_type, name, parameter)
        if value is None or [each.text for each in values] == [value]:
            continue
        if len(values) > 1:
            raise ElementError(f"its parameter {parameter} has {len(values)} values, so no property can replace it")
        if values[0].secret:
            raise PropertiesError(
                f"the property {parameter} of the data source {project} / {name} is a secret; remove it from "
                f"`properties` of the pair"
            )
        written.append((values[0], value))
    return b"".join(_replaced(xml, sorted(written, key=lambda each: each[0].begin), found.encoding))


def _replaced(xml: bytes, written: Iterable[tuple[_Value, str]], encoding: str) -> Iterator[bytes]:
    at = 0
    for old, value in written:
        tag = _VALUE_TAG.match(xml, old.begin)
        if tag is None:
            raise ElementError(f"its XML is written in {encoding}, in which no property can be replaced")
        new = escape(value).encode(encoding, "xmlcharrefreplace")
        yield xml[at : old.begin]
        yield b"<value>" + new + b"</value>" if tag[1] else tag[0] + new
        at = old.end
    yield xml[at:]


def addresses_in(xml: bytes, project: str, site: SiteProperties) -> dict[str, str]:
    """Return the parameters of a data source that may be addresses, as they are on the server of ``site``, by name.

    :param project: the project of the element.
    :raises ElementError: the XML cannot be read. :raises PropertiesError: two properties contradict each other.
    """
    found = _ValueFinder(rewrite_element(xml, project, site))
    return {
        name: value.text
        for name, values in found.values.items()
        if _ADDRESS.search(name)
        for value in values
        if not value.secret
    }


def unreachable_hosts(sources: Iterable[Mapping[str, Any]], host: str) -> list[str]:
    """Name the data sources that point to ``host``, the machine of the server that they are copied from.

    After a failover to another site such a data source may point to a dead machine. One that points to ``localhost``
    is not named: at each site that is the site's own.

    :param sources: what ``GET /dataSources`` gives.
    :return: project and name of each, and the host.
    """
    return [
        f"{source.get('projectName')} / {source.get('name')} ({found})"
        for source in sources
        for key, value in source.items()
        if _ADDRESS.search(key) and isinstance(value, str)
        for found in hosts_of(value)
        if found == host.casefold().rstrip(".")
    ]
