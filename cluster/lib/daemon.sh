# shellcheck shell=bash
# Daemons of the node: started once, known by PID file, restarted when their
# command or their configuration (files under $config/NAME/) has changed.

# daemon_pid NAME: its PID inside the node; false if it does not run. The node's
# own /proc is read from outside.
daemon_pid() {
  local init pid command
  init=$(node_init) || return 1
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  command=$(cat "/proc/$init/root/proc/$pid/comm" 2>/dev/null) || return 1
  # The kernel keeps 15 characters, of a script those of its own name.
  [[ $command == "${1:0:15}" ]] || return 1
  echo "$pid"
}

# daemon_fingerprint NAME COMMAND...: changes with whatever needs a restart.
daemon_fingerprint() {
  local name=$1
  shift
  mkdir -p "$config/$name"
  {
    printf '%s\n' "$@"
    find "$config/$name" "$certificates" -type f -exec sha256sum {} + | sort
  } | sha256sum
}

# ensure_daemon NAME COMMAND...: NAME is also that of the program.
ensure_daemon() {
  local name=$1 fingerprint
  fingerprint=$(daemon_fingerprint "$@")
  if daemon_pid "$name" >/dev/null; then
    [[ $fingerprint == "$(cat "$run/$name.fingerprint" 2>/dev/null)" ]] && return
    stop_daemon "$name" TERM
  fi
  echo "$fingerprint" >"$run/$name.fingerprint"
  start_daemon "$@"
}

start_daemon() {
  local name=$1
  shift
  [[ ! -e $logs/$name.log ]] || mv "$logs/$name.log" "$logs/$name.previous.log"
  rm -f "$run/$name.pid"
  node_enter "$cluster/node/daemon" "$run/$name.pid" "$logs/$name.log" "$@"
  wait_until 5 test -s "$run/$name.pid" || fail_with_log "$logs/$name.log" "$name did not start."
  step "started $name"
}

# stop_daemon NAME SIGNAL: returns when the process is gone.
stop_daemon() {
  local pid
  pid=$(daemon_pid "$1") || return 0
  node_enter kill -s "$2" "$pid"
  wait_until 20 daemon_stopped "$1" || fail "$1 (process $pid of $node_name) did not end after SIG$2."
}

daemon_stopped() { ! daemon_pid "$1" >/dev/null; }

# wait_for_daemon NAME SECONDS COMMAND...: until COMMAND is true; a daemon that
# has ended or is not ready in time ends the run with its log.
wait_for_daemon() {
  local name=$1 seconds=$2
  shift 2
  wait_until "$seconds" ended_or "$name" "$@" ||
    fail_with_log "$logs/$name.log" "$name was not ready within $seconds s."
  daemon_pid "$name" >/dev/null || fail_with_log "$logs/$name.log" "$name ended."
}

# answers_ok PORT PATH: whether a daemon's health endpoint on the node's loopback says 200.
answers_ok() {
  # shellcheck disable=SC2016
  node_enter bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET $1 HTTP/1.0\r\n\r\n" >&3 && grep -q "200 OK" <&3' "$1" "$2"
}

ended_or() {
  daemon_stopped "$1" || "${@:2}" >/dev/null 2>&1
}
