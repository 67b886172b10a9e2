#!/usr/bin/env bash
# What `make test-compose` does: an engine, the images, the tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/compose
state=$PWD/.run/test-compose

sh $here/plugin.sh
if ! docker info >/dev/null 2>&1; then
    sh $here/engine.sh start "$state"
    trap 'sh $here/engine.sh stop "$state"' EXIT
    export DOCKER_HOST=unix://$state/docker.sock
fi
sh $here/images.sh "$state"
.venv/bin/python -m pytest -p no:cacheprovider -s $here/stack.py "$@"
