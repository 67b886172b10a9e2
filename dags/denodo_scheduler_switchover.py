"""One switchover DAG for each pair of the file of pairs. (Airflow looks only into files that mention its name.)"""

from denodo_scheduler.dags.shared import dags
from denodo_scheduler.dags.switchover import switchover_dag

globals().update(dags(switchover_dag))
