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
Who a pod is, and what it logs. Takes the log filter.
*/}}
{{- define "wasmfn.environment" -}}
- name: WASMFN_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: WASMFN_POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: RUST_LOG
  value: {{ . | quote }}
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
Where pods may run. Takes a dict of `values` (operator's or gateway's) and `component`. The spread is a wish: a
cluster of one node runs them all.
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
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "wasmfn.selector" $component | nindent 8 }}
{{- end }}
{{- end -}}
