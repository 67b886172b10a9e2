"""What a sync does to the two servers, judged by their states, audits and journals."""

from __future__ import annotations

from support.sync import Sync


def test_first_sync(sync: Sync) -> None:
    out = sync.run()
    assert out.ok, out.errors
    print(out)
