"""The operators of the tasks of our DAGs, under names of their own: by these the links *Pair* and *What to do* of
:mod:`denodo_scheduler.links` are those of our tasks, and of no other DAG's.
"""

from __future__ import annotations

from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync

from denodo_scheduler.sensors.quiet_window import DenodoSchedulerQuietWindowSensor


class StepOperator(PythonOperator):
    """A step of a pair."""


class BranchStepOperator(BranchPythonOperator):
    """A step that chooses which one follows."""


class ShortCircuitStepOperator(ShortCircuitOperator):
    """A step that decides whether others follow."""


class WaitForMomentSensor(DateTimeSensorAsync):
    """The wait for a moment in which a job can be imported."""


class WaitForQuietWindowSensor(DenodoSchedulerQuietWindowSensor):
    """The wait for a quiet window."""
