#!/bin/sh
# Write .env, airflow.env and the folder secrets for docker-compose.yaml, kept from others. What exists is left unchanged, except a
# .env of older versions, which held all of it: its settings and secrets are moved to where they are looked for now.
set -eu
umask 077

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }
fresh() { printf '%s' "$2" | keep "secrets/$1"; }
was() { printf '%s\n' "$old" | sed -n "s/^$2=//p" | tail -n 1 | tr -d '\n' | keep "secrets/$1"; }
keep() { # FILE: what comes by standard input, unless there is one or nothing comes
    [ ! -e "$1" ] || return 0
    cat >"$1.new"
    if [ -s "$1.new" ]; then mv "$1.new" "$1"; else rm "$1.new"; fi
}

# Print the values of .env as Compose reads them: NAME=value for each line; or end with 1, and name each line with a value that
# only Compose can read, such as one with an escape, a variable or a line end.
values() {
    awk -v quote="'" '
        { sub(/\r$/, ""); sub(/^[ \t]*(export[ \t]+)?/, "") }
        /^(#|$)/ { next }
        {
            name = value = $0; sub(/=.*/, "", name); sub(/^[^=]*=/, "", value)
            literal = value ~ ("^" quote "[^" quote "]*" quote "[ \t]*(#.*)?$") || value ~ /^"[^"\\$]*"[ \t]*(#.*)?$/
            if (literal) { value = substr(value, 2); sub(substr($0, length(name) + 2, 1) "[ \t]*(#.*)?$", "", value) }
            else sub(/[ \t]+(#.*)?$/, "", value)
            if ($0 !~ /^[A-Za-z_][A-Za-z0-9_]*=/ || (!literal && value ~ ("[$]|^[\"" quote "]"))) {
                if (name !~ /^[A-Za-z0-9_]+$/) name = "no setting" # it may be a part of a secret
                print "line " NR " of .env: " name > "/dev/stderr"; failed = 1
            } else print name "=" value
        }
        END { exit failed }
    ' .env
}

if [ -e .env ] && ! grep -Eq '^[[:space:]]*(export[[:space:]]+)?FERNET_KEY=' .env; then
    echo "There is a .env already; it is left unchanged. To begin anew: make down, remove .env, airflow.env and secrets, and remove" \
        "the volumes, whose database keeps the old password (docker compose --profile '*' down --volumes)." >&2
    exit 0
fi

settings=
old=
if [ -e .env ]; then
    old=$(values) || {
        echo "These lines cannot be moved, and nothing was changed. Write each as NAME='value', on one line and without a single" \
            "quote in the value, or remove it here and add it by hand afterwards; then run make env again." >&2
        exit 1
    }
fi
mkdir -p secrets
if [ -e .env ]; then
    was admin_password ADMIN_PASSWORD
    was api_secret_key API_SECRET_KEY
    was fernet_key FERNET_KEY
    was jwt_secret JWT_SECRET
    was postgres_password POSTGRES_PASSWORD
    was redis_password REDIS_PASSWORD
    was standin_password STANDIN_PASSWORD
    # JSON is YAML already; an address is quoted.
    printf '%s\n' "$old" | sed -n 's/^AIRFLOW_CONN_//p' | while IFS= read -r line; do
        value=${line#*=}
        case $value in
        "{"*) ;;
        *) value="'$(printf '%s' "$value" | sed "s/'/''/g")'" ;;
        esac
        printf '%s: %s\n' "$(printf '%s' "${line%%=*}" | tr '[:upper:]' '[:lower:]')" "$value"
    done | keep secrets/connections.yaml
    lines=$(sed -E 's/^[[:space:]]*(export[[:space:]]+)?//' .env)
    settings=$(printf '%s\n' "$lines" | grep '^AIRFLOW__' || true)
fi

fresh admin_password "$(random 10)"
fresh api_secret_key "$(random 32)"
fresh fernet_key "$(key)"
fresh jwt_secret "$(random 32)"
fresh postgres_password "$(random 16)"
fresh redis_password "$(random 16)"
fresh standin_password "$(random 16)"
fresh backend_kwargs '{"connections_file_path": "/run/secrets/connections.yaml"}'
standin_password=$(cat secrets/standin_password)

keep secrets/connections.yaml <<END
# Airflow's connections, by their ids. After a change: docker compose restart api-server triggerer dag-processor
# These two are the stand-in pair. Replace them by yours.
denodo_scheduler_master:
  conn_type: denodo_scheduler
  schema: http
  host: standin-master-webtool
  port: 9090
  login: admin
  password: "$standin_password"
  extra: {scheduler_uri: "//standin-master:8000"}
denodo_scheduler_slave:
  conn_type: denodo_scheduler
  schema: http
  host: standin-slave-webtool
  port: 9090
  login: admin
  password: "$standin_password"
  extra: {scheduler_uri: "//standin-slave:8000"}
# The stand-in for S3, used with the profile s3 only.
aws_default:
  conn_type: aws
  login: standin
  password: standin
  extra: {endpoint_url: "http://s3:5000", region_name: us-east-1}
END

keep airflow.env <<END
# Settings of Airflow, AIRFLOW__SECTION__KEY=value: every component has all of them as environment variables. So no secret belongs
# here; docs/containers.md says where one does. After a change: make up
AIRFLOW__CORE__PARALLELISM=4
AIRFLOW__CELERY__WORKER_CONCURRENCY=4
# True, together with the profile monitoring of .env.
AIRFLOW__METRICS__STATSD_ON=False
AIRFLOW__METRICS__STATSD_HOST=statsd-exporter
AIRFLOW__METRICS__STATSD_PORT=9125
$settings
END

if [ -e .env ]; then
    # Last of all, so that what was interrupted before is done again.
    {
        printf '%s\n' "$lines" \
            | grep -E '^(COMPOSE_[A-Z_]+|EXECUTOR|PAIRS_FOLDER|AIRFLOW_ADDRESS|[A-Z]+_PORT|([A-Z0-9_]+_)?IMAGE)=' || true
        echo "SECRETS_FOLDER=./secrets"
    } >.env.new
    cp .env .env.old
    mv .env.new .env
    echo "The old .env is .env.old now. Its secrets and connections were moved into secrets, and Airflow's settings into airflow.env." \
        "If it set anything else for Airflow, such as a proxy, add that to airflow.env; then remove .env.old." >&2
    secret=$(printf '%s\n' "$settings" | sed -n 's/^\([A-Z0-9_]*\(PASSWORD\|SECRET\|TOKEN\|KEY\|_CONN\|KWARGS\|_URL\)[A-Z0-9_]*\)=.*/\1/p' | tr '\n' ' ')
    [ -z "$secret" ] || echo "Every component of Airflow still has these settings, which may be secrets: $secret" >&2
fi

keep .env <<END
# What Compose needs to know for docker-compose.yaml. No secret belongs here: they are in the folder secrets.

# What runs beside Airflow: standin, a stand-in pair; celery, Redis and two workers; s3, a stand-in for S3; monitoring, Prometheus
# and Grafana, together with AIRFLOW__METRICS__STATSD_ON=True in airflow.env.
COMPOSE_PROFILES=standin
# LocalExecutor; or CeleryExecutor, together with the profile celery.
EXECUTOR=LocalExecutor
# The folder with pairs.yaml, which names the servers: yours, or ./deploy/compose/standin-s3 (needs the profile s3).
PAIRS_FOLDER=./deploy/compose/standin
# A file for each secret. Keep a copy: without fernet_key the secrets that Airflow has encrypted cannot be read.
SECRETS_FOLDER=./secrets

# Where Airflow's interface listens. Its user is admin, with the password in secrets/admin_password.
AIRFLOW_ADDRESS=127.0.0.1
AIRFLOW_PORT=8080
END
# The folder keeps others out. Its files are readable, because each container sees some of them, as a user of its own.
chmod 644 secrets/*
echo "Wrote .env, airflow.env and the folder secrets. Now: make up"
