{{/*
Opening of a policy that binds the operator's account alone, and the binding that switches it on.
Takes a dict of `root`, `name`, `operations`, and `rules` (API group to resources); optionally `conditions`.
*/}}
{{- define "wasmfn.admission.head" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "wasmfn.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ .name }}
  labels: {{- include "wasmfn.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      {{- $operations := .operations }}
      {{- range $group, $resources := .rules }}
      - apiGroups: [{{ $group | quote }}]
        apiVersions: ["*"]
        operations: {{ toJson $operations }}
        resources: {{ toJson $resources }}
      {{- end }}
  matchConditions:
    - name: from-the-operator
      expression: request.userInfo.username == '{{ include "wasmfn.operatorUser" .root }}'
    {{- with .conditions }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
All runtime images of the values, as a list in CEL.
*/}}
{{- define "wasmfn.admission.runtimeImages" -}}
{{- $images := list (include "wasmfn.image" (dict "root" . "name" "runtime")) -}}
{{- range .Values.namespaces }}{{ with .image }}{{ $images = append $images . }}{{ end }}{{ end -}}
{{- toJson ($images | uniq | sortAlpha) -}}
{{- end -}}
