"""One failover DAG for each pair, see docs/deployment.md. (Airflow looks only into files that mention its name.)"""

from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.shared import dags

globals().update(dags(failover_dag))
