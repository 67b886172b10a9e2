#!/bin/sh
# Write .env for docker-compose.yaml, with fresh secrets and readable by its owner only. An existing one is left unchanged.
set -eu
if [ -e .env ]; then
    echo "There is a .env already; it is left unchanged. To begin anew: make down, remove .env, and remove the volumes, whose" \
        "database keeps the old password (docker compose --profile '*' down --volumes)." >&2
    exit 0
fi

secret() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }

standin_password=$(secret 16)
umask 077
cat > .env.new <<END
# Settings of docker-compose.yaml, written by "make env". Keep it secret, and keep a copy: without FERNET_KEY the secrets that
# Airflow has encrypted cannot be read.

# What runs beside Airflow: standin, a stand-in pair; celery, Redis and two workers; s3, a stand-in for S3; monitoring, Prometheus
# and Grafana, together with AIRFLOW__METRICS__STATSD_ON=True.
COMPOSE_PROFILES=standin
# LocalExecutor; or CeleryExecutor, together with the profile celery.
EXECUTOR=LocalExecutor
# The folder with pairs.yaml, which names the servers: yours, or ./deploy/compose/standin-s3 (needs the profile s3).
PAIRS_FOLDER=./deploy/compose/standin

# Where Airflow's interface listens. Its user is admin.
AIRFLOW_ADDRESS=127.0.0.1
AIRFLOW_PORT=8080
ADMIN_PASSWORD=$(secret 10)

FERNET_KEY=$(key)
JWT_SECRET=$(secret 32)
API_SECRET_KEY=$(secret 32)
POSTGRES_PASSWORD=$(secret 16)
REDIS_PASSWORD=$(secret 16)
STANDIN_PASSWORD=$standin_password

# Further settings and connections of Airflow, AIRFLOW__… and AIRFLOW_CONN_…. Replace these two, the stand-in pair, by yours.
AIRFLOW_CONN_DENODO_SCHEDULER_MASTER='{"conn_type": "denodo_scheduler", "schema": "http", "host": "standin-master-webtool", "port": 9090, "login": "admin", "password": "$standin_password", "extra": {"scheduler_uri": "//standin-master:8000"}}'
AIRFLOW_CONN_DENODO_SCHEDULER_SLAVE='{"conn_type": "denodo_scheduler", "schema": "http", "host": "standin-slave-webtool", "port": 9090, "login": "admin", "password": "$standin_password", "extra": {"scheduler_uri": "//standin-slave:8000"}}'
# The stand-in for S3, used with the profile s3 only.
AIRFLOW_CONN_AWS_DEFAULT='{"conn_type": "aws", "login": "standin", "password": "standin", "extra": {"endpoint_url": "http://s3:5000", "region_name": "us-east-1"}}'
END
mv .env.new .env
echo "Wrote .env with fresh secrets. Now: make up"
