#!/bin/sh
# Makes the secrets of a deployment in the volume /run/hypha, once. The user of each container must
# be able to read them, and these differ: what protects them is who has the volume.
set -eu
cd /run/hypha

put() {  # put NAME VALUE
  printf '%s\n' "$2" >"$1.new"
  chmod 444 "$1.new"
  mv "$1.new" "$1"
}

make() {  # make NAME: a new one, unless it is there
  [ -s "$1" ] || put "$1" "$(head -c 32 /dev/urandom | base64 | tr -d '+/=\n')"
}

if [ -n "${JWT_SECRET:-}" ]; then
  put jwt_secret "$JWT_SECRET"
fi
make jwt_secret
make redis_password
make grafana_password
put redis_url "redis://:$(cat redis_password)@redis:6379/0"
put redis.conf "requirepass $(cat redis_password)"
