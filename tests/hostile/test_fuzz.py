"""What nobody thought of: parts of answers, documents, archives, YAML and records put together at random.

The same few examples at each run; ``DENODO_HA_FUZZ=20`` runs twenty times as many, and others each time.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denodo_ha.pairs_file import PairsError, load_pairs
from denodo_ha.record import Phase, Record, RecordError, Role
from denodo_ha.server import answers
from denodo_ha.server.bodies import BodyError, parse_json
from denodo_ha.server.options import EXPORT_OPTIONS, IMPORT_OPTIONS, OptionsError, bind
from denodo_ha.snapshot.archive import ArchiveError, cut_archive, inspect
from support.hostile_archives import GOOD, JOB, METADATA, NAME, PATH, VERSION, File, packed
from support.hostile_server import DOCUMENT, EXPORT
from support.hostile_server import GOOD as GOOD_ANSWERS

TIMES = int(os.environ.get("DENODO_HA_FUZZ", "0"))


def fuzz(examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=examples * max(TIMES, 1),
        derandomize=not TIMES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


WORDS = sorted(
    {
        "$ref",
        "allOf",
        "paths",
        "post",
        "parameters",
        "in",
        "query",
        "name",
        "schema",
        "properties",
        "required",
        "content",
    }
    | {"requestBody", "multipart/form-data", "application/json", "format", "binary", "#/paths", EXPORT, "id", "jobID"}
    | {"projectID", "projectName", "jobName", "state", "triggerSection", "triggers", "cron", "serverData", "version"}
    | {"permissions", "list", "message", "warnings", "nextExecution", "lastExecution", "type", "full", "roleData"}
)
TEXTS = st.sampled_from(WORDS) | st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.just(10**4000)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=25
)


def mutated(value: Any, chance: random.Random, odd: Any) -> Any:
    """A copy of a value in which some part is another one, or away."""
    if chance.random() < 0.08:
        return odd
    if isinstance(value, dict):
        return {key: mutated(each, chance, odd) for key, each in value.items() if chance.random() > 0.03}
    if isinstance(value, list):
        return [mutated(each, chance, odd) for each in value]
    return value


READERS: dict[str, Callable[[Any], object]] = {
    "/me": answers.read_me,
    "/projects": answers.read_projects,
    "/jobs": lambda raw: answers.read_jobs(raw, projects=list),
    "/dataSources": lambda raw: answers.read_data_sources(raw, projects=list),
    "/jobs/status": lambda raw: answers.read_statuses(raw, projects=list, jobs=list),
    "a project": answers.read_project,
    "an id": answers.read_id,
    "reports": answers.read_reports,
    "texts": lambda raw: answers.read_texts(raw, 1),
    "warnings": answers.import_warnings,
}


@pytest.mark.parametrize("name", READERS)
def test_an_answer_is_read_or_refused(name: str) -> None:
    @fuzz(60)
    @given(seed=st.integers(0, 2**32), odd=ANYTHING, instead=st.booleans())
    def check(seed: int, odd: Any, instead: bool) -> None:
        good = GOOD_ANSWERS.get(name, {"id": 1, "name": "x", "list": [{"id": 1}]})
        raw = odd if instead else mutated(good, random.Random(seed), odd)
        with suppress(answers.AnswerError):
            READERS[name](raw)

    check()


@fuzz(200)
@given(seed=st.integers(0, 2**32), odd=ANYTHING)
def test_a_document_is_bound_or_refused(seed: int, odd: Any) -> None:
    document = mutated(DOCUMENT, random.Random(seed), odd)
    if not isinstance(document, dict):
        return
    for direction, options in (("export", EXPORT_OPTIONS), ("import", IMPORT_OPTIONS)):
        with suppress(OptionsError):
            bind(document, direction, options)  # type: ignore[arg-type]


@fuzz(300)
@given(st.binary(max_size=60) | ANYTHING.map(lambda value: json.dumps(value).encode()), st.integers(1, 10_000))
def test_json_is_read_or_refused(body: bytes, limit: int) -> None:
    with suppress(BodyError):
        parse_json(body, limit)


ARCHIVES = [GOOD, packed({METADATA: VERSION, PATH: JOB % NAME, "data/x.properties": b"a=1\n", "drivers/": b""})]


@fuzz(300)
@given(st.sampled_from(ARCHIVES), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=4))
def test_an_archive_is_read_or_refused(content: bytes, changes: list[tuple[float, bytes]]) -> None:
    made = bytearray(content)
    for place, data in changes:
        at = int(place * len(made))
        made[at : at + len(data)] = data
    source = File(bytes(made))
    with suppress(ArchiveError):
        contents = inspect(source)
        cut_archive(source, contents, io.BytesIO(), lambda _: True)


XML = st.lists(
    st.sampled_from(
        [
            "<config>",
            "</config>",
            '<element type="job"/>',
            "<value>",
            "</value>",
            "load",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
        ]
        + ["&amp;", "&x;", '<simple-param name="name">', "</simple-param>", '<compound-param name="dependency">']
        + [f'<?xml version="1.0" encoding="{each}"?>' for each in ("utf-8", "cp037", "utf-16", "idna", "hex", "mbcs")]
        + ["<!DOCTYPE config [", "]>", '<!ENTITY x "y">', "</compound-param>", "\0", "\ufffe", "é"]
    ),
    max_size=14,
)


@fuzz(300)
@given(XML, st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig", "cp037"]))
def test_an_element_is_read_or_refused(parts: list[str], encoding: str) -> None:
    source = File(packed({METADATA: VERSION, PATH: "".join(parts).encode(encoding, "replace")}))
    with suppress(ArchiveError):
        inspect(source)


RECORD = Record(
    phase=Phase.FAILED_OVER,
    active=Role.SLAVE,
    epoch=2,
    master="http://a //localhost:8000",
    cool_down_until=datetime(2026, 1, 1, tzinfo=UTC),
    outbox=({"id": "1", "kind": "failover"},),
).to_json()


@fuzz(200)
@given(seed=st.integers(0, 2**32), odd=ANYTHING, instead=st.booleans())
def test_a_record_is_read_or_refused(seed: int, odd: Any, instead: bool) -> None:
    record = odd if instead else mutated(RECORD, random.Random(seed), odd)
    with suppress(RecordError):
        Record.from_json(record)


@fuzz(100)
@given(ANYTHING | st.dictionaries(st.sampled_from(["pairs", "defaults"]), ANYTHING))
def test_pairs_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, odd: Any) -> None:
    file = tmp_path_factory.mktemp("pairs") / "pairs.yaml"
    file.write_text(yaml.safe_dump(odd), encoding="utf-8")
    with suppress(PairsError):
        load_pairs(file)
