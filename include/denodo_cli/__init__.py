"""``denodo-ha``: state and history of a pair for people and monitoring systems, read through Airflow's REST API."""
