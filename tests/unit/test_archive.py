from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.jobs import JobKey
from denodo_ha.scope import Scope, ScopeError
from denodo_ha.snapshot.archive import (
    ArchiveContents,
    ArchiveError,
    cut_archive,
    filter_archive,
    inspect,
)
from denodo_ha.snapshot.contents import Element, SecretsChange, changed_secrets
from denodo_standin.exportfile import read_export

EXPORTS = Path(__file__).parents[3] / "shared" / "denodo" / "exports"
DOCTYPE = '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE config SYSTEM "custom-config.dtd">'
METADATA = {"data/server-metadata.properties": "#Tue Apr 29 18:45:40 IST 2025\ninstallation.version=8.0 20240927\n"}


class Memory:
    """A path whose file is in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def open(self, mode: str = "rb", /) -> IO[bytes]:
        assert mode == "rb"
        return io.BytesIO(self.content)


def simple(name: str, value: str, *, encrypted: bool = False) -> str:
    attribute = ' encrypted="true"' if encrypted else ""
    return f'<simple-param name="{name}"{attribute}><value>{escape(value)}</value></simple-param>'


def compound(name: str, *inner: str) -> str:
    return f'<compound-param name="{name}"><value>{"".join(inner)}</value></compound-param>'


def element(kind: str, *parameters: str) -> str:
    head = f'<element type="{kind}" subType="VDP" draft="false"/>'
    return f"{DOCTYPE}<config>{head}<default-parameters>{''.join(parameters)}</default-parameters></config>"


def job(name: str, *, query: str = "select 1", after: str = "", zip_password: str = "") -> str:
    dependency = compound("dependency", simple("jobId", after), simple("executeAnyway", "false")) if after else ""
    return element(
        "job",
        simple("name", name),
        simple("parameterizedQuery", query),
        simple("zipPassword", zip_password, encrypted=True) if zip_password else "",
        compound("trigger", simple("type", "cron"), simple("cronExpression", "0 0 0 * * ? 2030"), dependency),
    )


def source(name: str, encrypted: str = "ZmFrZQ==") -> str:
    return element("dataSource", simple("name", name), simple("password", encrypted, encrypted=True))


def packed(entries: dict[str, str | bytes], *, year: int = 2025, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in entries.items():
            info = zipfile.ZipInfo(path, (year, 4, 29, 18, 45, 40))
            info.compress_type = compression
            archive.writestr(info, content)
    return buffer.getvalue()


def typical() -> dict[str, str | bytes]:
    """Two projects with a dependency, unicode and spaces, a driver, and what comes with an export."""
    return {
        "data/projects/": "",
        "data/projects/Vertrieb Süd/": "",
        "data/projects/Vertrieb Süd/description.txt": "Täglich",
        "data/projects/Vertrieb Süd/dataSource/vdp.xml": source("vdp", "Zmlyc3Q="),
        "data/projects/Vertrieb Süd/job/load.xml": job("load", after="prepare"),
        "data/projects/Vertrieb Süd/job/prepare.xml": job("prepare", zip_password="c2Vjb25k"),
        "data/projects/hr/job/a_b.xml": job("a/b ✓"),
        "data/resources/drivers/driver.jar": bytes(range(256)),
        "data/resources/permissions/permissions.properties": "#Tue Apr 29 18:45:40 IST 2025\nb=2\na=1\n",
        **METADATA,
    }


def genuine(name: str) -> Path:
    path = EXPORTS / f"{name}.zip"
    if not path.is_file():
        pytest.skip("the genuine export files are not here")
    return path


TYPICAL = packed(typical())
CONTENTS = inspect(Memory(TYPICAL))


def contents(entries: dict[str, str | bytes]) -> ArchiveContents:
    return inspect(Memory(packed(entries)))


def changed(**replaced: str | bytes | None) -> dict[str, str | bytes]:
    """The typical entries with those whose path contains a keyword replaced, or left out (None)."""
    result: dict[str, str | bytes] = {}
    for path, content in typical().items():
        new = next((value for word, value in replaced.items() if f"{word}." in path), content)
        if new is not None:
            result[path] = new
    return result


# --- what is in it


def test_contents_of_an_export() -> None:
    assert CONTENTS.version == "8.0 20240927"
    assert sorted(CONTENTS.jobs) == [
        JobKey(project="hr", name="a/b ✓"),
        JobKey(project="Vertrieb Süd", name="load"),
        JobKey(project="Vertrieb Süd", name="prepare"),
    ]
    assert CONTENTS.projects == ["Vertrieb Süd", "hr"]
    assert CONTENTS.counts == {"projects": 2, "jobs": 3, "dataSources": 1, "resources": 2}
    assert {(found.kind, found.name): found.dependencies for found in CONTENTS.elements if found.dependencies} == {
        ("job", "load"): ("prepare",)
    }


def test_contents_survive_json_and_other_text_is_refused() -> None:
    assert ArchiveContents.from_json(CONTENTS.to_json()) == CONTENTS
    assert ArchiveContents.from_json(CONTENTS.to_json()).content_hash == CONTENTS.content_hash
    with pytest.raises(ArchiveError, match=r"stored contents of an export cannot be read .* Run a sync"):
        ArchiveContents.from_json('{"version": 1}')


def test_no_encrypted_value_is_kept() -> None:
    assert "Zmlyc3Q=" not in CONTENTS.to_json()
    assert "Zmlyc3Q=" not in repr(CONTENTS)


def test_the_hash_ignores_dates_order_layout_comments_and_how_the_file_is_packed() -> None:
    again: dict[str, str | bytes] = dict(reversed(typical().items()))
    again["data/server-metadata.properties"] = "#Fri Jan 01 00:00:00 IST 2027\ninstallation.version=8.0 20240927\n"
    again["data/resources/permissions/permissions.properties"] = "#Fri Jan 01 00:00:00 IST 2027\r\na=1\r\nb=2\r\n"
    again["data/projects/hr/job/a_b.xml"] = (
        job("a/b ✓").replace("><simple", ">\n  <simple").replace("</default", "<!-- at midnight -->\n</default")
    )
    other = inspect(Memory(packed(again, year=2027, compression=zipfile.ZIP_STORED)))
    assert other.content_hash == CONTENTS.content_hash
    assert other == CONTENTS


def test_only_the_elements_own_name_and_its_dependencies_are_taken_as_such() -> None:
    text = element(
        "job",
        compound("handler", simple("name", "mail"), simple("jobId", "not waited for")),
        simple("name", "load"),
        compound("trigger", compound("dependency", simple("jobId", "a")), compound("dependency", simple("jobId", "b"))),
        simple("jobId", "nor this"),
    )
    (found,) = contents({"data/projects/p/job/x.xml": text, **METADATA}).elements
    assert (found.name, found.dependencies) == ("load", ("a", "b"))


def test_the_hash_ignores_encrypted_values_but_not_whether_there_are_any() -> None:
    assert contents(changed(vdp=source("vdp", "b3RoZXI="))).content_hash == CONTENTS.content_hash
    assert contents(changed(prepare=job("prepare"))).content_hash != CONTENTS.content_hash


@pytest.mark.parametrize(
    "change",
    [
        {"load": job("load", after="prepare", query="select 2")},
        {"load": job("load", after="prepare", query="select 1 ")},
        {"load": job("load")},
        {"load": job("Load", after="prepare")},
        {"load": None},
        {"description": "Nightly"},
        {"driver": b"other bytes"},
        {"permissions": "a=1\nb=3\n"},
        {"a_b": job("a/b ✓").replace('draft="false"', 'draft="true"')},
    ],
)
def test_the_hash_sees_every_real_change(change: dict[str, str | bytes | None]) -> None:
    assert contents(changed(**change)).content_hash != CONTENTS.content_hash


def test_two_versions_with_odd_metadata() -> None:
    entries = changed()
    entries["data/server-metadata.properties"] = "#Generated\n#date\n installation.version = 9.2.0\\: BETA \r\n"
    assert contents(entries).version == "9.2.0: BETA"


@pytest.mark.parametrize("name", ["incremental_deployment_8", "incremental_deployment_8_to_9", "roles_9"])
def test_genuine_files(name: str) -> None:
    path = genuine(name)
    found = inspect(path, expected_size=path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        files = sorted(name.rsplit("/", 2)[1:] for name in archive.namelist() if name.endswith(".xml"))
    assert sorted([entry.kind, f"{entry.name}.xml"] for entry in found.elements if entry.kind != "resource") == files
    assert found.version in {"8.0 20240927", "9.2.0"}
    assert all(entry.secrets for entry in found.elements if entry.kind == "dataSource")


def test_genuine_salted_passwords_count_as_unchanged() -> None:
    """The same two data sources, exported twice by one server: every encrypted value differs, nothing else does."""
    files = [genuine("incremental_deployment_8"), genuine("incremental_deployment_8_to_9")]
    one, other = ([entry for entry in inspect(file).elements if entry.kind == "dataSource"] for file in files)
    assert [entry.hash for entry in one] == [entry.hash for entry in other]
    assert all(a.secrets != b.secrets for a, b in zip(one, other, strict=True))


# --- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The export is empty (0 bytes). Export again."),
        (
            b"\r\n<!DOCTYPE html><html><body>Sign in</body></html>",
            "The export is an HTML page, probably a login or error page (check host, port and base path of the "
            "connection), not a zip archive.",
        ),
        (b"<?xml version='1.0'?><html>", "an HTML page"),
        (
            b'{"status": "500"}',
            "The export is a JSON text, probably an error message of the server, not a zip archive.",
        ),
        (b"<?xml version='1.0'?><config/>", "an XML file (turn off the export option that writes XML)"),
        (packed({}), "an archive without entries"),
        (b"\x89PNG something", "something else"),
        (b"PK\x03\x04", "The export was cut off: it ends after 4 bytes"),
        (
            packed(changed(load=None) | {"data/projects/../../x": "x"}),
            'the path "data/projects/../../x", which leads out',
        ),
        (packed(changed() | {"/etc/x": "x"}), 'the path "/etc/x", which leads out'),
        (packed(changed() | {"C:/x": "x"}), 'the path "C:/x", which leads out'),
        (packed(changed() | {"data\\..\\x": "x"}), "which leads out"),
        (
            packed({path: content for path, content in typical().items() if path not in METADATA}),
            "The export holds no data/server-metadata.properties: it is not an export of a Denodo Scheduler.",
        ),
        (packed(typical() | {"data/server-metadata.properties": "#x\n"}), "does not name installation.version"),
        (
            packed({"data/projects/": "", "data/resources/x.jar": "x", **METADATA}),
            "The export holds no job and no data source. Check that the login has the role scheduler_admin.",
        ),
        (
            packed(changed(load=job("load")[:-9])),
            '"data/projects/Vertrieb Süd/job/load.xml" in the export cannot be read',
        ),
        (packed(changed(load="")), "its XML is broken (no element found"),
        (packed(changed(load="<html></html>")), "its XML starts with <html> instead of <config>"),
        (packed(changed(load=job(""))), "its XML has no name"),
        (packed(changed(load=job("load").replace("<element", "<other"))), "its XML says nothing of its type"),
        (packed(changed(load=job("LOAD"), prepare=job("load"))), "holds an element twice"),
    ],
)
def test_what_is_no_usable_export_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        inspect(Memory(content))
    assert message in str(caught.value)


def test_entities_are_refused_whether_declared_or_not_and_files_are_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("never read")
    hostile = {
        "bomb": '<!DOCTYPE config [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        "file": f'<!DOCTYPE config [<!ENTITY b SYSTEM "{secret.as_uri()}">]>',
        "dtd": f'<!DOCTYPE config SYSTEM "{secret.as_uri()}" [<!ENTITY % x SYSTEM "{secret.as_uri()}"> %x;]>',
        "undeclared": '<!DOCTYPE config SYSTEM "custom-config.dtd">',
    }
    for doctype in hostile.values():
        text = job("load", query="QUERY").replace(DOCTYPE, doctype).replace("QUERY", "&b;")
        with pytest.raises(ArchiveError, match="declares or uses entities") as caught:
            contents(changed(load=text))
        assert "never read" not in str(caught.value)


def test_an_entry_that_stands_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = packed_twice()
    with pytest.raises(ArchiveError, match=r'holds "data/projects/hr/job/a.xml" twice'):
        inspect(Memory(content))


def packed_twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for text in (job("a"), job("a", query="select 2")):
            archive.writestr("data/projects/hr/job/a.xml", text)
    return buffer.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    content = packed(typical() | {"data/resources/zeros.jar": bytes(65 * 1024**2)})
    assert len(content) < 100_000
    with pytest.raises(ArchiveError, match=r"a zip bomb\. Do not import it"):
        inspect(Memory(content))


def test_an_encrypted_archive_is_refused() -> None:
    content = bytearray(packed({"data/projects/p/job/a.xml": job("a"), **METADATA}))
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + offset] |= 1
    with pytest.raises(ArchiveError, match="is encrypted, password required"):
        inspect(Memory(bytes(content)))


def test_a_size_other_than_announced_is_refused() -> None:
    size = len(TYPICAL)
    with pytest.raises(ArchiveError, match=rf"^The export ends after {size} of {size + 1} bytes\. Export again\.$"):
        inspect(Memory(TYPICAL), expected_size=size + 1)
    with pytest.raises(ArchiveError, match=rf"^The export has {size} of {size - 1} bytes\."):
        inspect(Memory(TYPICAL), expected_size=size - 1)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=len(TYPICAL) - 1))
def test_a_file_cut_off_anywhere_is_refused(size: int) -> None:
    with pytest.raises(ArchiveError):
        inspect(Memory(TYPICAL[:size]))


def _flipped_is_refused_or_equal(content: bytes, bit: int, expected: ArchiveContents) -> bool:
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        found = inspect(Memory(bytes(flipped)))
    except ArchiveError:
        return True
    assert found == expected
    return False


@settings(max_examples=400, deadline=None)
@given(st.integers(min_value=0, max_value=len(TYPICAL) * 8 - 1))
def test_a_flipped_bit_is_refused_or_changes_nothing(bit: int) -> None:
    _flipped_is_refused_or_equal(TYPICAL, bit, CONTENTS)


def test_a_flipped_bit_behind_the_data_is_refused() -> None:
    """Java writes sizes and checksum there, and its reader, unlike Python's, goes by them."""
    path = genuine("incremental_deployment_8")
    content, expected = path.read_bytes(), inspect(path)
    data = content.index(b".xml")
    descriptor = content.index(b"PK\x07\x08", data)
    assert content[descriptor + 16 :].startswith(b"PK\x03\x04")
    for bit in range(data * 8, (descriptor + 16) * 8, 7):
        assert _flipped_is_refused_or_equal(content, bit, expected) or bit < descriptor * 8


