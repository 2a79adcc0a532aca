# shellcheck shell=bash
# Everything that the commands of this folder share.
here=$(dirname "${BASH_SOURCE[0]}")
for part in settings log host host-settings tools cgroup network node daemon certificates \
  kubeconfig image control-plane containerd kubelet services volume storage lifecycle; do
  # shellcheck source=/dev/null
  . "$here/$part.sh"
done

# A command that fails where nobody looks ends the run; this says which one.
set -o errtrace
trap 'printf "error: %s failed (%s, line %s)\n" "$BASH_COMMAND" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR
