# shellcheck shell=bash
# containerd and the network of its pods: a bridge, addresses of the node's range.

ensure_containerd() {
  local plugins
  plugins=$(dirname "$(tool_path bridge)")
  mkdir -p "$config/containerd/cni"
  cat >"$config/containerd/cni/10-virtpod.conflist" <<JSON
{
  "cniVersion": "1.0.0",
  "name": "virtpod",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "$node_pod_range", "gateway": "$node_pod_gateway"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}, "backend": "nftables"}
  ]
}
JSON
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower the score,
  # and dies with "can't get final child's PID from pipe".
  # device_ownership_from_security_context stays off, as clusters have it.
  cat >"$config/containerd/config.toml" <<TOML
version = 3
root = "$node_state/containerd"
state = "/run/containerd"

[grpc]
address = "$containerd_socket"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "$pause_image"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
device_ownership_from_security_context = false

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["$plugins"]
conf_dir = "$config/containerd/cni"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
TOML
  # containerd looks for its shim on the PATH.
  PATH=$(dirname "$(tool_path containerd-shim-runc-v2)"):$PATH \
    ensure_daemon containerd "$(tool_path containerd)" --config "$config/containerd/config.toml" --log-level warn
}

containerd_ready() { ctr version; }

# forget_containers: the images of an earlier run stay, its containers do not: no
# process of theirs is left.
forget_containers() {
  local container sandbox
  for container in $(ctr containers list --quiet); do ctr containers delete "$container" || true; done
  for sandbox in $(ctr sandboxes list --quiet 2>/dev/null); do ctr sandboxes delete --force "$sandbox" || true; done
}