def test_a_directory_that_swallows_its_rest_is_refused() -> None:
    """One flipped bit of a comment's length makes readers skip all entries behind it without a word."""
    names = [f"data/projects/p/job/{letter}.xml" for letter in "abcdef"]
    content = bytearray(packed(METADATA | {name: job(name[-5]) for name in names}))
    third = content.index(b"PK\x01\x02", content.index(names[1].encode(), content.index(b"PK\x01\x02")))
    content[third + 33] ^= 4
    assert len(zipfile.ZipFile(io.BytesIO(content)).namelist()) == 4
    with pytest.raises(ArchiveError, match=r"directory is damaged \(4 entries instead of 7\)"):
        inspect(Memory(bytes(content)))


def test_a_damaged_header_of_a_folder_is_refused_since_readers_may_stumble_over_it() -> None:
    content = bytearray(TYPICAL)
    content[8] ^= 1
    with pytest.raises(ArchiveError, match='"data/projects/" in the export is damaged'):
        inspect(Memory(bytes(content)))


# --- were passwords changed?

VDP = ("dataSource", "vertrieb süd", "vdp")
PREPARE = ("job", "vertrieb süd", "prepare")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, SecretsChange()),
        ({"vdp": source("vdp", "bmV3")}, SecretsChange(frozenset({VDP}))),
        ({"load": None, "vdp": source("vdp", "bmV3")}, SecretsChange(frozenset({VDP}))),
        ({"a_b": job("a/b ✓", query="select 2")}, SecretsChange()),
        (
            {"vdp": source("vdp", "c2FsdA=="), "prepare": job("prepare", zip_password="cGVwcGVy")},
            SecretsChange(hidden=True),
        ),
        (
            {"vdp": source("vdp", "c2FsdA=="), "prepare": job("prepare")},
            SecretsChange(frozenset({PREPARE}), hidden=True),
        ),
    ],
    ids=["equal", "one", "one, and a job removed", "none, and a job changed", "all", "all, and one cleared"],
)
def test_changed_secrets(changes: dict[str, str | None], found: SecretsChange) -> None:
    """Where all differ, the server salts them, and a change cannot be seen."""
    assert changed_secrets(CONTENTS, contents(changed(**changes))) == found


