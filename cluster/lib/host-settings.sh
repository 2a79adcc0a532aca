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

# restore_host_setting NAME, with dots; one that was never changed is left alone.
restore_host_setting() {
  local file=$state/host-settings/$1
  [[ -e $file ]] || return 0
  cat "$file" >"/proc/sys/${1//.//}" || fail "could not put the kernel setting $1 back to $(cat "$file")."
  rm "$file"
}

restore_host_settings() {
  local file
  for file in "$state"/host-settings/*; do restore_host_setting "$(basename "$file")"; done
}
