"""The DAGs of all pairs as a DAG bundle of Airflow, for an installation that has no checkout of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.local import LocalDagBundle

_OF_THE_WHEEL, _OF_THE_REPOSITORY = Path(__file__).parent / "dag_files", Path(__file__).parents[2] / "dags"
FOLDER = _OF_THE_WHEEL if _OF_THE_WHEEL.is_dir() else _OF_THE_REPOSITORY
"""The folder with the DAG files."""


class DenodoSchedulerDagBundle(LocalDagBundle):
    """The DAG files of this package; an upgrade of the package brings the new ones.

    :param arguments: what Airflow gives to every bundle, such as its name. ``kwargs`` of
        ``[dag_processor] dag_bundle_config_list`` may be empty; ``refresh_interval`` (seconds) is possible there.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(path=str(FOLDER), **arguments)
