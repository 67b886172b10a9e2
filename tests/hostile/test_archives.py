"""Whatever is called an export file: the contents or a typed error, in bounded time and memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import pytest

from denodo_ha.snapshot.archive import METADATA, ArchiveError, cut_archive, inspect
from support.hostile_archives import BAD, GOOD, JOB, NAME, PATH, VERSION, File, packed
from support.hostile_server import peak_memory


def test_a_good_one_is_read() -> None:
    assert [str(job) for job in inspect(File(GOOD)).jobs] == ["sales / load"]
    assert inspect(File(packed({METADATA: VERSION, PATH: JOB % NAME}, comment=b"a comment"))).version == "9.1.0"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused(name: str) -> None:
    source = File(BAD[name]())
    said: list[str] = []

    def read() -> None:
        with pytest.raises(ArchiveError) as caught:
            inspect(source)
        said.append(str(caught.value))

    assert peak_memory(read) < 150
    assert "\n" not in said[0]
    assert len(said[0]) < 5000


def test_many_folders_are_cut_in_time() -> None:
    """Each folder is looked up, not compared with every file that is kept."""
    entries = {METADATA: VERSION, PATH: JOB % NAME}
    for number in range(4_000):
        entries |= {f"drivers/{number}/": b"", f"drivers/{number}/x.jar": b"x"}
    source = File(packed(entries, method=zipfile.ZIP_STORED))
    made = io.BytesIO()
    contents = inspect(source)
    kept = cut_archive(source, contents, made, lambda element: not element.name.endswith("7/x.jar"))
    with zipfile.ZipFile(made) as archive:
        assert "drivers/6/" in archive.namelist()
        assert "drivers/7/" not in archive.namelist()
    assert len(kept.elements) == 3_601


def _cuts(content: bytes) -> Iterator[bytes]:
    for at in range(1, len(content), 7):
        yield content[:at]
        yield content[:at] + content[at + 1 :]
        yield content[:at] + content[:at] + content[at:]


def test_no_way_to_cut_it_is_anything_but_refused() -> None:
    for each in _cuts(GOOD):
        with pytest.raises(ArchiveError):
            inspect(File(each))
