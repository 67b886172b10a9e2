#!/bin/sh
# An engine for `make test-compose` and Compose v2, on a Debian machine where there is none; run as root.
#   engine.sh start FOLDER   starts one with its data in FOLDER, where none answers yet
#   engine.sh stop FOLDER    stops the one that was started so
# Sourced by nothing: what is started answers at unix://FOLDER/docker.sock.
set -eu
folder=$2

start() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "No Docker engine answers, and only root on Debian can be given one. Start Docker." >&2
        exit 1
    fi
    missing=
    command -v dockerd >/dev/null || missing="docker.io iptables"
    command -v debootstrap >/dev/null || missing="$missing debootstrap"
    if [ -n "$missing" ]; then
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
    fi
    mkdir -p "$folder"
    if [ -e "$folder/dockerd.pid" ] && kill -0 "$(cat "$folder/dockerd.pid")" 2>/dev/null; then return; fi
    rm -f "$folder/dockerd.pid"
    setsid dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/dockerd.pid" \
        --host "unix://$folder/docker.sock" >"$folder/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 60); do
        if docker --host "unix://$folder/docker.sock" info >/dev/null 2>&1; then return; fi
        sleep 1
    done
    tail -5 "$folder/dockerd.log" >&2
    exit 1
}

stop() {
    [ -e "$folder/dockerd.pid" ] || return 0
    pid=$(cat "$folder/dockerd.pid")
    kill "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
}

"$1"
