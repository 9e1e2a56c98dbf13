{{/*
Labels of every object of the chart. The operator's own objects say `managed-by: wasmfn`; these must not.
*/}}
{{- define "wasmfn.labels" -}}
app.kubernetes.io/name: wasmfn
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: wasmfn
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/*
The labels by which Services and policies find the pods of a component.
Takes the component's name.
*/}}
{{- define "wasmfn.selector" -}}
app.kubernetes.io/name: wasmfn
app.kubernetes.io/component: {{ . }}
{{- end -}}

{{/*
Reference of an image. Takes a dict of `root` and `name` (operator, gateway or runtime).
*/}}
{{- define "wasmfn.image" -}}
{{- $image := get .root.Values.images .name -}}
{{- $registry := .root.Values.images.registry | trimSuffix "/" -}}
{{- $repository := $image.repository -}}
{{- if $registry }}{{ $repository = printf "%s/%s" $registry $repository }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/*
Name of the operator's account, as the API server sees it.
*/}}
{{- define "wasmfn.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:wasmfn-operator
{{- end -}}

{{/*
URL of a host as clients outside see it. Takes a dict of `root` and `host`.
*/}}
{{- define "wasmfn.externalUrl" -}}
{{- $external := .root.Values.external -}}
{{- $usual := ternary 443 80 (eq $external.scheme "https") -}}
{{- $external.scheme }}://{{ .host }}{{ if ne (int $external.port) $usual }}:{{ int $external.port }}{{ end }}/
{{- end -}}

{{/*
Quantities as Kubernetes' own clients want them: text, also where the values hold a number.
Takes a map of maps, such as requests and limits.
*/}}
{{- define "wasmfn.quantities" -}}
{{- $text := dict -}}
{{- range $kind, $quantities := . -}}
{{- $inner := dict -}}
{{- range $name, $quantity := $quantities }}{{ $_ := set $inner $name (toString $quantity) }}{{ end -}}
{{- $_ := set $text $kind $inner -}}
{{- end -}}
{{- toYaml $text -}}
{{- end -}}
