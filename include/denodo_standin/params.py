"""Convert the element XML of an export file to and from a tree of parameters [S].

``<simple-param name="n"><value>v</value></simple-param>`` is ``{"n": "v"}``, a ``compound-param`` is a dictionary, a
parameter of several values is a list. ``true``, ``false`` and whole numbers become JSON's, and are written back as they
were. An encrypted value is ``{"$encrypted": "…"}``. Unknown parameters are kept like all others: a text that reads like
one of these is ``<value type="string">``, and what has no form of its own, as a list of one value, ``<value
type="json">`` [G].
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

ENCRYPTED = "$encrypted"

_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_ESCAPED = {"'": "&apos;", '"': "&quot;", "\r": "&#13;"}  # a parser reads a bare CR as LF
_HEAD = '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE config SYSTEM "custom-config.dtd">'
_SEALED = b"stand-in:"
_SALT_BYTES = 16

Params = dict[str, Any]


@dataclass(frozen=True)
class Element:
    """One data source or job of an export file. References in ``params`` are names."""

    project: str
    kind: str
    sub_type: str
    draft: bool
    params: Params

    @property
    def name(self) -> str:
        return text(self.params["name"])


def parse(project: str, xml: bytes) -> Element:
    """Read an element.

    :raises ValueError: it is not the XML of an element with a name
    """
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314  # a test product; expat loads no external entity
    except ElementTree.ParseError as error:
        raise ValueError(f"not well-formed XML: {error}") from None
    element, parameters = root.find("element"), root.find("default-parameters")
    if element is None or parameters is None:
        raise ValueError("<element> or <default-parameters> is missing")
    params = _read(parameters)
    if not text(params.get("name", "")):
        raise ValueError("the parameter 'name' is missing")
    kind, sub_type = element.get("type", ""), element.get("subType", "")
    return Element(project, kind, sub_type, element.get("draft") == "true", params)


def xml_of(element: Element, *, salted: bool) -> bytes:
    """Write an element.

    :param salted: encode every secret with a new salt, so that two exports differ, as a real server does
    """
    attributes = f'type="{element.kind}" subType="{element.sub_type}" draft="{text(element.draft)}"'
    body = "".join(_write(name, value, salted) for name, value in element.params.items())
    return f"{_HEAD}<config><element {attributes}/><default-parameters>{body}</default-parameters></config>".encode()


def text(value: Any) -> str:
    """Format a scalar for XML."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_secret(value: Any) -> bool:
    """Return whether a value is encrypted."""
    return isinstance(value, dict) and ENCRYPTED in value


def has_secrets(value: Any) -> bool:
    """Return whether a value is encrypted, or holds one that is."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return is_secret(value) or any(has_secrets(each) for each in inside)


def without_secrets(value: Any) -> Any:
    """Return a tree of parameters without its encrypted values."""
    match value:
        case dict():
            return {name: without_secrets(each) for name, each in value.items() if not is_secret(each)}
        case list():
            return [without_secrets(each) for each in value if not is_secret(each)]
        case _:
            return value


def _read(parent: ElementTree.Element) -> Params:
    params: Params = {}
    for param in parent:
        name = param.get("name", "")
        values = [_value(param, value) for value in param.findall("value")]
        if name in params:
            before = params[name]
            values = [*(before if isinstance(before, list) else [before]), *values]
        params[name] = values[0] if len(values) == 1 else values
    return params


def _value(param: ElementTree.Element, value: ElementTree.Element) -> Any:
    if param.tag == "compound-param":
        return _read(value)
    if param.get("encrypted") == "true":
        return {ENCRYPTED: _unseal(value.text or "")}
    if value.get("type") == "json":
        return json.loads(value.text or "")
    return value.text or "" if value.get("type") == "string" else _scalar(value.text or "")


def _scalar(value: str) -> str | int | bool:
    if value in ("true", "false"):
        return value == "true"
    return int(value) if _WHOLE_NUMBER.fullmatch(value) else value


def _write(name: str, value: Any, salted: bool) -> str:
    values = value if isinstance(value, list) and _has_form(value) else [value]
    compound = any(isinstance(each, dict) and not is_secret(each) for each in values)
    encrypted = any(is_secret(each) for each in values)
    body = "".join(_value_element(each, salted) for each in values)
    tag = "compound-param" if compound else "simple-param"
    attributes = f'name="{escape(name, _ESCAPED)}"' + (' encrypted="true"' if encrypted else "")
    return f"<{tag} {attributes}>{body}</{tag}>"


def _has_form(values: list[Any]) -> bool:
    """Return whether a list is what a parameter of several values is read as; an empty one has no values."""
    kinds = {(isinstance(each, dict), is_secret(each)) for each in values}
    return len(values) != 1 and len(kinds) <= 1 and not any(each is None or isinstance(each, list) for each in values)


def _value_element(value: Any, salted: bool) -> str:
    match value:
        case dict() if is_secret(value):
            content = escape(_seal(value[ENCRYPTED]) if salted else value[ENCRYPTED])
        case dict():
            content = "".join(_write(name, each, salted) for name, each in value.items())
        case list():
            return _marked("json", json.dumps(value, ensure_ascii=False))
        case _ if _scalar(text(value)) == value:
            content = escape(text(value), _ESCAPED)
        case str():
            return _marked("string", value)
        case _:
            return _marked("json", json.dumps(value))
    return f"<value>{content}</value>"


def _marked(kind: str, content: str) -> str:
    return f'<value type="{kind}">{escape(content, _ESCAPED)}</value>'


def _mask(data: bytes, salt: bytes) -> bytes:
    pad = hashlib.shake_256(salt).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, pad, strict=True))


def _seal(secret: str) -> str:
    """Encode a secret without protecting it: the stand-in's secrets are made up, or still encrypted by their server."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return base64.b64encode(salt + _mask(_SEALED + secret.encode(), salt)).decode()


def _unseal(sealed: str) -> str:
    try:
        data = base64.b64decode(sealed, validate=True)
    except binascii.Error:
        return sealed
    plain = _mask(data[_SALT_BYTES:], data[:_SALT_BYTES])
    return plain.removeprefix(_SEALED).decode() if plain.startswith(_SEALED) else sealed
