"""Data sources hold the address of their own site on both servers, whichever is copied."""

from __future__ import annotations

import pytest

from support.delivery import SMALL, channels, data_source, fail_over, put, refill, source, time_goes_on
from support.sync import Books, Sync, act, enabled

ADDRESS = "*.dataSource.VDP.*.connectionURI"
A, B = "//vdp-a:9999/admin", "//vdp-b:9999/admin"


@pytest.fixture
def sites(small: Sync) -> Sync:
    """A pair across two sites."""
    small.options["properties"] = {"master": {ADDRESS: A}, "slave": {ADDRESS: B}}
    refill(small.master, *SMALL)
    return small


def addresses(sync: Sync) -> tuple[str, str]:
    return data_source(sync.master)["connectionURI"], data_source(sync.slave)["connectionURI"]


def test_each_server_has_its_own_address_and_a_second_sync_finds_nothing(sites: Sync) -> None:
    sites.synced()
    assert addresses(sites) == (A, B)
    assert sites.synced().code("import_metadata") == "unchanged"
    assert addresses(sites) == (A, B)


def test_the_secret_of_a_data_source_arrives_all_the_same(sites: Sync) -> None:
    """Only the address is rewritten."""
    sites.synced()
    found, wanted = data_source(sites.slave), data_source(sites.master)
    own = {"id", "projectId", "connectionURI"}
    assert {key: each for key, each in found.items() if key not in own} == {
        key: each for key, each in wanted.items() if key not in own
    }


def test_a_property_that_was_changed_is_delivered_alone(sites: Sync) -> None:
    sites.synced()
    sites.options["properties"] = {"master": {ADDRESS: A}, "slave": {ADDRESS: "//vdp-c:9999/admin"}}
    slave = Books(sites.slave)
    assert channels(sites.synced()) == ["resources"]
    assert addresses(sites) == (A, "//vdp-c:9999/admin")
    assert slave.audit == []


def test_a_wrong_address_on_the_slave_is_found_and_corrected(sites: Sync) -> None:
    sites.synced()
    put(sites.slave, source(A))
    assert channels(sites.synced()) == ["resources"]
    assert addresses(sites) == (A, B)


def test_an_address_that_somebody_changes_before_verify_is_not_committed(sites: Sync) -> None:
    out = sites.run(between={"verify": lambda: put(sites.slave, source(A))})
    assert out.code("verify") == "not_verified"
    assert "Sales / VDP (connectionURI)" in out.message("verify")
    sites.synced()
    assert addresses(sites) == (A, B)


def test_a_re_protect_gives_the_master_its_own_address(sites: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    sites.synced()
    fail_over(sites)
    time_goes_on(sites, monkeypatch, sites.master)
    put(sites.slave, source(B, name="another"))
    sites.run(reprotect=True, master_changes=True)
    assert sites.record.dirty is None
    assert data_source(sites.master, "another")["connectionURI"] == A
    assert addresses(sites) == (A, B)


def test_the_whole_archive_is_rewritten_too(sites: Sync) -> None:
    sites.slave.scheduler.guesses(replace_everything=True)
    put(sites.slave, *SMALL)
    act(sites.slave, "disable", *enabled(sites.slave))
    assert "whole" in channels(sites.synced())
    assert addresses(sites) == (A, B)


@pytest.mark.parametrize("known", [False, True], ids=["no properties", "properties"])
def test_an_address_of_the_other_server_is_named_where_the_pair_says_nothing_of_sites(
    small: Sync, caplog: pytest.LogCaptureFixture, known: bool
) -> None:
    refill(small.master, *SMALL)
    put(small.master, source("//127.0.0.1:9999/admin"))
    if known:
        small.options["properties"] = {"master": {ADDRESS: A}, "slave": {ADDRESS: B}}
    small.synced()
    said = "data sources lead to 127.0.0.1, the machine of the master, and would do so on the slave too: Sales / VDP"
    assert (said in caplog.text) is not known


def test_a_property_that_fits_no_data_source_is_named(sites: Sync, caplog: pytest.LogCaptureFixture) -> None:
    wrong = {"sales.dataSource.VDP.vpd.connectionURI": B}
    sites.options["properties"] = {"master": wrong, "slave": wrong}
    sites.synced()
    assert "fit no data source of the master: sales.dataSource.VDP.vpd.connectionURI." in caplog.text
