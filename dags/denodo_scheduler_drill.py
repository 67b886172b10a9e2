"""One drill DAG for each pair with a `drill_schedule`.

(Airflow looks only into files that mention its name.)
"""

from denodo_scheduler.dags.drill import drill_dag
from denodo_scheduler.dags.shared import dags

globals().update(dags(drill_dag))
