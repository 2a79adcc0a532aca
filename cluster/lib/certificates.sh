# shellcheck shell=bash
# Certificate authorities and certificates (ECDSA P-256), kept across runs of the
# cluster so that a kubeconfig stays valid; made anew a month before they expire.

certificate_days=3650

ensure_certificates() {
  local month=$((30 * 86400)) marker
  marker="$certificates/complete"
  if [[ $(cat "$marker" 2>/dev/null) == "$node_address" ]] &&
    openssl x509 -in "$certificates/admin.crt" -noout -checkend "$month" >/dev/null; then
    return
  fi
  step "making certificates"
  rm -rf "$certificates"
  mkdir -p "$certificates"
  chmod 700 "$certificates"
  make_certificates >>"$logs/certificates.log" 2>&1 || fail_with_log "$logs/certificates.log" "openssl could not make the certificates."
  echo "$node_address" >"$marker"
}

make_certificates() {
  make_authority ca kubernetes &&
    make_authority etcd-ca etcd &&
    make_authority front-proxy-ca front-proxy &&
    make_key service-account &&
    openssl pkey -in "$certificates/service-account.key" -pubout -out "$certificates/service-account.pub" &&
    make_certificate etcd etcd-ca "/CN=etcd" "IP:127.0.0.1,DNS:localhost" &&
    make_certificate etcd-client etcd-ca "/CN=kube-apiserver" &&
    make_certificate front-proxy-client front-proxy-ca "/CN=front-proxy-client" &&
    make_certificate kube-apiserver ca "/CN=kube-apiserver" "$(api_server_names)" &&
    make_certificate kube-apiserver-kubelet-client ca "/CN=kube-apiserver-kubelet-client" &&
    make_certificate admin ca "/O=system:masters/CN=admin" &&
    make_certificate kube-controller-manager ca "/CN=system:kube-controller-manager" &&
    make_certificate kube-scheduler ca "/CN=system:kube-scheduler" &&
    make_certificate kube-proxy ca "/CN=system:kube-proxy" &&
    make_certificate coredns ca "/CN=system:coredns" &&
    make_certificate "$node_name" ca "/O=system:nodes/CN=system:node:$node_name" "DNS:$node_name,IP:$node_address"
}

api_server_names() {
  echo "IP:$node_address,IP:$api_service_address,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$cluster_domain"
}

make_key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$certificates/$1.key"
}

# make_authority NAME COMMON_NAME
make_authority() {
  make_key "$1" &&
    openssl req -x509 -new -key "$certificates/$1.key" -subj "/CN=$2" -days "$certificate_days" \
      -addext "keyUsage=critical,keyCertSign,cRLSign,digitalSignature" -out "$certificates/$1.crt"
}

# make_certificate NAME AUTHORITY SUBJECT [ALTERNATIVE_NAMES]
make_certificate() {
  local name=$1 authority=$2 subject=$3 names=${4:-} extensions
  extensions=$'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth,serverAuth'
  [[ -z $names ]] || extensions+=$'\n'"subjectAltName=$names"
  make_key "$name" &&
    openssl req -new -key "$certificates/$name.key" -subj "$subject" |
    openssl x509 -req -CA "$certificates/$authority.crt" -CAkey "$certificates/$authority.key" \
      -set_serial "0x$(openssl rand -hex 16)" -days "$certificate_days" -extfile <(echo "$extensions") \
      -out "$certificates/$name.crt"
}
