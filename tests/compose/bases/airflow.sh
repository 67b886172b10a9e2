#!/bin/sh
# Like the entrypoint of apache/airflow, as far as the compose file uses it.
if [ "${CONNECTION_CHECK_MAX_COUNT:-20}" != 0 ]; then airflow db check || exit 1; fi
umask 0002
if [ "$1" = bash ]; then exec "$@"; fi
if [ "$1" = airflow ]; then shift; fi
exec airflow "$@"
