# shellcheck shell=bash
# kubelet, a daemon apart from containerd, so that either can be killed alone.

ensure_kubelet() {
  ensure_daemon kubelet "$(tool_path kubelet)" --config "$config/kubelet/config.yaml" \
    --kubeconfig "$config/kubelet/kubeconfig" --hostname-override "$node_name" \
    --node-ip "$node_address" --root-dir /var/lib/kubelet
}

# write_kubelet_config [CPU MANAGER POLICY]: none, or static, by which pods of the
# class Guaranteed that ask for whole CPUs have them to themselves.
# failCgroupV1 false: cgroup v1 hosts are served too. Eviction and image garbage
# collection wait until the disk is nearly full: images came from files and
# nobody would bring them back.
write_kubelet_config() {
  local policy=${1:-none}
  write_kubeconfig "$config/kubelet/kubeconfig" "$node_name"
  write_resolver_config
  cat >"$config/kubelet/config.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
containerRuntimeEndpoint: unix://$containerd_socket
volumePluginDir: $node_state/volume-plugins
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $certificates/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $certificates/$node_name.crt
tlsPrivateKeyFile: $certificates/$node_name.key
clusterDomain: $cluster_domain
clusterDNS: [$dns_service_address]
resolvConf: $config/kubelet/resolv.conf
maxPods: 110
serializeImagePulls: false
crashLoopBackOff: {maxContainerRestartPeriod: 2s}
evictionHard:
  memory.available: 100Mi
  nodefs.available: 1%
  imagefs.available: 1%
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
cpuManagerPolicy: $policy
YAML
  # One CPU stays everybody's: the static policy keeps as many as are reserved, rounded up.
  [[ $policy == none ]] || cat >>"$config/kubelet/config.yaml" <<YAML
cpuManagerReconcilePeriod: 1s
kubeReserved: {cpu: 100m}
YAML
  forget_cpu_manager "$policy"
}

# forget_cpu_manager POLICY: a kubelet does not start with the state of another policy.
forget_cpu_manager() {
  local folder
  folder=/proc/$(node_init)/root/var/lib/kubelet
  grep -qs "\"policyName\":\"$1\"" "$folder/cpu_manager_state" || rm -f "$folder/cpu_manager_state"
}

# Pods with dnsPolicy Default ask what the machine asks, if they may leave it.
write_resolver_config() {
  mkdir -p "$config/kubelet"
  if [[ $egress == 1 ]]; then
    cp --dereference /etc/resolv.conf "$config/kubelet/resolv.conf"
  else
    echo "nameserver $dns_service_address" >"$config/kubelet/resolv.conf"
  fi
}

kubelet_healthy() { answers_ok 10248 /healthz; }

node_ready() {
  [[ $(kubectl get node "$node_name" --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}
