"""One sync DAG for each pair of the file of pairs. (Airflow looks only into files that mention its name.)"""

from denodo_scheduler.dags.shared import dags
from denodo_scheduler.dags.sync import sync_dag

globals().update(dags(sync_dag))
