"""What belongs to the definition of a job, and how two readings of it are compared: on one server or on two.

A definition is taken as fields: a path such as ``triggerSection.triggers[0].cronExpression``, and the value there. What
is no content is learned by :func:`noise`, as paths without the indices of lists.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from denodo_ha.jobs import DataSource, Job, JobKey

Fields = Mapping[str, str]
"""The fields of a definition: path and value, as JSON text."""

UNKNOWN = '"unknown"'
"""The value of a field whose id names nothing that is known."""

_OWN = ("name", "disabled", "enabled", "projectName", "project")
_STATUS = ("state", "result", "previousExecution", "nextExecution")
_ID_KEY = re.compile(r"(?i:ids?)|\w+I[dD]s?", re.ASCII)
_JOB_IDS = re.compile(r"jobI[dD]s?")
_DATA_SOURCE_ID = re.compile(r"data_?source_?ids?", re.IGNORECASE)
_DEPENDS_ON, _DATA_SOURCE, _VALUE = "dependsOn", "dataSource", "its value"
_json = json.JSONEncoder(ensure_ascii=False).encode
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_DOCUMENTED = """
    type description extractionSection dataSource exportationSection exporters filter handlerSection handlers
    retrySection reportSection triggerSection triggers cronExpression startTime endTime dependencyInfo dependsOn
    executeAnyway
"""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORD = re.compile(r"passw.*|.*(passw(or)?d|pwd|passphrase|credentials?|secrets?)")
_SECRET_ENDING = re.compile(r"(api|private)keys?|tokens?(value)?$")


@dataclass(frozen=True)
class Names:
    """What the ids in the definitions of one server name: its jobs and its data sources."""

    jobs: Mapping[int, JobKey]
    data_sources: Mapping[int, JobKey] = field(default_factory=dict)

    @classmethod
    def of(cls, jobs: Iterable[Job], data_sources: Iterable[DataSource] = ()) -> Names:
        return cls({job.id: job.key for job in jobs}, {source.id: source.key for source in data_sources})


@lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """Return whether a field of this name holds a secret, such as ``accessToken``, ``client_secret`` or ``pwd``.

    A name in which a secret word is only part of another one, or says what another one is about, is none:
    ``secretary``, ``tokenizer``, ``tokenSeparator``.
    """
    words = [word.lower() for word in _WORD.findall(key)]
    return any(map(_SECRET_WORD.fullmatch, words)) or _SECRET_ENDING.search("".join(words)) is not None


def fields(job: Job, names: Names) -> Fields:
    """Return the fields of a job that are content, equal for equal jobs of two servers.

    Left out are the job's identity and state, every id (valid on its own server only [V]) and secrets (write-only [V],
    salted [S]). Jobs that it depends on and its data source count by their names. A value that is empty, false or zero
    counts as left out, because another version may not know its field; line ends count as LF.
    """
    kept = {key: value for key, value in job.definition.items() if key not in _OWN and key not in _STATUS}
    found: dict[str, str] = {}
    _collect(found, "", kept, names)
    return found


def _collect(found: dict[str, str], path: str, value: Any, names: Names) -> None:
    if isinstance(value, dict):
        where = f"{path}." if path else ""
        for key, item in value.items():
            counts_as = _counts_as(key)
            if counts_as == _DATA_SOURCE:
                _collect_named(found, where + _DATA_SOURCE, item, names.data_sources)
            elif counts_as == _DEPENDS_ON:
                _collect_named(found, where + _DEPENDS_ON, item, names.jobs)
            elif counts_as:
                _collect(found, where + key, item, names)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(found, f"{path}[{index}]", item, names)
    else:
        if isinstance(value, str):
            value = value.replace("\r\n", "\n").replace("\r", "\n")
        if value not in (None, "", False, 0):
            found[path] = _json(value)


@lru_cache(maxsize=65536)
def _counts_as(key: str) -> str | None:
    """What a field of this name is compared as: what its ids name, or its value; None if it does not count."""
    if is_secret(key):
        return None
    if _DATA_SOURCE_ID.fullmatch(key):
        return _DATA_SOURCE
    if _JOB_IDS.fullmatch(key):
        return _DEPENDS_ON
    return None if _ID_KEY.fullmatch(key) else _VALUE


def _collect_named(found: dict[str, str], path: str, ids: Any, names: Mapping[int, JobKey]) -> None:
    """Ids come as a number, as a list, or as one comma-separated string [KB]; their order means nothing."""
    parts = ids.split(",") if isinstance(ids, str) else ids if isinstance(ids, list) else [ids]
    texts = [str(part).strip() for part in parts if part not in (None, "", 0)]
    keys = [names.get(int(text)) if text.isdecimal() else None for text in texts if text]
    if None in keys:
        found[path] = UNKNOWN
    elif keys:
        found[path] = _json(sorted(key.folded for key in keys if key))


@lru_cache(maxsize=65536)
def _general(path: str) -> str:
    """A path without the indices of lists."""
    return re.sub(r"\[\d+\]", "[]", path)


@lru_cache(maxsize=65536)
def plain(name: str) -> str:
    """A name without case and punctuation, since the file and the API may spell one parameter differently."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