def test_a_password_set_or_cleared_is_a_change_even_where_it_is_the_only_one() -> None:
    entries = {"data/projects/p/dataSource/a.xml": source("a", ""), **METADATA}
    without = contents(entries)
    given_one = contents(entries | {"data/projects/p/dataSource/a.xml": source("a", "eA==")})
    for old, new in ((without, given_one), (given_one, without)):
        assert changed_secrets(old, new) == SecretsChange(frozenset({("dataSource", "p", "a")}))


# --- limited to the scope


def test_filter_keeps_what_is_in_scope_byte_by_byte() -> None:
    destination = io.BytesIO()
    result = filter_archive(Memory(TYPICAL), CONTENTS, destination, Scope(projects=("vertrieb*",), jobs=("load",)))
    with zipfile.ZipFile(destination) as limited, zipfile.ZipFile(io.BytesIO(TYPICAL)) as whole:
        assert sorted(limited.namelist()) == [
            "data/projects/",
            "data/projects/Vertrieb Süd/",
            "data/projects/Vertrieb Süd/dataSource/vdp.xml",
            "data/projects/Vertrieb Süd/description.txt",
            "data/projects/Vertrieb Süd/job/load.xml",
            "data/resources/drivers/driver.jar",
            "data/resources/permissions/permissions.properties",
            "data/server-metadata.properties",
        ]
        assert all(limited.read(name) == whole.read(name) for name in limited.namelist())
    found = inspect(Memory(destination.getvalue()))
    assert (found.version, found.elements) == (result.contents.version, result.contents.elements)
    assert found.content_hash == result.contents.content_hash != CONTENTS.content_hash
    sales = [JobKey(project="Vertrieb Süd", name=name) for name in ("load", "prepare")]
    assert result.outside_dependencies == ((sales[0], sales[1]),)


