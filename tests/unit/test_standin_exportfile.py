from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_standin.definition import params_of, sections_of
from denodo_standin.exportfile import (
    DamagedExportError,
    Export,
    entry_name,
    read_export,
    read_resources,
    write_export,
)
from denodo_standin.importer import Importer, Replace
from denodo_standin.params import ENCRYPTED, Element, Params, parse, xml_of
from denodo_standin.server import SchedulerServer

GENUINE = Path(__file__).parents[3] / "shared" / "denodo" / "exports"
MOMENT = datetime(2026, 3, 2, 7, 5, 9, tzinfo=ZoneInfo("Europe/Madrid"))
EVERYTHING = ["config", "config-dbStored", "permissions", "drivers", "plugins"]

JOB: Params = {
    "name": "Load sales/returns",
    "description": "Täglich & <immer>",
    "dataSource": "VDP",
    "parameterizedQuery": "select 'a', \"b\" from v where c < 1 & d = @E",
    "sourcesNotChange": True,
    "batchSize": 200,
    "leadingZeros": "007",
    "processor": {
        "exporter": [
            {"type": "CSV", "separator": "\n", "zipPassword": {ENCRYPTED: "c2VjcmV0"}},
            {"type": "JDBC", "mappings": [{"tableColumn": "a"}, {"tableColumn": "b"}]},
        ]
    },
    "trigger": {
        "type": "cron",
        "cronExpression": "0 0 3 * * ?",
        "dependency": {"jobId": "Prepare", "executeAnyway": False},
    },
    "reportConfig": {"maxIndividualReports": 100, "reportOnlyErrors": True},
    "somethingNew": {"unknown": ["x", "y"]},
}
SOURCE: Params = {"name": "VDP", "login": "admin", "password": {ENCRYPTED: "b3BhcXVl"}}


def small(**changes: Any) -> Export:
    elements = (
        Element("Süd/West", "dataSource", "VDP", False, SOURCE),
        Element("Süd/West", "job", "VDP", False, {**JOB, **changes}),
        Element("Süd/West", "job", "VDPCache", True, {"name": "Prepare"}),
        Element("default", "job", "VDP", False, {"name": "LOAD SALES/RETURNS"}),
    )
    return Export("9.0.5", {"Süd/West": "Ventas", "default": None}, elements)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(export: Export, name: str = "export.zip", **options: Any) -> Path:
        file = tmp_path / name
        file.write_bytes(b"".join(write_export(export, moment=MOMENT, **options)))
        return file

    return write


def load(server: SchedulerServer, file: Path) -> list[str]:
    importer = Importer(server.engine, read_export(file), Replace(), "test")
    for _ in importer.steps(3):
        continue
    importer.put_resources(read_resources(file))
    return importer.warnings()


def content(file: Path) -> dict[tuple[str, str, str], tuple[str, bool, Params]]:
    """Elements by project, kind and name."""
    elements = read_export(file).elements
    return {(each.project, each.kind, each.name): (each.sub_type, each.draft, each.params) for each in elements}


def test_what_is_written_is_read_back(written: Callable[..., Path]) -> None:
    assert read_export(written(small())) == small()


def test_entries_are_those_of_a_genuine_file(written: Callable[..., Path]) -> None:
    resources = [("permissions/permissions.properties", b"a=b")]
    with zipfile.ZipFile(written(small(), resources=resources)) as archive:
        assert archive.namelist() == [
            "data/server-metadata.properties",
            "data/projects/",
            "data/projects/Süd%2FWest/",
            "data/projects/Süd%2FWest/description.txt",
            "data/projects/Süd%2FWest/dataSource/",
            "data/projects/Süd%2FWest/dataSource/VDP.xml",
            "data/projects/Süd%2FWest/job/",
            "data/projects/Süd%2FWest/job/Load sales%2Freturns.xml",
            "data/projects/Süd%2FWest/job/Prepare.xml",
            "data/projects/default/",
            "data/projects/default/job/",
            "data/projects/default/job/LOAD SALES%2FRETURNS.xml",
            "data/resources/",
            "data/resources/permissions/",
            "data/resources/permissions/permissions.properties",
        ]
        lines = archive.read("data/server-metadata.properties").decode().splitlines()
        xml = archive.read("data/projects/Süd%2FWest/job/Prepare.xml").decode()
    assert lines == [
        "#Generated with Denodo Platform 9.0.5",
        "#Mon Mar 02 07:05:09 CET 2026",
        "installation.version=9.0.5",
    ]
    assert xml == (
        '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE config SYSTEM "custom-config.dtd"><config>'
        '<element type="job" subType="VDPCache" draft="true"/><default-parameters>'
        '<simple-param name="name"><value>Prepare</value></simple-param></default-parameters></config>'
    )


