{{/* The bundled Redis: what its server and those who wait for it have in common. */}}
{{- define "hypha-cluster.redisContainer" -}}
image: {{ include "hypha-cluster.image" (dict "image" .Values.redis.bundled.image "default" "") }}
imagePullPolicy: {{ .Values.redis.bundled.image.pullPolicy }}
env:
  {{- include "hypha-cluster.redisPassword" . | nindent 2 }}
  - name: REDISCLI_AUTH
    value: $(REDIS_PASSWORD)
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}
{{- define "hypha-cluster.waitForRedis" -}}
- name: wait-for-redis
  {{- include "hypha-cluster.redisContainer" . | nindent 2 }}
  command: [sh, -c, "until redis-cli -h {{ include "hypha-cluster.redisName" . }} ping | grep PONG; do sleep 1; done"]
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
{{- end }}
