from __future__ import annotations

from pathlib import Path

import pytest

from support import wheel


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheel and source distribution of both distributions."""
    return wheel.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def project_wheel(built: list[Path]) -> Path:
    (found,) = (file for file in built if file.match("airflow_denodo_scheduler_ha-*.whl"))
    return found


@pytest.fixture(scope="session")
def standin_wheel(built: list[Path]) -> Path:
    (found,) = (file for file in built if file.match("denodo_scheduler_standin-*.whl"))
    return found