def test_filter_reports_no_dependency_that_is_in_scope_or_nowhere() -> None:
    content = packed(changed(prepare=job("prepare", after="deleted long ago")))
    scope = Scope(jobs=("load", "prepare"))
    result = filter_archive(Memory(content), inspect(Memory(content)), io.BytesIO(), scope)
    assert result.outside_dependencies == ()


def test_filter_refuses_patterns_that_match_nothing() -> None:
    destination = io.BytesIO()
    with pytest.raises(ScopeError, match=r'Project pattern "sales" matches no project.*: hr, Vertrieb Süd\.'):
        filter_archive(Memory(TYPICAL), CONTENTS, destination, Scope(projects=("hr", "sales")))
    assert destination.getvalue() == b""


def test_filter_of_a_genuine_file() -> None:
    path = genuine("incremental_deployment_8")
    destination = io.BytesIO()
    result = filter_archive(path, inspect(path), destination, Scope(jobs=("job_d*",)))
    found = inspect(Memory(destination.getvalue()))
    assert (found.version, found.elements) == (result.contents.version, result.contents.elements)
    assert [key.name for key in found.jobs] == ["job_deploy_revision", "job_desc_vql"]
    assert found.counts["dataSources"] == 2
    assert [(job.name, other.name) for job, other in result.outside_dependencies] == [
        ("job_desc_vql", "job_export_folders")
    ]


