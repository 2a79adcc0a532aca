# shellcheck shell=bash
# The StorageClass "local" (manifests/storage.yaml): its volumes come from node/provisioner and end with the cluster.

storage_class=local

ensure_provisioner() {
  write_kubeconfig "$config/provisioner/kubeconfig" admin
  # Daemons restart when a file of their configuration has changed; of a script that is the script.
  cp "$cluster/node/provisioner" "$cluster/lib/volume.sh" "$config/provisioner"
  ensure_daemon provisioner "$cluster/node/provisioner" "$volumes" "$node_name" "$storage_class" \
    "$(tool_path kubectl)" --kubeconfig "$config/provisioner/kubeconfig"
}

# remove_volumes: of a node that has ended, and its mounts with it. Loop devices belong to no namespace.
remove_volumes() {
  local volume
  for volume in "$volumes"/*/; do
    [[ -e ${volume}image ]] || continue
    detach_image "${volume}image"
    wait_until 10 image_detached "${volume}image" || fail "${volume}image is still in use; cluster/leftovers lists its loop device."
  done
  rm -rf --one-file-system "${volumes:?}"
}
