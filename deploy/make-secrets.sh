#!/bin/sh
# Makes the secrets of a deployment, once: those of the hub in the volume /run/hypha, and what a
# runner of server apps needs in the volume /run/hypha-runner. A runner runs what strangers have
# written; so it has no other volume, and a user of Redis who may do no more than docs/redis.md says.
# The user of each container must be able to read them, and these differ: what protects them is who
# has the volume.
#
#   make-secrets.sh [FOLDER FOLDER_OF_RUNNERS]
set -eu
runners=${2:-/run/hypha-runner}
prefix=${HYPHA_REDIS_PREFIX:-hypha}
cd "${1:-/run/hypha}"

put() {  # put FILE VALUE
  printf '%s\n' "$2" >"$1.new"
  chmod 444 "$1.new"
  mv "$1.new" "$1"
}

make() {  # make FILE: a new one, unless it is there
  [ -s "$1" ] || put "$1" "$(head -c 32 /dev/urandom | base64 | tr -d '+/=\n')"
}

if [ -n "${JWT_SECRET:-}" ]; then
  put jwt_secret "$JWT_SECRET"
fi
make jwt_secret
make redis_password
make runner_password
make grafana_password
put redis_url "redis://:$(cat redis_password)@redis:6379/0"
put "$runners/redis_url" "redis://runner:$(cat runner_password)@redis:6379/0"
# The rule of runners in docs/redis.md, which says why.
rule="~$prefix:{:apps}* %R~$prefix:{*}:apps %R~$prefix:{*}:services \
%R~$prefix:{*}/* %R~$prefix:leases %R~$prefix:node:* resetchannels &$prefix:{:apps}:* -@all \
+auth +hello +ping +time +role +client|setname +select +cluster|slots +asking +script|load \
+evalsha +spublish +del +exists +pexpire +hget +hgetall +hmget +hset +hdel +hincrby +scard \
+srem +zadd +zrange +zrangebyscore +zrem +zremrangebyscore +xadd +xrange"
put redis.conf "requirepass $(cat redis_password)
user runner on >$(cat runner_password) $rule"