# --- cut down


def cut(content: bytes, names: set[str], **options: Any) -> tuple[bytes, ArchiveContents]:
    destination = io.BytesIO()
    found = inspect(Memory(content))
    kept = cut_archive(Memory(content), found, destination, lambda each: each.name in names, **options)
    return destination.getvalue(), kept


def test_a_cut_holds_what_is_kept_and_the_texts_and_folders_of_its_projects() -> None:
    content, kept = cut(TYPICAL, {"load"})
    with zipfile.ZipFile(io.BytesIO(content)) as limited, zipfile.ZipFile(io.BytesIO(TYPICAL)) as whole:
        assert sorted(limited.namelist()) == [
            "data/projects/",
            "data/projects/Vertrieb Süd/",
            "data/projects/Vertrieb Süd/description.txt",
            "data/projects/Vertrieb Süd/job/load.xml",
            "data/server-metadata.properties",
        ]
        assert all(limited.read(name) == whole.read(name) for name in limited.namelist())
    assert inspect(Memory(content)).elements == kept.elements
    assert {each.name for each in kept.elements} == {"load", "Vertrieb Süd"}


def test_a_cut_without_elements_still_is_an_archive_of_a_scheduler() -> None:
    content, kept = cut(TYPICAL, set())
    assert kept.elements == ()
    with zipfile.ZipFile(io.BytesIO(content)) as limited:
        assert sorted(limited.namelist()) == ["data/projects/", "data/server-metadata.properties"]


