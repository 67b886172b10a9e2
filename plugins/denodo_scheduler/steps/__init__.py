"""The high-availability steps of a pair: what the DAGs' tasks do, apart from Airflow's machinery around them."""
