#!/bin/sh
# Pull the images that docker-compose.yaml names by tag, as far as the profiles of .env use them, and write their digests to .env,
# so that nothing else is started under these names. Run it again for what the same tags mean today.
set -eu
[ -e .env ] || { echo "There is no .env: run make env first." >&2; exit 1; }
umask 077
trap 'rm -f .env.new .env.pinned' EXIT
cp .env .env.new
used=$(docker compose config --images)
# Each image is named once, as ${NAME_IMAGE:-image:tag}.
sed -n 's/.*\${\([A-Z_]*_IMAGE\):-\([^}]*\)}.*/\1 \2/p' docker-compose.yaml | while read -r name default; do
    image=$(sed -n "s/^$name=//p" .env | tail -n 1)
    image=${image:-$default}
    # The base of the image that is built is no service's.
    [ "$name" = AIRFLOW_IMAGE ] || echo "$used" | grep -qxF "$image" || continue
    tagged=${image%@*}
    repository=${tagged%:*}
    docker pull --quiet "$tagged" >/dev/null
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$tagged" | sed -n "s|^.*${repository##*/}@||p" | head -n 1)
    [ -n "$digest" ] || { echo "$tagged has no digest, so it is from no registry." >&2; exit 1; }
    grep -v "^$name=" .env.new >.env.pinned || true
    echo "$name=$tagged@$digest" | tee -a .env.pinned
    mv .env.pinned .env.new
done
mv .env.new .env
