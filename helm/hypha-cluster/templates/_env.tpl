{{/* The variables of a gateway: what the chart decides, secrets, then settings as they are given. */}}
{{- define "hypha-cluster.env" -}}
{{- $settings := .Values.settings -}}
{{- $name := include "hypha-cluster.fullname" . -}}
{{- if not $settings.node_name }}
- name: HYPHA_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
- name: HYPHA_PUBLIC_BASE_URL
  value: {{ include "hypha-cluster.publicUrl" . | default (include "hypha-cluster.serviceUrl" .) | quote }}
{{- if .Values.tls.existingSecret }}
- name: HYPHA_CERTFILE
  value: /etc/hypha/tls/tls.crt
- name: HYPHA_KEYFILE
  value: /etc/hypha/tls/tls.key
{{- end }}
{{- if eq (include "hypha-cluster.jwtSecretGiven" .) "yes" }}
- name: HYPHA_JWT_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ default $name .Values.jwt.existingSecret }}
      key: {{ .Values.jwt.existingSecret | empty | ternary "jwt-secret" .Values.jwt.existingSecretKey }}
{{- end }}
{{- with include "hypha-cluster.redisEnv" . }}
{{ . | trim }}
{{- else }}
{{- if not $settings.data_dir }}
- name: HYPHA_DATA_DIR
  value: /tmp/hypha-cluster
{{- end }}
{{- end }}
{{- if .Values.runners.enabled }}
- name: HYPHA_ENABLE_SERVER_APPS
  value: "true"
- name: HYPHA_APP_RUNNERS
  value: elsewhere
{{- $settings = omit $settings "enable_server_apps" "app_runners" }}
{{- end }}
{{- range $setting, $value := omit $settings "jwt_secret" "redis_url" "public_base_url" }}
- name: HYPHA_{{ upper $setting }}
  value: {{ include "hypha-cluster.text" $value | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where Redis is, as gateways and runners are told; nothing if it is embedded in the gateway. */}}
{{- define "hypha-cluster.redisEnv" -}}
{{- $settings := .Values.settings -}}
{{- $name := include "hypha-cluster.fullname" . -}}
{{- $redis := include "hypha-cluster.redisKind" . -}}
{{- if eq $redis "existing" }}
- name: REDIS_ADDRESS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existingSecret }}
      key: {{ .Values.redis.existingSecretKey }}
- name: HYPHA_REDIS_URL
  value: $(REDIS_ADDRESS){{ include "hypha-cluster.redisOptions" (list . "") }}
{{- else if eq $redis "url" }}
- name: HYPHA_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $name }}
      key: redis-url
{{- else if eq $redis "password" }}
{{ include "hypha-cluster.redisPassword" . }}
- name: HYPHA_REDIS_URL
  value: {{ print $settings.redis_url (include "hypha-cluster.redisOptions" (list . $settings.redis_url)) | quote }}
{{- else if eq $redis "bundled" }}
{{ include "hypha-cluster.redisPassword" . }}
- name: HYPHA_REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "hypha-cluster.redisName" . }}:6379/0
{{- end }}
{{- end -}}

{{/* The variables of a runner: no secret but how it reaches Redis, and what of the settings is its. */}}
{{- define "hypha-cluster.runnerEnv" -}}
{{- $settings := .Values.settings -}}
{{- if .Values.runners.redis.existingSecret }}
- name: REDIS_ADDRESS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.runners.redis.existingSecret }}
      key: {{ .Values.runners.redis.existingSecretKey }}
- name: HYPHA_REDIS_URL
  value: $(REDIS_ADDRESS){{ include "hypha-cluster.redisOptions" (list . "") }}
{{- else if include "hypha-cluster.runnerUser" . }}
{{ include "hypha-cluster.runnerPassword" (list . "REDIS_PASSWORD") }}
- name: HYPHA_REDIS_URL
  value: redis://runner:$(REDIS_PASSWORD)@{{ include "hypha-cluster.redisName" . }}:6379/0
{{- else }}
{{ include "hypha-cluster.redisEnv" . | trim }}
{{- end }}
- name: HYPHA_APP_HUB_URL
  value: {{ default (include "hypha-cluster.serviceUrl" .) $settings.app_hub_url | quote }}
- name: HYPHA_APP_SLOTS
  value: {{ .Values.runners.slots | quote }}
{{- /* Chromium's own sandbox takes rights that a pod of the standard `restricted` has not. */}}
- name: HYPHA_IN_DOCKER
  value: "true"
- name: HOME
  value: /tmp
{{- range $setting, $value := omit $settings "app_hub_url" "app_slots" "app_runners" }}
{{- if regexMatch "^(app_.*|redis_prefix|relay_timeout|log_.*)$" $setting }}
- name: HYPHA_{{ upper $setting }}
  value: {{ include "hypha-cluster.text" $value | quote }}
{{- end }}
{{- end }}
{{- with .Values.runners.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
