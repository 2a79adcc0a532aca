# shellcheck shell=bash
# Progress on stderr: elapsed seconds of the whole run, then what happened.

began=${EPOCHREALTIME/[.,]/}

elapsed() {
  local tenths=$(((${EPOCHREALTIME/[.,]/} - began) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

step() { printf '[%6s s] %s\n' "$(elapsed)" "$*" >&2; }

fail() {
  printf '[%6s s] error: %s\n' "$(elapsed)" "$*" >&2
  exit 1
}

# fail_with_log LOGFILE SENTENCE: ends the run, showing the log's last lines.
fail_with_log() {
  local log=$1
  shift
  printf '[%6s s] error: %s\n' "$(elapsed)" "$*" >&2
  printf -- '--- the last lines of %s\n' "$log" >&2
  tail -n 20 "$log" >&2 || true
  exit 1
}

# quietly LOGNAME SENTENCE COMMAND...: output goes to the log; SENTENCE says what failed.
quietly() {
  local log=$logs/$1.log sentence=$2
  shift 2
  mkdir -p "$logs"
  "$@" >>"$log" 2>&1 </dev/null || fail_with_log "$log" "$sentence"
}

# wait_until SECONDS COMMAND...: true as soon as COMMAND is, false at the deadline.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}
