# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager, kube-scheduler: daemons of node 1,
# in its network, so that the API server reaches pods (webhooks, aggregated APIs).

etcd_address=https://127.0.0.1:2379

ensure_etcd() {
  # A cluster's objects end with cluster/down, so fsync would protect nothing.
  ensure_daemon etcd "$(tool_path etcd)" --name "$node_name" --data-dir "$node_state/etcd" \
    --unsafe-no-fsync --log-level warn --quota-backend-bytes $((4 << 30)) \
    --listen-client-urls "$etcd_address" --advertise-client-urls "$etcd_address" \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster "$node_name=http://127.0.0.1:2380" \
    --client-cert-auth --trusted-ca-file "$certificates/etcd-ca.crt" \
    --cert-file "$certificates/etcd.crt" --key-file "$certificates/etcd.key"
}

etcd_healthy() {
  node_enter "$(tool_path etcdctl)" --endpoints "$etcd_address" --cacert "$certificates/etcd-ca.crt" \
    --cert "$certificates/etcd-client.crt" --key "$certificates/etcd-client.key" \
    --command-timeout 2s endpoint health
}

ensure_api_server() {
  mkdir -p "$config/kube-apiserver"
  cat >"$config/kube-apiserver/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
YAML
  # Aggregated APIs are reached at their endpoints, without kube-proxy. Audit:
  # the current file and two older ones of 50 MB each at most.
  ensure_daemon kube-apiserver "$(tool_path kube-apiserver)" \
    --advertise-address "$node_address" --secure-port 6443 --allow-privileged \
    --etcd-servers "$etcd_address" --etcd-cafile "$certificates/etcd-ca.crt" \
    --etcd-certfile "$certificates/etcd-client.crt" --etcd-keyfile "$certificates/etcd-client.key" \
    --client-ca-file "$certificates/ca.crt" \
    --tls-cert-file "$certificates/kube-apiserver.crt" --tls-private-key-file "$certificates/kube-apiserver.key" \
    --kubelet-certificate-authority "$certificates/ca.crt" \
    --kubelet-client-certificate "$certificates/kube-apiserver-kubelet-client.crt" \
    --kubelet-client-key "$certificates/kube-apiserver-kubelet-client.key" \
    --kubelet-preferred-address-types InternalIP \
    --service-account-issuer "https://kubernetes.default.svc.$cluster_domain" \
    --service-account-key-file "$certificates/service-account.pub" \
    --service-account-signing-key-file "$certificates/service-account.key" \
    --service-cluster-ip-range "$service_range" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --requestheader-client-ca-file "$certificates/front-proxy-ca.crt" \
    --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$certificates/front-proxy-client.crt" \
    --proxy-client-key-file "$certificates/front-proxy-client.key" \
    --enable-aggregator-routing \
    --audit-policy-file "$config/kube-apiserver/audit.yaml" --audit-log-path "$logs/audit.log" \
    --audit-log-maxsize 50 --audit-log-maxbackup 2
}

# Exactly "ok": the verbose text of a failure contains that word too, and a
# controller manager that starts before the RBAC roles exist gives up.
api_server_ready() { [[ $(kubectl get --raw /readyz 2>/dev/null) == ok ]]; }

# One instance each, so no leader election: losing a lease on a busy machine
# would end them.
ensure_controller_manager() {
  local client=$config/kube-controller-manager/kubeconfig
  write_kubeconfig "$client" kube-controller-manager
  ensure_daemon kube-controller-manager "$(tool_path kube-controller-manager)" \
    --kubeconfig "$client" --authentication-kubeconfig "$client" --authorization-kubeconfig "$client" \
    --bind-address 127.0.0.1 --leader-elect=false --use-service-account-credentials \
    --service-account-private-key-file "$certificates/service-account.key" \
    --root-ca-file "$certificates/ca.crt" \
    --cluster-signing-cert-file "$certificates/ca.crt" --cluster-signing-key-file "$certificates/ca.key" \
    --cluster-cidr "$pod_range" --allocate-node-cidrs=false
}

# A namespace takes pods once the controller manager has made its service account.
pods_admitted() { kubectl get serviceaccount default --namespace default; }

ensure_scheduler() {
  local client=$config/kube-scheduler/kubeconfig
  write_kubeconfig "$client" kube-scheduler
  ensure_daemon kube-scheduler "$(tool_path kube-scheduler)" \
    --kubeconfig "$client" --authentication-kubeconfig "$client" --authorization-kubeconfig "$client" \
    --bind-address 127.0.0.1 --leader-elect=false
}
