"""One operations DAG for each pair of the file of pairs. (Airflow looks only into files that mention its name.)"""

from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.shared import dags

globals().update(dags(operations_dag))
