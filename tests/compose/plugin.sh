#!/bin/sh
# Docker's plugin compose for this user, where it is missing. On Debian it is the package docker-compose of Debian 13, which also
# works on Debian 12; nothing is installed but this one program.
set -eu
if docker compose version >/dev/null 2>&1; then exit 0; fi
if ! command -v docker >/dev/null || ! command -v apt-get >/dev/null; then
    echo "Install Docker with its plugin compose, 2.24 or newer." >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2016  # apt-get fills in $(REPO_URI)
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/sources.list"
mkdir -p "$work/lists/partial" "$work/archives/partial"
trixie="-o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$work/lists
    -o Dir::Cache=$work -o APT::Sandbox::User=root"
# shellcheck disable=SC2086
apt-get $trixie update -qq
# shellcheck disable=SC2086
(cd "$work" && apt-get $trixie download -qq docker-compose && dpkg-deb -x docker-compose_*.deb unpacked)
plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
mkdir -p "$plugins"
cp "$work/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$plugins/"
docker compose version
