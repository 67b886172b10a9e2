"""``denodo-ha init``: a file of pairs to begin with, and what Airflow has to be told of it."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import denodo_ha
from denodo_cli.options import CliError
from denodo_ha.pairs_file import TEMPLATE

BUNDLE = {
    "name": "denodo_scheduler",
    "classpath": "denodo_scheduler.bundle.DenodoSchedulerDagBundle",
    "kwargs": {},
}
"""The DAG bundle of this package."""
BUNDLES = [
    {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}},
    BUNDLE,
]
"""Airflow's own DAG bundle, and that of this package."""
SCHEMA = Path(denodo_ha.__file__).parent / "pairs.schema.json"

_SAID = """\
Wrote {pairs}, which explains every option, and {schema}, by which editors check it.

1. Name the servers: the connections of the pair `default` are denodo_scheduler_master and denodo_scheduler_slave.
2. Tell all components of Airflow of the file and of the DAGs, by environment variables

AIRFLOW__DENODO_HA__PAIRS={pairs}
AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST='{bundles}'

   or in airflow.cfg:

[denodo_ha]
pairs = {pairs}

[dag_processor]
dag_bundle_config_list = {bundles}

   Where Airflow has a list of DAG bundles already, add the one named denodo_scheduler to it.
3. After each change: denodo-ha check-config {pairs}"""


def add_init(commands: Any) -> None:
    parser = commands.add_parser("init", help="write a file of pairs to begin with, and say what Airflow needs")
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", nargs="?", default=Path(), help="default: the current folder"
    )
    parser.set_defaults(run=_init)


def _init(args: argparse.Namespace) -> int:
    """Write the file of pairs with its schema beside it, both or none, and never over another one.

    :raises CliError: one of them is there.
    """
    folder = args.folder.absolute()
    pairs, schema = folder / TEMPLATE.name, folder / SCHEMA.name
    if there := [str(file) for file in (pairs, schema) if file.exists()]:
        raise CliError(f"{' and '.join(there)} is there already, and stays. Name another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    schema.write_bytes(SCHEMA.read_bytes())
    text = TEMPLATE.read_text(encoding="utf-8")
    pairs.write_text(re.sub(r"(?m)\$schema=\S+", f"$schema={schema.name}", text, count=1), encoding="utf-8")
    print(_SAID.format(pairs=pairs, schema=schema.name, bundles=json.dumps(BUNDLES)))
    return 0
