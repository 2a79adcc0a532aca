# shellcheck shell=bash
# The order in which the parts come up, and how all of them go.

daemons=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy coredns provisioner)

# lock_cluster: one cluster/up, down or kubelet command at a time, held through descriptor 9.
lock_cluster() {
  mkdir -p "$state"
  exec 9>"$state/lock"
  flock --timeout 1800 9 || fail "another command has been working on the cluster for half an hour: see $state/lock."
}

cluster_healthy() {
  local name
  for name in "${daemons[@]}"; do daemon_pid "$name" >/dev/null || return 1; done
  api_server_ready && node_ready
}

build_tools() {
  local name
  for name in "${cluster_binaries[@]}"; do ensure_tool "$name"; done
}

# Every step looks first whether its work is done already, so this starts a
# cluster, completes half of one and leaves a whole one alone.
ensure_cluster() {
  if node_init >/dev/null; then
    ensure_network
  else
    remove_remains
    save_kubelet_settings
    ensure_network
    start_node
  fi
  ensure_certificates
  write_kubeconfig "$kubeconfig" admin

  ensure_containerd
  ensure_etcd
  wait_for_daemon etcd 30 etcd_healthy
  ensure_api_server
  wait_for_daemon containerd 30 containerd_ready
  # Before this node's first kubelet, all containers are an earlier node's.
  [[ -e $run/kubelet.pid ]] || forget_containers
  load_pause_image
  wait_for_daemon kube-apiserver 90 api_server_ready
  step "the API server is ready"

  quietly manifests "the cluster's own objects could not be applied." \
    kubectl apply --server-side --force-conflicts --filename "$cluster/manifests"
  ensure_controller_manager
  ensure_scheduler
  write_kubelet_config
  ensure_kubelet
  ensure_proxy
  ensure_dns
  ensure_provisioner
  wait_for_daemon coredns 60 dns_ready
  step "CoreDNS is ready"
  wait_for_daemon kubelet 60 kubelet_healthy
  wait_for_daemon kubelet 90 node_ready
  step "$node_name is ready"
  wait_for_daemon kube-controller-manager 60 pods_admitted
  step "pods are admitted"
}

# repair_cluster: completes a cluster whose node runs; one that resists starts over.
repair_cluster() {
  local status
  # Not in a condition, where errexit would not hold.
  set +o errexit
  (set -o errexit && ensure_cluster)
  status=$?
  set -o errexit
  ((status == 0)) && return
  step "the cluster could not be completed: starting it over"
  remove_remains
  ensure_cluster
}

# remove_remains: whatever a cluster leaves, running or dead. Images, certificates
# and logs stay.
remove_remains() {
  stop_node
  kill_cgroup "$node_name" # a node whose state folder is gone
  remove_network
  remove_cgroup "$node_name" || fail "a cgroup of $node_name still holds processes; cluster/leftovers lists them."
  if grep -q " $state/" /proc/self/mountinfo; then
    fail "something is still mounted below $state; cluster/leftovers lists it."
  fi
  remove_volumes
  rm -rf --one-file-system "${node_state:?}"/{etcd,lib,log,run,config,volume-plugins,init}
  remove_made_folders
  restore_host_settings
}

print_table() {
  local name
  printf '\n%-25s %7s  %s\n' PROGRAM PID LOG
  for name in "${daemons[@]}"; do
    printf '%-25s %7s  %s\n' "$name" "$(daemon_pid "$name")" "$logs/$name.log"
  done
  printf '\nPIDs are those inside %s (cluster/enter); API server: %s\n' "$node_name" "$api_server"
  printf 'export KUBECONFIG=%s\n' "$kubeconfig"
}