def test_neither_ids_nor_the_enabled_flag_are_in_the_file(written: Callable[..., Path], tmp_path: Path) -> None:
    server = SchedulerServer(tmp_path / "server", id_offset=770_000)
    load(server, written(small()))
    file = tmp_path / "out.zip"

    def entries() -> list[bytes]:
        file.write_bytes(b"".join(server.export(None, EVERYTHING)))
        with zipfile.ZipFile(file) as archive:
            return [archive.read(name) for name in archive.namelist() if name.endswith(".xml")]

    server.store.settings.guesses.salted_secrets = False
    enabled = entries()
    for job in server.store.jobs.values():
        server.engine.disable(job, "test")
    assert entries() == enabled
    assert not any(b"7700" in xml or b"isabled" in xml for xml in enabled)


def test_two_exports_differ_in_the_secrets_alone(written: Callable[..., Path]) -> None:
    first, second = written(small(), "1.zip"), written(small(), "2.zip")
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as two:
        different = [name for name in one.namelist() if one.read(name) != two.read(name)]
    assert different == [
        "data/projects/Süd%2FWest/dataSource/VDP.xml",
        "data/projects/Süd%2FWest/job/Load sales%2Freturns.xml",
    ]
    assert content(first) == content(second)


def test_without_salt_two_exports_of_one_moment_are_equal(written: Callable[..., Path]) -> None:
    first, second = written(small(), "1.zip", salted=False), written(small(), "2.zip", salted=False)
    assert first.read_bytes() == second.read_bytes()


def test_secrets_do_not_stand_in_the_file_as_they_are(written: Callable[..., Path]) -> None:
    with zipfile.ZipFile(written(small())) as archive:
        assert not any(b"b3BhcXVl" in archive.read(name) for name in archive.namelist())


def test_padding_is_large_incompressible_and_the_same_in_every_export(written: Callable[..., Path]) -> None:
    first, second = written(small(), "1.zip", padding_mb=11), written(small(), "2.zip", padding_mb=11)
    assert first.stat().st_size > 11 << 20
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as two:
        padding = {info.filename: info.CRC for info in one.infolist() if info.filename.startswith("data/resources/")}
        assert padding == {info.filename: info.CRC for info in two.infolist() if info.filename in padding}
    assert len(padding) == 2
    assert list(read_resources(first)) == []


def test_a_large_export_is_made_in_small_pieces() -> None:
    assert max(map(len, write_export(small(), moment=MOMENT, padding_mb=30))) < 2 << 20


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("plain name ü データ", "plain name ü データ"),
        ("a/b\\c:d", "a%2Fb%5Cc%3Ad"),
        ("100%", "100%25"),
        ("..", "%2E%2E"),
        ("v1.2", "v1.2"),
        ("a\tb", "a%09b"),
    ],
)
def test_a_name_that_is_no_file_name_is_percent_encoded(name: str, encoded: str) -> None:
    assert entry_name(name) == encoded


# --- parameters


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["7", "007", "true", "a\r\nb", ""]),
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"])),
)
secret = st.builds(lambda value: {ENCRYPTED: value}, st.text("abcXYZ+/=", max_size=12))
names = st.text("abcdefgh &<\"'é", min_size=1, max_size=6)
trees = st.recursive(
    st.one_of(scalars, secret),
    lambda inner: st.dictionaries(
        names, st.one_of(inner, st.lists(scalars), st.lists(st.dictionaries(names, inner), min_size=2))
    ),
    max_leaves=12,
)


@given(st.dictionaries(names, trees))
def test_any_parameters_survive_the_way_through_xml(params: Params) -> None:
    params = {"name": "job", **params}
    parsed = parse("p", xml_of(Element("p", "job", "VDP", False, params), salted=True)).params
    assert parsed == params
    assert repr(parsed) == repr(params), "1, 1.0 and true are three values"


def test_a_job_shows_its_parameters_in_the_sections_of_the_api() -> None:
    sections = sections_of(JOB)
    assert sections["triggerSection"] == {
        "triggers": [
            {
                "type": "cron",
                "cronExpression": "0 0 3 * * ?",
                "dependencyInfo": {"jobs": ["Prepare"], "executeAnyway": False},
            }
        ]
    }
    assert [exporter["type"] for exporter in sections["exportationSection"]["exporters"]] == ["CSV", "JDBC"]
    assert sections["reportSection"] == {"maxIndividualReports": 100, "reportOnlyErrors": True}
    assert sections["extractionSection"]["somethingNew"] == {"unknown": ["x", "y"]}
    assert sections["extractionSection"]["dataSource"] == "VDP"


def test_sections_become_the_same_parameters_again() -> None:
    back = params_of(JOB["name"], JOB["description"], sections_of(JOB))
    element = Element("p", "job", "VDP", False, back)
    assert parse("p", xml_of(element, salted=False)).params == JOB


def test_a_name_of_digits_stays_a_name(written: Callable[..., Path]) -> None:
    assert [each.name for each in read_export(written(small(name="007"))).elements][1] == "007"
    job = read_export(written(small(name="42", dataSource="43", trigger={"dependency": {"jobId": "44"}}))).elements[1]
    sections = sections_of(job.params)
    assert (job.name, sections["extractionSection"]["dataSource"]) == ("42", "43")
    assert sections["triggerSection"]["triggers"][0]["dependencyInfo"]["jobs"] == ["44"]


