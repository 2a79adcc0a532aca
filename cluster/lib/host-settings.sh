# shellcheck shell=bash
# Kernel settings outside every namespace that a run changes (kubelet sets
# several): noted at the start, put back at the end.

kubelet_settings=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes)

# save_host_setting NAME: the first value noted wins.
save_host_setting() {
  local file=$state/host-settings/${1//\//.}
  mkdir -p "$state/host-settings"
  [[ -e $file || ! -r /proc/sys/$1 ]] || cat "/proc/sys/$1" >"$file"
}

save_kubelet_settings() {
  local setting
  for setting in "${kubelet_settings[@]}"; do save_host_setting "$setting"; done
}

restore_host_settings() {
  local file name
  for file in "$state"/host-settings/*; do
    [[ -e $file ]] || continue
    name=$(basename "$file")
    cat "$file" >"/proc/sys/${name//.//}" 2>/dev/null || step "could not restore $name to $(cat "$file")"
  done
  rm -rf "$state/host-settings"
}
