{{/* What cannot work is said here, before anything is installed. */}}
{{- define "hypha-cluster.checks" -}}
{{- $values := .Values -}}
{{- $settings := .Values.settings -}}
{{- $external := or $settings.redis_url $values.redis.existingSecret -}}
{{- $several := gt (int (include "hypha-cluster.replicas" .)) 1 -}}
{{- if and $several (eq (include "hypha-cluster.redisKind" .) "") -}}
{{- fail "More than one gateway need a Redis that they share: set settings.redis_url, redis.existingSecret or redis.bundled.enabled." -}}
{{- end -}}
{{- if and $several (ne (include "hypha-cluster.jwtSecretGiven" .) "yes") -}}
{{- fail "More than one gateway need a signing secret that they share: set jwt.existingSecret, settings.jwt_secret or jwt.generate." -}}
{{- end -}}
{{- if and $several $settings.node_name -}}
{{- fail "settings.node_name would give several gateways the same name: leave it out, and each has that of its pod." -}}
{{- end -}}
{{- if and $external $values.redis.bundled.enabled -}}
{{- fail "There are two: a Redis of your own and the bundled one. Set redis.bundled.enabled=false to use yours." -}}
{{- end -}}
{{- if and $settings.redis_url $values.redis.existingSecret -}}
{{- fail "Give the address of Redis once: in settings.redis_url or in redis.existingSecret." -}}
{{- end -}}
{{- if and $values.redis.password.existingSecret $external (not (contains "$(REDIS_PASSWORD)" (default "" $settings.redis_url))) -}}
{{- fail "redis.password.existingSecret is for an address with $(REDIS_PASSWORD) in it: settings.redis_url=redis://:$(REDIS_PASSWORD)@host:6379." -}}
{{- end -}}
{{- if and (contains "$(REDIS_PASSWORD)" (default "" $settings.redis_url)) (not $values.redis.password.existingSecret) -}}
{{- fail "settings.redis_url has $(REDIS_PASSWORD) in it: say in redis.password.existingSecret where that is." -}}
{{- end -}}
{{- if and $values.redis.tls.existingSecret (not $external) -}}
{{- fail "redis.tls.existingSecret is for a Redis of your own: set settings.redis_url or redis.existingSecret." -}}
{{- end -}}
{{- if and $values.jwt.existingSecret $settings.jwt_secret -}}
{{- fail "Give the signing secret once: in settings.jwt_secret or in jwt.existingSecret." -}}
{{- end -}}
{{- if and $values.tls.existingSecret (or $settings.certfile $settings.keyfile) -}}
{{- fail "Give the certificate once: in tls.existingSecret or in settings.certfile and settings.keyfile." -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail "An HTTPRoute belongs to a Gateway: name it in httpRoute.parentRefs." -}}
{{- end -}}
{{- if and $values.runners.enabled (eq (include "hypha-cluster.redisKind" .) "") -}}
{{- fail "Runners need a Redis that they share with the gateways: set settings.redis_url, redis.existingSecret or redis.bundled.enabled." -}}
{{- end -}}
{{- if gt (int $values.runners.autoscaling.minReplicas) (int $values.runners.autoscaling.maxReplicas) -}}
{{- fail "runners.autoscaling.minReplicas is more than runners.autoscaling.maxReplicas." -}}
{{- end -}}
{{- if $values.autoscaling.enabled -}}
{{- if not (or $values.autoscaling.targetCPU $values.autoscaling.targetConnections) -}}
{{- fail "Autoscaling needs something to go by: set autoscaling.targetCPU, autoscaling.targetConnections or both." -}}
{{- end -}}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas." -}}
{{- end -}}
{{- end -}}
{{- end -}}
