"""Convert a job's REST sections [V] to and from the parameters of its element in an export file [S].

The parameters ``trigger``, ``processor``, ``reportConfig``, ``dataSource`` and ``name`` are seen in genuine files;
``handlers`` and ``retryConfig`` are guesses [G]. All other parameters of an element belong to the extraction section.
Data source and dependency jobs are given by name here; the REST layer turns them into the ids of its server and back.
"""

from __future__ import annotations

from typing import Any

from denodo_standin.params import Params, text

Sections = dict[str, dict[str, Any]]

# section -> (parameter, name of its list in XML, name of its list in JSON)
_LISTS = {
    "exportationSection": ("processor", "exporter", "exporters"),
    "handlerSection": ("handlers", "handler", "handlers"),
}
_PLAIN = {"retrySection": "retryConfig", "reportSection": "reportConfig"}
SECTIONS = (
    "extractionSection",
    "exportationSection",
    "handlerSection",
    "retrySection",
    "reportSection",
    "triggerSection",
)


def sections_of(params: Params) -> Sections:
    """Return the six sections of the job whose element has ``params``; a section without parameters is empty."""
    rest = {name: value for name, value in params.items() if name not in ("name", "description")}
    sections: Sections = {"triggerSection": {"triggers": [_trigger(each) for each in _list(rest.pop("trigger", []))]}}
    for section, (name, singular, plural) in _LISTS.items():
        compound = rest.pop(name, {})
        others = {key: value for key, value in compound.items() if key != singular}
        sections[section] = {plural: _list(compound.get(singular, [])), **others}
    for section, name in _PLAIN.items():
        sections[section] = rest.pop(name, {})
    if "dataSource" in rest:
        rest["dataSource"] = text(rest["dataSource"])
    return {"extractionSection": rest, **sections}


def params_of(name: str, description: str | None, sections: Sections) -> Params:
    """Return the parameters of a job's element, in the order of genuine files."""
    params: Params = {"name": name}
    if description:
        params["description"] = description
    params |= sections.get("extractionSection", {})
    for section, (parameter, singular, plural) in _LISTS.items():
        compound = dict(sections.get(section, {}))
        values = compound.pop(plural, [])
        params[parameter] = {**({singular: values} if values else {}), **compound}
    params["retryConfig"] = sections.get("retrySection", {})
    params["trigger"] = [_trigger_params(each) for each in sections.get("triggerSection", {}).get("triggers", [])]
    params["reportConfig"] = sections.get("reportSection", {})
    return {name: value for name, value in params.items() if value is not None and value not in ({}, [])}


def _trigger(params: Params) -> dict[str, Any]:
    trigger = dict(params)
    dependencies = _list(trigger.pop("dependency", []))
    if dependencies:
        trigger["dependencyInfo"] = {
            "jobs": [text(name) for each in dependencies for name in _list(each.get("jobId", []))],
            "executeAnyway": any(each.get("executeAnyway") is True for each in dependencies),
        }
    return trigger


def _trigger_params(trigger: dict[str, Any]) -> Params:
    params = {name: value for name, value in trigger.items() if name != "dependencyInfo" and value is not None}
    info = trigger.get("dependencyInfo") or {}
    if info.get("jobs"):
        anyway = bool(info.get("executeAnyway"))
        params["dependency"] = [{"jobId": name, "executeAnyway": anyway} for name in info["jobs"]]
    return params


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
