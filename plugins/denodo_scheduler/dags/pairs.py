"""What is wrong with the pairs of this Airflow: as the import error of a DAG file without DAGs, and as alerts.

A DAG file that raises loses all its DAGs at once, those of the other pairs included. So the DAG files leave out what
cannot be built, and ``dags/denodo_scheduler_pairs.py`` says why.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from denodo_ha.alerts import wrong_pair_event
from denodo_ha.decisions import Alert
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import PairsError, read_pairs
from denodo_ha.pairs_options import AlertsOptions
from denodo_scheduler.alerts import notifiers, notify
from denodo_scheduler.bundle import FOLDER, DenodoSchedulerDagBundle
from denodo_scheduler.dags.drill import drill_dag
from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.switchover import switchover_dag
from denodo_scheduler.dags.sync import sync_dag
from denodo_scheduler.settings import pairs_path

log = logging.getLogger(__name__)


def check(dag_file: str | None = None) -> None:
    """Do nothing where all pairs are right.

    :param dag_file: the DAG file that asks, as Airflow names it; one of an older copy does not say.
    :raises PairsError: with all that is wrong in the file of pairs, and with the pairs' notifiers and DAGs, or because
        the DAG files are in a folder and in the DAG bundle of this package at once.
    """
    file = pairs_path()
    read = read_pairs(file)
    problems = [str(read.error)] if read.error else []
    if dag_file and (twice := _loaded_twice(Path(dag_file).parent)):
        problems.append(twice)
    problems += [f"{file}: pairs.{pair.name}: {said}" for pair in read.pairs.values() if (said := _problem(pair))]
    if problems:
        raise PairsError("\n".join(problems))


def _loaded_twice(folder: Path) -> str | None:
    """Return what is wrong where Airflow has these DAG files in ``folder`` and in the bundle, if so.

    It would keep no such DAG in one place: at each reading of a file the DAG moves to the other bundle, with a new
    version of the DAG after each run, and `airflow dags reserialize` fails.
    """
    from airflow.sdk.configuration import conf

    listed = conf.get("dag_processor", "dag_bundle_config_list", fallback="") or ""
    if folder == FOLDER or f"{DenodoSchedulerDagBundle.__module__}.{DenodoSchedulerDagBundle.__name__}" not in listed:
        return None
    return (
        f"{folder}: these DAG files are in the DAG bundle of the package too, so each DAG has two files. Remove this "
        f"folder, or take DenodoSchedulerDagBundle out of the option dag_bundle_config_list of Airflow."
    )


def tell() -> None:
    """Notify of each pair that is wrong: through its own notifiers, or, where it has none that can be read, through
    those of the others.
    """
    read = read_pairs(pairs_path())
    others = {str(each): each for pair in read.pairs.values() for each in pair.alerts.notify}
    for name, alerts in read.wrong.items():
        pair = Pair(name=name, alerts=alerts if alerts.notify else AlertsOptions(notify=tuple(others.values())))
        _tell(pair, f"the pair has no DAGs any more, and nothing fails over, because of {read.error}")
    for pair in read.pairs.values():
        if said := _problem(pair):
            _tell(pair, said)


def _tell(pair: Pair, what: str) -> None:
    log.error("Pair %s: %s", pair.name, what)
    notify(pair, Alert.BLOCKED, wrong_pair_event(pair.name, what, datetime.now(UTC)), {})


def _problem(pair: Pair) -> str | None:
    """Return why not all DAGs of a pair can be built, or not all its notifiers, if so."""
    try:
        notifiers(pair)
        for build in (drill_dag, failover_dag, operations_dag, switchover_dag, sync_dag):
            build(pair)
    except Exception as error:
        return str(error) or repr(error)
    return None
