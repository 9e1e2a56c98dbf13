{{/*
What the restricted Pod Security Standard asks of a pod. Images are one static binary, run as nobody.
*/}}
{{- define "wasmfn.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/*
What the restricted Pod Security Standard asks of a container, and a read-only root besides.
*/}}
{{- define "wasmfn.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
readOnlyRootFilesystem: true
{{- end -}}

{{/*
Labels and annotations of a pod. Takes a dict of `root` and `component`.
*/}}
{{- define "wasmfn.podMetadata" -}}
{{- $component := .component -}}
{{- $values := get .root.Values $component -}}
{{- $labels := dict "root" .root "component" $component "more" $values.podLabels "field" (printf "%s.podLabels" $component) -}}
labels: {{- include "wasmfn.moreLabels" $labels | nindent 2 }}
annotations:
  checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
  {{- with $values.podAnnotations }}
  {{- if hasKey . "checksum/config" }}
  {{- fail (printf "%s.podAnnotations: the annotation checksum/config is the chart's own" $component) }}
  {{- end }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
Who a pod is, what it logs, and variables of the values, which must not take the place of these. Takes a dict of
`values` (operator's or gateway's) and `component`.
*/}}
{{- define "wasmfn.environment" -}}
{{- $component := .component -}}
{{- range .values.extraEnv -}}
{{- if has .name (list "WASMFN_NAMESPACE" "WASMFN_POD_NAME" "RUST_LOG") -}}
{{- fail (printf "%s.extraEnv: the variable %s is the chart's own" $component .name) -}}
{{- end -}}
{{- end -}}
- name: WASMFN_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: WASMFN_POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: RUST_LOG
  value: {{ .values.logFilter | quote }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Probes on the admin port. Liveness is lax: a busy pod is not a dead one.
*/}}
{{- define "wasmfn.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{/*
Where pods may run. Takes a dict of `values` (operator's or gateway's) and `component`. The spread is a wish, unless
the values have another: a cluster of one node runs them all. Without a selector a constraint counts no pods: it gets
the component's.
*/}}
{{- define "wasmfn.scheduling" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
{{- $component := .component }}
{{- range .values.topologySpreadConstraints }}
  - {{ toYaml . | nindent 4 | trim }}
    {{- if not (hasKey . "labelSelector") }}
    labelSelector:
      matchLabels: {{- include "wasmfn.selector" $component | nindent 8 }}
    {{- end }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "wasmfn.selector" $component | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}
