# shellcheck shell=bash
# The node's network: a namespace joined to the host by one veth pair. Inside is
# no default route, so nothing leaves the machine unless CLUSTER_EGRESS=1.

egress_table=virtpod-cluster

in_network() { nsenter --net="/run/netns/$node_name" "$@"; }

ensure_network() {
  ip netns list | grep -qw "^$node_name" || ip netns add "$node_name"
  in_network ip link show dev eth0 >/dev/null 2>&1 || make_link
  in_network ip link show dev cni0 >/dev/null 2>&1 || make_bridge
  ip route replace "$node_pod_range" via "$node_address" dev "$host_link"
  ip route replace "$service_range" via "$node_address" dev "$host_link"
  # The pod range without the node's part has no owner.
  in_network ip route replace unreachable "$pod_range"
  # The kernel routes before kube-proxy's rules rewrite the address: a service
  # without a rule dies on the bridge, where nobody answers for it.
  in_network ip route replace "$service_range" dev cni0 src "$node_address"
  in_network bash -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  # A pod's packet to a service leaves by the bridge it came from: no redirects.
  in_network bash -c 'echo 0 | tee /proc/sys/net/ipv4/conf/{all,default,cni0}/send_redirects >/dev/null'
  if [[ $egress == 1 ]]; then open_egress; else close_egress; fi
}

make_link() {
  ip link delete dev "$host_link" 2>/dev/null || true
  ip link add "$host_link" type veth peer name eth0 netns "$node_name"
  ip address add "$host_address/24" dev "$host_link"
  ip link set "$host_link" up
  in_network ip link set lo up
  in_network ip address add "$node_address/24" dev eth0
  in_network ip link set eth0 up
}

# The CNI plugin's bridge, made before the first pod because routes name it. A
# fixed address (locally administered) keeps the kernel from adopting a port's.
make_bridge() {
  in_network ip link add cni0 address "$(printf '02:56:50:00:00:%02x' "$node_number")" type bridge
  in_network ip address add "$node_pod_gateway/$node_pod_prefix" dev cni0
  in_network ip link set cni0 up
}

open_egress() {
  save_host_setting net/ipv4/ip_forward
  echo 1 >/proc/sys/net/ipv4/ip_forward
  in_network ip route replace default via "$host_address"
  nft -f - <<RULES
table ip $egress_table
delete table ip $egress_table
table ip $egress_table {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr {$host_address/24, $pod_range} oifname != "$host_link" masquerade
  }
}
RULES
}

close_egress() {
  in_network ip route delete default 2>/dev/null || true
  nft delete table ip "$egress_table" 2>/dev/null || true
  restore_host_setting net.ipv4.ip_forward
}

# A namespace that dies takes its end of the veth with it, and that the other
# end and its routes; asynchronously, hence the explicit deletion.
remove_network() {
  ip link delete dev "$host_link" 2>/dev/null || true
  [[ ! -e /run/netns/$node_name ]] || ip netns delete "$node_name"
  nft delete table ip "$egress_table" 2>/dev/null || true
}
