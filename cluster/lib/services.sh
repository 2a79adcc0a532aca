# shellcheck shell=bash
# Cluster addresses (kube-proxy) and cluster names (CoreDNS, a daemon of node 1
# behind the kube-dns service: it needs no image and no pod to be there first).

# Replies between two pods of one bridge would bypass the node, which has no
# bridge conntrack to send them through: masquerade-all brings them back to it.
# conntrack's limits are the machine's own; 0 leaves them alone.
ensure_proxy() {
  write_kubeconfig "$config/kube-proxy/kubeconfig" kube-proxy
  ensure_daemon kube-proxy "$(tool_path kube-proxy)" --kubeconfig "$config/kube-proxy/kubeconfig" \
    --proxy-mode nftables --hostname-override "$node_name" --cluster-cidr "$pod_range" --masquerade-all \
    --conntrack-max-per-core 0 --conntrack-min 0 \
    --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
}

ensure_dns() {
  write_kubeconfig "$config/coredns/kubeconfig" coredns
  write_corefile >"$config/coredns/Corefile"
  ensure_daemon coredns "$(tool_path coredns)" -conf "$config/coredns/Corefile"
}

write_corefile() {
  cat <<CADDY
$cluster_domain:53 in-addr.arpa:53 ip6.arpa:53 {
  bind $node_address
  errors
  ready 127.0.0.1:8181
  kubernetes {
    kubeconfig $config/coredns/kubeconfig virtpod
    pods insecure
    ttl 1
  }
  loadbalance
}
CADDY
  [[ $egress == 1 ]] || return 0
  cat <<CADDY
.:53 {
  bind $node_address
  errors
  cache 30
  forward . $(awk '$1 == "nameserver" {printf "%s ", $2}' /etc/resolv.conf)
}
CADDY
}

dns_ready() { answers_ok 8181 /ready; }
