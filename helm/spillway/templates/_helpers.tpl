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

{{/*
Helm refuses to take over CRDs that it didn't install, and doesn't say what to do about it. We do. Those of another
release are left to Helm's own refusal.
*/}}
{{- define "spillway.refuseForeignCrds" -}}
{{- $foreign := list }}
{{- range $path, $_ := .Files.Glob "files/crds/*.yaml" }}
{{- $name := ($.Files.Get $path | fromYaml).metadata.name }}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name }}
{{- if not (get (.metadata.annotations | default dict) "meta.helm.sh/release-name") }}
{{- $foreign = append $foreign $name }}
{{- end }}
{{- end }}
{{- end }}
{{- if $foreign }}
{{- $all := join " " $foreign }}
{{- fail (printf `

These CustomResourceDefinitions are in the cluster already, and not by Helm: %[1]s.
Either leave them to whoever applied them, who must then upgrade them too: --set crds.enabled=false
Or hand them over to this release; no object is touched by that. Run

  kubectl label crd %[2]s app.kubernetes.io/managed-by=Helm --overwrite
  kubectl annotate crd %[2]s meta.helm.sh/release-name=%[3]s meta.helm.sh/release-namespace=%[4]s --overwrite

and install again with --force-conflicts.
` (join ", " $foreign) $all .Release.Name .Release.Namespace) }}
{{- end }}
{{- end }}

{{/* Not empty where a kind of elasticTargets has machines: true. */}}
{{- define "spillway.givesBack" -}}
{{- range .Values.elasticTargets }}{{ if .machines }}yes{{ end }}{{ end }}
{{- end }}