_CONTENT = frozenset(map(plain, _DOCUMENTED.split()))


def digest(job: Job, names: Names, noise: Collection[str] = ()) -> str:
    """Return the SHA-256 of the fields of a job without those of ``noise``."""
    rows = sorted((path, value) for path, value in fields(job, names).items() if _general(path) not in noise)
    text = _compact(rows)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def differing(one: Fields, other: Fields) -> set[str]:
    """Return the paths at which two readings differ; what is unknown in either cannot be compared."""
    apart = {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}
    return {_general(path) for path in apart if UNKNOWN not in (one.get(path), other.get(path))}


def is_content(path: str, parameters: Collection[str]) -> bool:
    """Return whether what is at ``path`` can never be noise.

    These are the documented fields [V], and those that have the name of a parameter in the export file: what a person
    edits and an import delivers is in that file.

    :param parameters: the names of the parameters in the export file, as :func:`plain` has them.
    """
    name = plain(path.rpartition(".")[2])
    return name in _CONTENT or name in parameters


def noise(pairs: Sequence[tuple[Fields, Fields]], parameters: Collection[str]) -> frozenset[str]:
    """Return the paths that differ although no content does, in readings of the same jobs on two servers.

    A path is noise if it differs in every job that has it, if these are at least two jobs or all, and if
    :func:`is_content` does not forbid it. So one job that differs in what both servers have is never excused; neither
    are all jobs that differ in what is documented or what the export file carries. What only one of the servers has, in
    a section that both have, is noise in one job too: that of another version adds it. What is left is nothing that an
    import could have delivered.

    :param pairs: the fields of each job on both servers.
    :param parameters: see :func:`is_content`.
    """
    having: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    for one, other in pairs:
        having.update({_general(path) for path in one.keys() | other.keys()})
        apart.update(differing(one, other))
    enough = min(2, len(pairs))
    added = _added(pairs)
    return frozenset(
        path
        for path, count in apart.items()
        if (count == having[path] >= enough or path in added) and not is_content(path, parameters)
    )


def _added(pairs: Sequence[tuple[Fields, Fields]]) -> frozenset[str]:
    """Return the paths that only one of the servers has in any job, although both have their sections."""
    one, other = ({_general(path) for pair in pairs for path in pair[side]} for side in (0, 1))
    sections = {path.rpartition(".")[0] for path in one} & {path.rpartition(".")[0] for path in other}
    return frozenset(path for path in one ^ other if path.rpartition(".")[0] in sections)


@dataclass(frozen=True)
class Comparison:
    """What a comparison of the same jobs on two servers has found.

    :param different: for each job that differs, the paths.
    :param noise: the paths that were not compared, those that were learned included.
    :param unknown: jobs in which an id names nothing that is known on its server, so that it was not compared.
    """

    different: Mapping[JobKey, tuple[str, ...]]
    noise: frozenset[str]
    unknown: tuple[JobKey, ...]


def compare(
    source: Mapping[JobKey, Fields],
    target: Mapping[JobKey, Fields],
    *,
    known: Collection[str] = (),
    parameters: Collection[str] = (),
) -> Comparison:
    """Compare the jobs that both servers have.

    :param known: paths that are known to be noise.
    :param parameters: see :func:`is_content`.
    """
    both = [key for key in source if key in target]
    learned = frozenset(known) | noise([(source[key], target[key]) for key in both], parameters)
    apart = {key: differing(source[key], target[key]) - learned for key in both}
    return Comparison(
        {key: tuple(sorted(paths)) for key, paths in apart.items() if paths},
        learned,
        tuple(key for key in both if UNKNOWN in source[key].values() or UNKNOWN in target[key].values()),
    )
