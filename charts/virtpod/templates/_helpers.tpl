{{- define "virtpod.labels" -}}
app.kubernetes.io/part-of: virtpod
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "virtpod.image" -}}
{{ .Values.image.registry }}/virtpod:{{ .Values.image.tag }}
{{- end }}

{{- define "virtpod.launcherImage" -}}
{{ .Values.image.registry }}/virtpod-launcher:{{ .Values.image.tag }}
{{- end }}

{{- define "virtpod.pullSecrets" -}}
{{- range .Values.image.pullSecrets }}
- name: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* CEL: the request is the operator's. */ -}}
{{- define "virtpod.isOperator" -}}
request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:virtpod-operator'
{{- end }}
