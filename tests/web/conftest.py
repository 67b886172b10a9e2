"""One API server for all tests of the page."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# before anything reads Airflow's configuration
os.environ.setdefault(
    "AIRFLOW__API_AUTH__JWT_SECRET", "a secret of these tests that is long enough for every algorithm of them all"
)

from support import page


@pytest.fixture(scope="session")
def airflow() -> page.Airflow:
    return page.Airflow()


@pytest.fixture(autouse=True)
def empty(airflow: page.Airflow) -> Iterator[None]:
    page.clear()
    page.healthy()
    yield
    page.clear()
