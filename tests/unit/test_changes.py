"""What a sync has to deliver."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import pytest

from denodo_ha.delivery.changes import changes
from denodo_ha.jobs import JobKey
from denodo_ha.snapshot.contents import ArchiveContents, Element

HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
DRIVER = Element(kind="resource", project=None, name="data/resources/d.jar", hash="d", entry="data/resources/d.jar")
TEXT = Element(kind="project", project="P", name="P", hash="t", entry="data/projects/P/description.txt")


def element(name: str, hash: str = "1", secrets: str | None = None, kind: str = "job") -> Element:
    return Element(kind=kind, project="P", name=name, hash=hash, secrets=secrets, entry=f"{kind}/{name}.xml")


def archive(*elements: Element) -> ArchiveContents:
    return ArchiveContents(version="9.1.0", elements=tuple(sorted(elements, key=lambda each: each.identity)))


def key(name: str) -> JobKey:
    return JobKey(project="p", name=name)


def found(
    committed: ArchiveContents | None,
    now: ArchiveContents,
    *,
    different: Collection[str] = (),
    missing: Collection[str] = (),
    sources: Collection[str] = (),
    dirty: bool = False,
    age: timedelta | None = HOUR,
) -> dict[str, str]:
    result = changes(
        committed=committed,
        now=now,
        different_on_target={key(name) for name in different},
        missing_on_target={key(name) for name in missing},
        sources_different={("p", name) for name in sources},
        dirty=dirty,
        last_import_age=age,
        secrets_refresh=DAY,
    )
    assert [each.element for each in result.items] == list(result.elements)
    assert sum(result.counts.values()) == len(result.items)
    return {each.element.name: each.why for each in result.items}


BEFORE = archive(element("a"), element("b"), element("vdp", kind="dataSource", secrets="s"), TEXT, DRIVER)


def test_nothing_changed_is_nothing_to_deliver() -> None:
    assert found(BEFORE, BEFORE) == {}


def test_added_and_changed_elements_of_every_kind_but_no_removed_ones() -> None:
    now = archive(
        element("b", "2"), element("c"), element("vdp", "2", "s", "dataSource"), TEXT.model_copy(update={"hash": "2"})
    )
    assert found(BEFORE, now) == {"b": "changed", "c": "new", "vdp": "changed", "P": "changed"}


def test_what_the_target_lacks_or_has_otherwise() -> None:
    result = found(BEFORE, BEFORE, different=["A"], missing=["B"], sources=["VDP"])
    assert result == {
        "a": "different on the target",
        "b": "missing on the target",
        "vdp": "missing or different on the target",
    }


def test_a_first_sync_onto_a_copied_slave_delivers_no_equal_job() -> None:
    now = archive(*BEFORE.elements, element("locked", secrets="s"), element("plain", kind="dataSource"))
    result = found(None, now, different=["b"], age=None)
    hidden = "with secrets, which may differ on the target"
    assert result == {"b": "different on the target", "locked": hidden, "vdp": hidden, "P": "new", DRIVER.name: "new"}
    assert set(found(None, now, missing=["a", "b", "locked"], sources=["vdp", "plain"], age=None)) == {
        each.name for each in now.elements
    }


class TestSecrets:
    OLD = archive(*(element(name, secrets=f"{name}1") for name in "abc"), element("open"))
    ONE = archive(element("a", secrets="a2"), *(element(name, secrets=f"{name}1") for name in "bc"), element("open"))
    SALTED = archive(*(element(name, secrets=f"{name}2") for name in "abc"), element("open"))

    def test_one_of_several_changed(self) -> None:
        assert found(self.OLD, self.ONE) == {"a": "secrets"}

    @pytest.mark.parametrize(("age", "count"), [(HOUR, 0), (DAY, 3), (None, 3)])
    def test_salted_ones_are_delivered_when_they_are_old(self, age: timedelta | None, count: int) -> None:
        result = found(self.OLD, self.SALTED, age=age)
        assert len(result) == count
        assert all(why.startswith("all secrets, which were last delivered ") for why in result.values())
        assert set(result) <= set("abc")

    def test_one_set_or_cleared_is_seen_among_salted_ones(self) -> None:
        now = archive(element("a"), *(element(name, secrets=f"{name}2") for name in "bc"), element("open", secrets="o"))
        assert found(self.OLD, now) == {"a": "secrets", "open": "secrets"}

    def test_a_changed_element_among_salted_ones_is_changed_only(self) -> None:
        now = archive(element("a", "2", "a2"), *(element(name, secrets=f"{name}2") for name in "bc"), element("open"))
        assert found(self.OLD, now) == {"a": "changed"}

    def test_on_a_dirty_target_all_are_delivered(self) -> None:
        result = found(self.OLD, self.OLD, dirty=True)
        assert result == dict.fromkeys("abc", "with secrets, which may differ on the target")
