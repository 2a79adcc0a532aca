# shellcheck shell=bash
# The node as a set of namespaces (network, PID, mount, cgroup), held open by its
# first process; ending that one ends all.

# folders in which the node sees its own content instead of the machine's
node_folders=(/var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers)

# process_start PID: start time in clock ticks since boot (proc(5), stat field 22),
# which tells a process from a later one with the same number.
process_start() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  cut -d ' ' -f 20 <<<"$stat"
}

# node_init: PID of the node's first process, as the host numbers it; false if it is gone.
node_init() {
  local pid start
  read -r pid start 2>/dev/null <"$node_state/init" || return 1
  [[ $(process_start "$pid") == "$start" ]] || return 1
  echo "$pid"
}

# node_enter COMMAND...: runs the command inside. nsenter rather than `ip netns
# exec`, which would mount another /sys, without the cgroups.
node_enter() {
  local init
  init=$(node_init) || fail "$node_name does not run: start it with cluster/up."
  nsenter --target "$init" --pid --mount --net --cgroup -- "$@" 9>&-
}

start_node() {
  local folder parent
  mkdir -p "$node_state" "$logs" "$run" "$config"
  for folder in "${node_folders[@]}"; do
    [[ -d $folder ]] || { mkdir -p "$folder" && echo "$folder" >>"$state/made-folders"; }
  done
  setsid "$cluster/node/start" "$node_name" "$node_state" "$(pause_program)" \
    </dev/null >"$logs/node.log" 2>&1 9>&- &
  parent=$!
  wait_until 10 node_started "$parent" ||
    fail_with_log "$logs/node.log" "the namespaces of $node_name did not come up."
  step "started the namespaces of $node_name"
}

# node_started PARENT: records the first process once it has made its mounts.
node_started() {
  local pid
  pid=$(pgrep --parent "$1") || return 1
  [[ $(basename "$(readlink "/proc/$pid/exe")") == pause ]] || return 1
  echo "$pid $(process_start "$pid")" >"$node_state/init"
}

# stop_node: also waits for unshare, the parent, which the node's cgroup counts too.
stop_node() {
  local pid parent
  pid=$(node_init) || return 0
  parent=$(ps --pid "$pid" --format ppid= | tr -d ' ')
  kill -KILL "$pid"
  wait_until 20 processes_gone "$pid" "$parent" ||
    fail "process $pid, the first of $node_name, does not end."
}

processes_gone() { [[ ! -e /proc/$1 && ! -e /proc/$2 ]]; }

# remove_made_folders: what start_node made on the host, deepest first, if empty.
remove_made_folders() {
  [[ -e $state/made-folders ]] || return 0
  sort --reverse "$state/made-folders" | xargs --no-run-if-empty rmdir --ignore-fail-on-non-empty 2>/dev/null || true
  rm "$state/made-folders"
}
