#!/bin/sh
# Like the entrypoint of the image postgres when it is started as the user postgres.
set -eu
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
    initdb --pgdata $data --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --auth-host scram-sha-256 \
        --encoding UTF8 --locale C.UTF-8 >/dev/null
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
    pg_ctl --pgdata $data --options "-c listen_addresses=" --wait start >/dev/null
    createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --pgdata $data --mode fast --wait stop >/dev/null
fi
exec postgres -D $data -c listen_addresses='*'
