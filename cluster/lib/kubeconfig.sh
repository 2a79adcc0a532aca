# shellcheck shell=bash
# Client configurations, with their certificates inside: one file is all one needs.

# write_kubeconfig FILE NAME: NAME is that of the client's certificate.
write_kubeconfig() {
  local file=$1 name=$2
  mkdir -p "$(dirname "$file")"
  (
    umask 077
    cat >"$file.new" <<YAML
apiVersion: v1
kind: Config
current-context: virtpod
clusters:
  - name: virtpod
    cluster:
      server: $api_server
      certificate-authority-data: $(base64 --wrap=0 "$certificates/ca.crt")
contexts:
  - name: virtpod
    context: {cluster: virtpod, user: $name}
users:
  - name: $name
    user:
      client-certificate-data: $(base64 --wrap=0 "$certificates/$name.crt")
      client-key-data: $(base64 --wrap=0 "$certificates/$name.key")
YAML
    mv "$file.new" "$file"
  )
}

kubectl() { "$(tool_path kubectl)" --kubeconfig "$kubeconfig" "$@"; }
