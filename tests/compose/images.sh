#!/bin/sh
# The images of docker-compose.yaml: pulled; or, where no image registry answers, stand-ins built from Debian packages.
set -eu
state=$1
bases=tests/compose/bases
mkdir -p "$state"
present() { docker image inspect "$1" >/dev/null 2>&1; }

if ! present denodo-ha-test/debian; then
    missing=
    for image in apache/airflow:3.3.2 postgres:16 redis:7 motoserver/moto:5.2.5; do
        present $image || timeout 600 docker pull -q $image 2>/dev/null || missing="$missing $image"
    done
    [ -n "$missing" ] || exit 0
    echo "No registry gives$missing: building stand-ins from Debian packages"
    # shellcheck disable=SC2016  # apt-get fills in $(REPO_URI)
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
    rm -rf "$state/trixie"
    debootstrap --variant=minbase --include=ca-certificates trixie "$state/trixie" "$mirror" >"$state/debootstrap.log"
    tar -C "$state/trixie" --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' -c . \
        | docker import - denodo-ha-test/debian >/dev/null
    rm -rf "$state/trixie"
fi
context=$state/bases
rm -rf "$context"
cp -r $bases "$context"
cp requirements-dev.txt /etc/ssl/certs/ca-certificates.crt "$context"
# What pip uses here, less what names files of this machine.
{ echo "[global]"; python3 -m pip config list | sed -n "s/^global\.\(index-url\|extra-index-url\|trusted-host\)='\(.*\)'$/\1 = \2/p" | grep -v file: || true; } >"$context/pip.conf"
CONTEXT=$context docker compose -f $bases/compose.yaml build >"$state/bases.log" 2>&1 || { tail -20 "$state/bases.log" >&2; exit 1; }
