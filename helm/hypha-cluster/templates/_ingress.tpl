{{/* What controllers are told. None is told to be sticky: every gateway answers for every workspace.
No upgrade may fail while a gateway is there, since most Python clients give up for good after one;
and no call may be placed twice. */}}

{{- define "hypha-cluster.nginxRequests" -}}
{{/* A gateway's limit is the one that counts, and nothing goes to a disk. */}}
nginx.ingress.kubernetes.io/proxy-body-size: "0"
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
nginx.ingress.kubernetes.io/proxy-connect-timeout: "1"
{{/* Longer than a gateway takes for any answer. */}}
nginx.ingress.kubernetes.io/proxy-read-timeout: "300"
nginx.ingress.kubernetes.io/proxy-send-timeout: "300"
nginx.ingress.kubernetes.io/proxy-next-upstream: error
{{- end -}}

{{- define "hypha-cluster.nginxUpgrades" -}}
{{- $ping := include "hypha-cluster.seconds" (list . "ping_interval") | float64 -}}
{{/* A gateway that is silent for three pings is gone. */}}
{{- $silence := max 60 (mulf 3 $ping | ceil) | quote }}
nginx.ingress.kubernetes.io/proxy-connect-timeout: "1"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $silence }}
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $silence }}
nginx.ingress.kubernetes.io/proxy-next-upstream: error timeout invalid_header http_500 http_502 http_503 http_504
nginx.ingress.kubernetes.io/proxy-next-upstream-tries: "5"
nginx.ingress.kubernetes.io/proxy-next-upstream-timeout: "8"
{{- end -}}

{{- define "hypha-cluster.traefik" -}}
traefik.ingress.kubernetes.io/router.entrypoints: {{ ternary "websecure" "web" (gt (len .Values.ingress.tls) 0) }}
traefik.ingress.kubernetes.io/router.middlewares: {{ .Release.Namespace }}-{{ include "hypha-cluster.fullname" . }}@kubernetescrd
{{- end -}}

{{/* (list $ name path pathType annotations) */}}
{{- define "hypha-cluster.ingress" -}}
{{- $root := first . -}}
{{- $annotations := index . 4 | fromYaml -}}
{{- if and (eq $root.Values.ingress.controller "nginx") (include "hypha-cluster.https" $root) -}}
{{- $_ := set $annotations "nginx.ingress.kubernetes.io/backend-protocol" "HTTPS" -}}
{{- end -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "hypha-cluster.metadata" (list $root "gateway" (index . 1) (merge (dict) $root.Values.ingress.annotations $annotations)) | nindent 2 }}
spec:
  {{- with $root.Values.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with $root.Values.ingress.tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- $path := index . 2 }}
    {{- $pathType := index . 3 }}
    {{- range $root.Values.ingress.hosts | default (list "") }}
    - http:
        paths:
          - path: {{ $path }}
            pathType: {{ $pathType }}
            backend:
              service:
                name: {{ include "hypha-cluster.fullname" $root }}
                port:
                  name: http
      {{- with . }}
      host: {{ . | quote }}
      {{- end }}
    {{- end }}
{{- end -}}
