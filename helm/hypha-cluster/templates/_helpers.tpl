{{/* Names and labels. */}}

{{- define "hypha-cluster.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Leaves room for `-redis` and what a StatefulSet adds. */}}
{{- define "hypha-cluster.fullname" -}}
{{- $name := include "hypha-cluster.name" . -}}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $both .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{- define "hypha-cluster.redisName" -}}
{{ include "hypha-cluster.fullname" . }}-redis
{{- end -}}

{{- define "hypha-cluster.runnerName" -}}
{{ include "hypha-cluster.fullname" . }}-runner
{{- end -}}

{{- define "hypha-cluster.serviceAccountName" -}}
{{- $default := ternary (include "hypha-cluster.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $default .Values.serviceAccount.name -}}
{{- end -}}

{{/* What a Service and others select pods by: (list $ "gateway"). */}}
{{- define "hypha-cluster.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "hypha-cluster.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{- define "hypha-cluster.labels" -}}
{{- $root := first . -}}
{{ include "hypha-cluster.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hypha-cluster
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods, without versions: what did not change is not replaced by an upgrade. */}}
{{- define "hypha-cluster.podLabels" -}}
{{ include "hypha-cluster.selector" . }}
{{- with (first .).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Security of a pod: (list $ user). Without `runAsUser` the cluster chooses the users. */}}
{{- define "hypha-cluster.podSecurity" -}}
{{- $values := (first .).Values -}}
{{- $user := last . -}}
{{- $ids := dict "runAsUser" $user "runAsGroup" $user "fsGroup" $user -}}
{{- mergeOverwrite (ternary $ids dict (gt (int $values.runAsUser) 0)) $values.podSecurityContext | toYaml -}}
{{- end -}}

{{/* The metadata of an object: (list $ component name annotations labels), the last two if there are any. */}}
{{- define "hypha-cluster.metadata" -}}
{{- $root := first . -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "hypha-cluster.labels" (list $root (index . 1)) | nindent 2 }}
  {{- if gt (len .) 4 }}
  {{- with index . 4 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- $own := dict -}}
{{- if gt (len .) 3 }}
{{- $own = index . 3 }}
{{- end }}
{{- with merge (dict) $own $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (dict "image" .Values.image "default" tag) */}}
{{- define "hypha-cluster.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .default .image.tag }}
{{- end -}}
{{- end -}}

{{/* Settings. */}}

{{/* The value of one, given or the hub's default: (list $ "drain_time"). */}}
{{- define "hypha-cluster.setting" -}}
{{- $given := (first .).Values.settings -}}
{{- $default := (first .).Files.Get "files/defaults.json" | fromJson -}}
{{- include "hypha-cluster.text" (get (hasKey $given (last .) | ternary $given $default) (last .)) -}}
{{- end -}}

{{/* A value as the hub reads it: numbers without an exponent. */}}
{{- define "hypha-cluster.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* A time as a number of seconds; it may be 20, "20s", "1m", "1.5 h": (list $ "drain_time"). */}}
{{- define "hypha-cluster.seconds" -}}
{{- $text := include "hypha-cluster.setting" . -}}
{{- $sizes := dict "" 1.0 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $sizes (regexFind "[a-z]*$" $text)) -}}
{{- end -}}

{{/* How long a pod may take to end: it goes on, tells its clients to go over half of `drain_time`,
waits for them for as long as `drain_time`, and has some time to spare. */}}
{{- define "hypha-cluster.terminationGracePeriod" -}}
{{- $delay := include "hypha-cluster.seconds" (list . "drain_delay") | float64 -}}
{{- $drain := include "hypha-cluster.seconds" (list . "drain_time") | float64 -}}
{{- addf .Values.preStopSeconds $delay $drain .Values.terminationMarginSeconds | ceil | int64 -}}
{{- end -}}

{{- define "hypha-cluster.replicas" -}}
{{- ternary .Values.autoscaling.maxReplicas .Values.replicaCount .Values.autoscaling.enabled | int -}}
{{- end -}}

{{/* Is there https at the gateways? Empty = no. */}}
{{- define "hypha-cluster.https" -}}
{{- if or .Values.tls.existingSecret .Values.settings.certfile -}}
yes
{{- end -}}
{{- end -}}

{{- define "hypha-cluster.scheme" -}}
{{- ternary "https" "http" (eq (include "hypha-cluster.https" .) "yes") -}}
{{- end -}}

{{- define "hypha-cluster.basePath" -}}
{{- include "hypha-cluster.setting" (list . "base_path") | trimSuffix "/" -}}
{{- end -}}

{{/* Where users reach the hub from outside, as far as the chart knows. */}}
{{- define "hypha-cluster.publicUrl" -}}
{{- $path := include "hypha-cluster.basePath" . -}}
{{- if .Values.settings.public_base_url -}}
{{- .Values.settings.public_base_url -}}
{{- else if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{- ternary "https" "http" (gt (len .Values.ingress.tls) 0) -}}://{{ first .Values.ingress.hosts }}{{ $path }}
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames -}}
https://{{ first .Values.httpRoute.hostnames }}{{ $path }}
{{- end -}}
{{- end -}}

{{/* Where the pods of the Kubernetes cluster reach it. */}}
{{- define "hypha-cluster.serviceUrl" -}}
{{- $name := printf "%s.%s" (include "hypha-cluster.fullname" .) .Release.Namespace -}}
{{ include "hypha-cluster.scheme" . }}://{{ $name }}:{{ .Values.service.port }}{{ include "hypha-cluster.basePath" . }}
{{- end -}}

{{/* Secrets. */}}

{{- define "hypha-cluster.jwtSecretGiven" -}}
{{- if or .Values.jwt.existingSecret .Values.settings.jwt_secret .Values.jwt.generate -}}
yes
{{- end -}}
{{- end -}}

{{/* Where Redis is: `existing`, `password`, `url`, `bundled`, or empty = embedded in the gateway. */}}
{{- define "hypha-cluster.redisKind" -}}
{{- if .Values.redis.existingSecret -}}
existing
{{- else if and .Values.settings.redis_url .Values.redis.password.existingSecret -}}
password
{{- else if .Values.settings.redis_url -}}
url
{{- else if .Values.redis.bundled.enabled -}}
bundled
{{- end -}}
{{- end -}}

{{/* Where the password is that an address has the place of. */}}
{{- define "hypha-cluster.redisPassword" -}}
{{- $password := .Values.redis.password -}}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- if $password.existingSecret }}
      name: {{ $password.existingSecret }}
      key: {{ $password.existingSecretKey }}
      {{- else }}
      name: {{ include "hypha-cluster.fullname" . }}
      key: redis-password
      {{- end }}
{{- end -}}

{{/* Have runners a user of the bundled Redis, whom the chart makes? Empty = no. */}}
{{- define "hypha-cluster.runnerUser" -}}
{{- $isBundled := eq (include "hypha-cluster.redisKind" .) "bundled" -}}
{{- if and .Values.runners.enabled $isBundled (not .Values.runners.redis.existingSecret) -}}
yes
{{- end -}}
{{- end -}}

{{/* The password of that user: (list $ variable). */}}
{{- define "hypha-cluster.runnerPassword" -}}
- name: {{ last . }}
  valueFrom:
    secretKeyRef:
      name: {{ include "hypha-cluster.runnerName" (first .) }}
      key: redis-password
{{- end -}}

{{/* What is to be put behind an address of Redis: (list $ address). */}}
{{- define "hypha-cluster.redisOptions" -}}
{{- $tls := (first .).Values.redis.tls -}}
{{- if $tls.existingSecret -}}
{{- contains "?" (last .) | ternary "&" "?" -}}
ssl_ca_certs=/etc/hypha/redis-tls/{{ $tls.caKey }}
{{- if $tls.clientCertificate -}}
&ssl_certfile=/etc/hypha/redis-tls/tls.crt&ssl_keyfile=/etc/hypha/redis-tls/tls.key
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A secret that is made once: (list $ name key). What an earlier release has made is kept. */}}
{{- define "hypha-cluster.kept" -}}
{{- $root := first . -}}
{{- $found := lookup "v1" "Secret" $root.Release.Namespace (index . 1) -}}
{{- $old := get (default dict $found.data) (last .) -}}
{{- default (randAlphaNum 48 | b64enc) $old -}}
{{- end -}}
