"""Convert a job's REST sections [V] to and from the parameters of its element in an export file [S].

The parameters ``trigger``, ``processor``, ``reportConfig``, ``dataSource`` and ``name`` are seen in genuine files;
``handlers``, ``retryConfig``, ``otherFields`` (unknown fields of the job) and ``triggerSection`` (those beside its
triggers) are guesses [G]. All other parameters of an element belong to the extraction section.
Data source and dependency jobs are given by name here; the REST layer turns them into the ids of its server and back.
"""

from __future__ import annotations

from typing import Any

from denodo_standin.params import Params, text

Sections = dict[str, Any]

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
_OTHERS = "otherFields"
_STRUCTURE = ("processor", "handlers", "retryConfig", "trigger", "reportConfig", "triggerSection", _OTHERS)


def sections_of(params: Params) -> Sections:
    """Return the six sections of the job whose element has ``params``, empty or not, and its unknown fields."""
    rest = {name: value for name, value in params.items() if name not in ("name", "description")}
    others = rest.pop(_OTHERS, {})
    triggers = [_trigger(each) for each in _list(rest.pop("trigger", []))]
    sections: Sections = {"triggerSection": {**rest.pop("triggerSection", {}), "triggers": triggers}}
    for section, (name, singular, plural) in _LISTS.items():
        compound = rest.pop(name, {})
        kept = {key: value for key, value in compound.items() if key != singular}
        sections[section] = {plural: _list(compound.get(singular, [])), **kept}
    for section, name in _PLAIN.items():
        sections[section] = rest.pop(name, {})
    rest |= {name: text(rest[name]) for name in ("dataSource", "dataSourceProject") if name in rest}
    return {"extractionSection": rest, **sections, **others}


def params_of(name: str, description: str | None, sections: Sections) -> Params:
    """Return the parameters of a job's element, in the order of genuine files."""
    params: Params = {"name": name}
    if description:
        params["description"] = description
    params |= sections.get("extractionSection", {})
    for section, (parameter, singular, plural) in _LISTS.items():
        compound = dict(sections.get(section, {}))
        values = compound.pop(plural, [])
        params[parameter] = {**({singular: _value(values)} if values else {}), **compound}
    params["retryConfig"] = sections.get("retrySection", {})
    trigger_section = dict(sections.get("triggerSection", {}))
    params["trigger"] = _value([_trigger_params(each) for each in trigger_section.pop("triggers", [])])
    params["triggerSection"] = trigger_section
    params["reportConfig"] = sections.get("reportSection", {})
    params[_OTHERS] = {section: value for section, value in sections.items() if section not in SECTIONS}
    return {name: value for name, value in params.items() if value is not None and (value or name not in _STRUCTURE)}


def _trigger(params: Params) -> dict[str, Any]:
    trigger = dict(params)
    dependencies = _list(trigger.pop("dependency", []))
    if dependencies:
        others = {name: value for name, value in dependencies[0].items() if name not in ("jobId", "executeAnyway")}
        trigger["dependencyInfo"] = {
            **others,
            "jobs": [text(name) for each in dependencies for name in _list(each.get("jobId", []))],
            "executeAnyway": any(each.get("executeAnyway") is True for each in dependencies),
        }
    return trigger


def _trigger_params(trigger: dict[str, Any]) -> Params:
    params = {name: value for name, value in trigger.items() if name != "dependencyInfo" and value is not None}
    info = trigger.get("dependencyInfo") or {}
    if info.get("jobs"):
        others = {name: value for name, value in info.items() if name not in ("jobs", "executeAnyway")}
        anyway = bool(info.get("executeAnyway"))
        params["dependency"] = _value([{"jobId": name, "executeAnyway": anyway, **others} for name in info["jobs"]])
    return params


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value(values: list[Any]) -> Any:
    """Return the values of a parameter as it is read: a parameter of one value is no list."""
    return values[0] if len(values) == 1 else values
