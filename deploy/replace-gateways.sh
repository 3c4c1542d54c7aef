#!/bin/sh
# Replaces the gateways of docker-compose.yml one by one, by ones of the image and the settings of
# now: each when another one is ready to take its clients. No call fails.
#
#   docker-compose build gateway && deploy/replace-gateways.sh
#
# `docker-compose up` alone would stop all of them at once.
set -eu
cd "$(dirname "$0")/.."

if [ -z "${COMPOSE:-}" ]; then
  COMPOSE="docker compose"
  docker compose version >/dev/null 2>&1 || COMPOSE=docker-compose
fi
PATIENCE=${PATIENCE:-120}  # seconds for a gateway to become ready

await_healthy() {  # await_healthy CONTAINER
  waited=0
  until [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; do
    if [ $waited -ge "$PATIENCE" ]; then
      docker logs --tail 20 "$1" >&2
      echo "$1 is not ready after $PATIENCE s; the other gateways go on as before" >&2
      exit 1
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

old=$($COMPOSE ps -q gateway)
if [ -z "$old" ]; then
  echo "no gateway is running; \`$COMPOSE up -d\` starts them" >&2
  exit 1
fi
count=$(echo "$old" | wc -w)
for container in $old; do
  $COMPOSE up -d --no-deps --no-recreate --scale gateway=$((count + 1)) gateway
  for member in $($COMPOSE ps -q gateway); do
    echo "$old" | grep -q "$member" || await_healthy "$member"
  done
  docker stop "$container" >/dev/null
  docker rm "$container" >/dev/null
  echo "$container has been replaced"
done
