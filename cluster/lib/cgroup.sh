# shellcheck shell=bash
# The node's cgroup in every hierarchy of the machine: many mounts on cgroup v1,
# one on v2. A cgroup namespace makes it the node's root.

# cgroup_mounts: mount points of all hierarchies.
cgroup_mounts() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts; }

# make_cgroup FOLDER: a v1 cpuset without CPUs and memory nodes takes no process.
make_cgroup() {
  local folder=$1 file parent
  parent=$(dirname "$folder")
  mkdir -p "$folder"
  [[ -e $folder/cgroup.controllers ]] && return
  for file in cpuset.cpus cpuset.mems; do
    [[ ! -e $folder/$file ]] || cat "$parent/$file" >"$folder/$file"
  done
}

# delegate_controllers FOLDER: on v2 children have only the controllers that their
# parent hands down. One that this machine doesn't allow is left out.
delegate_controllers() {
  local controller controllers
  [[ -e $1/cgroup.controllers ]] || return 0
  read -r -a controllers <"$1/cgroup.controllers" || return 0
  for controller in "${controllers[@]}"; do
    echo "+$controller" >"$1/cgroup.subtree_control" || true
  done
}

# join_cgroup MOUNT FOLDER: moves the calling shell. 0 means the writer itself.
join_cgroup() { echo 0 >"$1/$2/cgroup.procs"; }

# kill_cgroup NAME: ends every process in it, known or not.
kill_cgroup() {
  local mount
  while read -r mount; do
    [[ -d $mount/$1 ]] || continue
    find "$mount/$1" -name cgroup.procs -exec cat {} + | sort --unique | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
  done < <(cgroup_mounts)
}

# remove_cgroup NAME: deepest folders first; the kernel refuses one until its
# last process has been reaped.
remove_cgroup() {
  local mount
  while read -r mount; do
    [[ -d $mount/$1 ]] || continue
    wait_until 10 remove_cgroup_tree "$mount/$1" || return 1
  done < <(cgroup_mounts)
}

remove_cgroup_tree() {
  find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
  [[ ! -d $1 ]]
}
