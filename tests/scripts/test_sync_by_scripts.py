"""A whole sync with export and import by the scripts, judged by the servers, whose web tools know no REST export."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from denodo_demo.standin import PASSWORD
from denodo_standin.params import Element
from denodo_standin.vendor_scripts import encrypt_password
from support.delivery import audit, channels, definition, job, put, source
from support.sync import NIGHTLY, Books, Sync, add_job, crons, enabled, states

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scripts.conftest import Home, Via

NO_REST_EXPORT = [
    {"kind": "status", "status": 404, "match": {"path": "serverMetadata"}},
    {"kind": "status", "status": 404, "match": {"path": "api-docs"}},
]
"""What a web tool of before the REST export answers."""


@pytest.fixture
def old(sync: Sync, home: Home, via: Via, temporary: Path, connect: Callable[..., None]) -> Sync:
    """A pair without REST export, whose connections say ``scripts``."""
    from tests.scripts.conftest import scripts_extra

    for server in sync.servers.servers:
        server.webtool.faults(*NO_REST_EXPORT)
        connect(server, extra={"scheduler_uri": server.uri, **scripts_extra(home, via, PASSWORD)})
    return sync


def test_a_sync_of_servers_without_rest_export(old: Sync, temporary: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    slave = Books(old.slave)
    out = old.synced()
    assert crons(old.slave) == crons(old.master)
    assert enabled(old.slave) == set()
    assert len(enabled(old.master)) == 9
    assert slave.journal == []

    add_job(old.master, "Sales", "Load new", NIGHTLY)
    assert old.run().committed
    assert states(old.slave)["Sales / Load new"] == "DISABLED"
    assert not [name for name in old.slave.webtool.requests() if "serverMetadata" in name]
    written = json.dumps([out._xcom, out.events, old.state.values]) + caplog.text
    for form in (encrypt_password(PASSWORD).removeprefix("encrypted:"), PASSWORD):
        assert form not in written
    assert list(temporary.iterdir()) == []


def test_unchanged_metadata_is_not_imported(old: Sync, home: Home) -> None:
    old.synced()
    home.script("import", "exit 1")
    assert old.synced().code("import_metadata") == "unchanged"


def test_a_changed_job_with_a_secret_goes_alone_in_an_archive_of_its_own(old: Sync) -> None:
    old.rest = True
    _put(old, source(), job("sealed", sealed="s"))
    old.synced()
    _put(old, job("sealed", sealed="s", description="changed"))
    slave = Books(old.slave)
    out = old.synced()
    assert channels(out) == ["archive"]
    assert {name for name, *_ in audit(slave)} == {"Sales / sealed"}
    assert states(old.slave)["Sales / sealed"] == "DISABLED"
    assert definition(old.slave, "Sales / sealed")["description"] == "changed"
    assert not [name for name in old.slave.webtool.requests() if "serverMetadata" in name]


def _put(old: Sync, *elements: Element) -> None:
    """People change the master, as the administration tool does."""
    old.master.webtool.faults()
    put(old.master, *elements)
    old.master.webtool.faults(*NO_REST_EXPORT)


@pytest.mark.parametrize("via", ["local"], indirect=True)
class TestAnImportOfUnknownEnd:
    def test_that_fails_after_the_import_is_disabled_and_repeated_later(self, old: Sync, home: Home) -> None:
        script = home.script("import", '"$real" "$@"; exit 1')
        out = old.run()
        assert out.code("import_metadata") == "import_unanswered"
        assert enabled(old.slave) == set()
        assert old.record.dirty is not None
        (home.scripts / "real-import.sh").rename(script)
        assert old.run().committed

    def test_that_was_never_begun_leaves_no_trace(self, old: Sync, home: Home) -> None:
        """What ``check_import`` finds is found before the intent is written."""
        home.script("ping", "exit 1")
        out = old.run()
        assert out.code("import_metadata") == "RequestError"
        assert states(old.slave) == {}
        assert old.record.operation is None
        assert old.record.dirty is None
