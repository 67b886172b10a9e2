"""No DAG, but the mistakes in the file of pairs, as the import error of this file.

(Airflow looks only into files that mention its name. An error in a file with DAGs would take those of all pairs along.)
"""

from denodo_scheduler.dags.pairs import check

check(__file__)
