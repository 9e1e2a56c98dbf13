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
Labels of an object of a component: the chart's, and more of the values, which must not take their place.
Takes a dict of `root`, `component`, `more` and `field`, where the values have them.
*/}}
{{- define "wasmfn.moreLabels" -}}
{{- $own := include "wasmfn.labels" .root -}}
{{- $own = printf "%s\napp.kubernetes.io/component: %s" $own .component -}}
{{- $names := fromYaml $own -}}
{{- $field := .field -}}
{{- range $name, $_ := .more -}}
{{- if hasKey $names $name }}{{ fail (printf "%s: the label %s is the chart's own" $field $name) }}{{ end -}}
{{- end -}}
{{- $own -}}
{{- with .more }}
{{ toYaml . }}
{{- end -}}
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
URL, without the scheme's own port. Takes a dict of `scheme`, `host` and `port`.
*/}}
{{- define "wasmfn.url" -}}
{{- $usual := ternary "443" "80" (eq .scheme "https") -}}
{{- .scheme }}://{{ .host }}{{ if ne (toString .port) $usual }}:{{ .port }}{{ end }}/
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
