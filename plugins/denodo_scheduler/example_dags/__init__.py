"""Example DAGs, to copy and to change; ``docs/examples.md`` says what each shows. Airflow does not load them here."""