def test_a_cut_keeps_the_folder_of_an_empty_project_that_is_asked_for() -> None:
    content = packed(typical() | {"data/projects/empty/": "", "data/projects/unasked/": ""})
    limited, _ = cut(content, {"load", "empty"})
    with zipfile.ZipFile(io.BytesIO(limited)) as archive:
        assert "data/projects/empty/" in archive.namelist()
        assert "data/projects/unasked/" not in archive.namelist()


def test_a_cut_is_rewritten_only_where_it_is_asked() -> None:
    asked: list[str] = []

    def rewrite(each: Element, xml: bytes) -> bytes:
        asked.append(each.name)
        return xml.replace(b"select 1", b"select 'longer'")

    content, _ = cut(TYPICAL, {"load", "vdp", "data/resources/drivers/driver.jar"}, rewrite=rewrite)
    assert sorted(asked) == ["load", "vdp"]
    with zipfile.ZipFile(io.BytesIO(content)) as limited, zipfile.ZipFile(io.BytesIO(TYPICAL)) as whole:
        changed_entries = {name for name in limited.namelist() if limited.read(name) != whole.read(name)}
        assert changed_entries == {"data/projects/Vertrieb Süd/job/load.xml"}
        assert b"select 'longer'" in limited.read("data/projects/Vertrieb Süd/job/load.xml")
        assert limited.testzip() is None
    inspect(Memory(content))


@settings(max_examples=25)
@given(
    names=st.sets(st.sampled_from(["load", "prepare", "a/b ✓", "vdp", "data/resources/drivers/driver.jar"])),
    compression=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_every_cut_is_read_by_inspect_and_by_a_server(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], compression: int
) -> None:
    content, kept = cut(packed(typical(), compression=compression), names)
    in_projects = {each for each in names if "resources" not in each}
    if in_projects:
        assert inspect(Memory(content)).elements == kept.elements
    assert {each.name for each in kept.elements if each.kind != "project"} == names
    path = tmp_path_factory.mktemp("cut") / "cut.zip"
    path.write_bytes(content)
    export = read_export(path)
    assert {each.name for each in export.elements} == in_projects
    sales = {"load", "prepare", "vdp"} & names
    assert export.projects == {
        **({"Vertrieb Süd": "Täglich"} if sales else {}),
        **({"hr": None} if "a/b ✓" in names else {}),
    }


def test_a_cut_of_a_genuine_file() -> None:
    path = genuine("incremental_deployment_8")
    found = inspect(path)
    destination = io.BytesIO()
    kept = cut_archive(path, found, destination, lambda each: each.name == "job_desc_vql")
    assert inspect(Memory(destination.getvalue())).elements == kept.elements
    assert [key.name for key in kept.jobs] == ["job_desc_vql"]


def test_large_files_are_read_a_piece_at_a_time() -> None:
    """No read asks for more than a piece, so memory does not grow with the drivers in the export."""
    asked: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            asked.append(len(data))
            return data

    class Path_:
        def open(self, mode: str = "rb", /) -> IO[bytes]:
            return Counting(content)

    driver = bytes(range(256)) * 4096 * 4
    content = packed(typical() | {"data/resources/drivers/big.jar": driver}, compression=zipfile.ZIP_STORED)
    found = inspect(Path_())
    filter_archive(Path_(), found, io.BytesIO(), Scope(projects=("hr",)))
    assert len(driver) > 4_000_000
    assert max(asked) <= 300_000
