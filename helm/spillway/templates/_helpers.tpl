{{/*
Every object is named spillway, whatever the release is called: the operator works on the whole
cluster, and a second release would fight with the first. So Helm refuses it.
*/}}

{{- define "spillway.selectorLabels" -}}
app.kubernetes.io/name: spillway
app.kubernetes.io/component: operator
{{- end }}

{{- define "spillway.labels" -}}
{{ include "spillway.selectorLabels" . }}
app.kubernetes.io/part-of: spillway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The operator's configuration file. */}}
{{- define "spillway.config" -}}
mode: {{ .Values.config.mode }}
currency: {{ .Values.config.currency }}
{{- with .Values.config.defaultLimits }}
defaultLimits:
{{- range . }}
- {type: {{ .type }}, limit: {{ int64 .limit }}}
{{- end }}
{{- end }}
{{- end }}
