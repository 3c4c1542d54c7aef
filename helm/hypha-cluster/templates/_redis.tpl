{{/* The bundled Redis: what its server and those who wait for it have in common. Of who it is for,
`gateway`, `runner` or the `server` itself, it is told the password: (list $ who). */}}
{{- define "hypha-cluster.redisContainer" -}}
{{- $root := first . -}}
image: {{ include "hypha-cluster.image" (dict "image" $root.Values.redis.bundled.image "default" "") }}
imagePullPolicy: {{ $root.Values.redis.bundled.image.pullPolicy }}
env:
  {{- if eq (last .) "runner" }}
  {{- include "hypha-cluster.runnerPassword" (list $root "REDIS_PASSWORD") | nindent 2 }}
  {{- else }}
  {{- include "hypha-cluster.redisPassword" $root | nindent 2 }}
  {{- end }}
  - name: REDISCLI_AUTH
    value: $(REDIS_PASSWORD)
  {{- if and (eq (last .) "server") (include "hypha-cluster.runnerUser" $root) }}
  {{- include "hypha-cluster.runnerPassword" (list $root "RUNNER_PASSWORD") | nindent 2 }}
  {{- end }}
securityContext:
  {{- toYaml $root.Values.securityContext | nindent 2 }}
{{- end }}
{{/* What runners may do there: the rule of docs/redis.md. */}}
{{- define "hypha-cluster.runnerRule" -}}
{{- $prefix := include "hypha-cluster.setting" (list . "redis_prefix") -}}
~{{ $prefix }}:{:apps}* %R~{{ $prefix }}:{*}:apps %R~{{ $prefix }}:{*}:services %R~{{ $prefix }}:{*}/* %R~{{ $prefix }}:leases %R~{{ $prefix }}:node:* resetchannels &{{ $prefix }}:{:apps}:* -@all +auth +hello +ping +time +role +client|setname +select +cluster|slots +asking +script|load +evalsha +spublish +del +exists +pexpire +hget +hgetall +hmget +hset +hdel +hincrby +scard +srem +zadd +zrange +zrangebyscore +zrem +zremrangebyscore +xadd +xrange
{{- end }}
{{/* (list $ who), `gateway` or `runner`. */}}
{{- define "hypha-cluster.waitForRedis" -}}
{{- $user := eq (last .) "runner" | ternary "--user runner " "" -}}
- name: wait-for-redis
  {{- include "hypha-cluster.redisContainer" . | nindent 2 }}
  command: [sh, -c, "until redis-cli -h {{ include "hypha-cluster.redisName" (first .) }} {{ $user }}ping | grep PONG; do sleep 1; done"]
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
{{- end }}
