"""Failovers in a real Airflow with four real processes each, and SIGKILL."""
