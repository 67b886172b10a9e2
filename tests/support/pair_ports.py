"""Ports for `denodo-standin pair` that no other test uses, nor takes between two starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from denodo_demo.processes import free_port
from denodo_standin import pair_files


def keep_ports(folder: Path) -> None:
    """Let ``folder`` hold what a first start would choose, with ports of this test's own."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_files, "_free_ports", lambda: {name: free_port() for name in pair_files._PORTS})
        pair_files.Kept.of(folder)
