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

# forget_containers: of an earlier run only the named images stay: its containers
# have no processes any more, and an image that lost its name to a newer one is
# kept by CRI's reference alone. CRI reads all of this when it starts.
forget_containers() {
  local containers sandboxes images
  mapfile -t containers < <(ctr containers list --quiet)
  mapfile -t sandboxes < <(ctr sandboxes list | awk 'NR > 1 {print $1}')
  mapfile -t images < <(ctr images list | awk '
    $1 !~ /^sha256:/ {named[$3]} $1 ~ /^sha256:/ {digest[$1] = $3}
    END {for (name in digest) if (!(digest[name] in named)) print name}')
  ((${#containers[@]} == 0)) || ctr containers delete "${containers[@]}"
  ((${#sandboxes[@]} == 0)) || ctr sandboxes remove --force "${sandboxes[@]}"
  ((${#images[@]} == 0)) || ctr images delete "${images[@]}" >>"$logs/images.log"
  if ((${#containers[@]} + ${#sandboxes[@]} + ${#images[@]})); then
    stop_daemon containerd TERM
    ensure_containerd
    wait_for_daemon containerd 30 containerd_ready
  fi
}