# --- damaged files


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "Not an intact zip archive"),
        (lambda data: b"<html>login</html>", "Not an intact zip archive"),
        (lambda data: data[: len(data) // 2], "Not an intact zip archive"),
        (lambda data: data[:75] + bytes([data[75] ^ 8]) + data[76:], r"server-metadata\.properties' is damaged|intact"),
    ],
    ids=["empty", "html", "truncated", "bit flipped"],
)
def test_a_damaged_file_is_refused(
    written: Callable[..., Path], damage: Callable[[bytes], bytes], message: str
) -> None:
    file = written(small())
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DamagedExportError, match=message):
        read_export(file)


def test_a_damaged_driver_is_refused_too(written: Callable[..., Path]) -> None:
    file = written(small(), resources=[("drivers/a.jar", b"CAFEBABE" * 1000)], salted=False)
    data = bytearray(file.read_bytes())
    data[data.index(b"data/resources/drivers/a.jar") + 40] ^= 8
    file.write_bytes(data)
    with pytest.raises(DamagedExportError, match=r"a\.jar' is damaged|Not an intact zip"):
        read_export(file)


@pytest.mark.parametrize(
    ("entry", "xml", "message"),
    [
        ("job/a.xml", b"<config>", "'data/projects/p/job/a.xml' does not hold a job: not well-formed"),
        ("job/a.xml", b"<config/>", "<default-parameters> is missing"),
        ("job/a.xml", xml_of(Element("p", "dataSource", "VDP", False, SOURCE), salted=True), "of type 'dataSource'"),
        ("job/a.xml", xml_of(Element("p", "job", "VDP", False, {}), salted=True), "the parameter 'name' is missing"),
    ],
)
def test_an_entry_that_is_no_element_is_refused(tmp_path: Path, entry: str, xml: bytes, message: str) -> None:
    file = tmp_path / "e.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data/server-metadata.properties", "installation.version=9.0.5")
        archive.writestr(f"data/projects/p/{entry}", xml)
    with pytest.raises(DamagedExportError, match=message):
        read_export(file)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "e.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DamagedExportError, match=r"server-metadata\.properties' is missing: this is not an export"):
        read_export(file)


# --- genuine files


def genuine_files() -> list[Path]:
    return sorted(GENUINE.glob("*.zip"))


@pytest.mark.parametrize("file", genuine_files() or [None], ids=lambda file: file.name if file else "missing")
def test_a_genuine_file_goes_through_two_servers_unharmed(file: Path | None, tmp_path: Path) -> None:
    if file is None:
        pytest.skip(f"{GENUINE} is not here")
    first = SchedulerServer(tmp_path / "first", timezone="Asia/Kolkata", id_offset=1000)
    second = SchedulerServer(tmp_path / "second", timezone="America/New_York", id_offset=50_000)
    exported, again = tmp_path / "exported.zip", tmp_path / "again.zip"
    assert load(first, file) == []
    exported.write_bytes(b"".join(first.export(None, EVERYTHING)))
    assert load(second, exported) == []
    again.write_bytes(b"".join(second.export(None, EVERYTHING)))

    assert content(file) == content(exported) == content(again)
    assert list(read_resources(file)) == list(read_resources(again))
    with zipfile.ZipFile(file) as one, zipfile.ZipFile(again) as two:
        assert set(one.namelist()) == set(two.namelist())
    assert not {*first.store.jobs} & {*second.store.jobs}


@pytest.mark.parametrize("file", genuine_files() or [None], ids=lambda file: file.name if file else "missing")
def test_a_genuine_element_is_written_as_it_was(file: Path | None, tmp_path: Path) -> None:
    if file is None:
        pytest.skip(f"{GENUINE} is not here")
    server = SchedulerServer(tmp_path / "server")
    server.store.settings.guesses.salted_secrets = False
    load(server, file)
    exported = tmp_path / "exported.zip"
    exported.write_bytes(b"".join(server.export(None, EVERYTHING)))
    with zipfile.ZipFile(file) as one, zipfile.ZipFile(exported) as two:
        names = [name for name in one.namelist() if name.endswith(".xml")]
        assert names
        assert [name for name in names if one.read(name) != two.read(name)] == []


def test_the_date_of_an_export_is_on_the_clock_of_the_server(tmp_path: Path) -> None:
    now = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    server = SchedulerServer(tmp_path / "server", timezone="Asia/Kolkata", manual=True, now=now)
    file = tmp_path / "e.zip"
    file.write_bytes(b"".join(server.export(None, [])))
    with zipfile.ZipFile(file) as archive:
        assert b"#Thu Jul 02 04:00:00 IST 2026\n" in archive.read("data/server-metadata.properties")
