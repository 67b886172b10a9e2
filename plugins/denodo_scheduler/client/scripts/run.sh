# Read by /bin/sh from its standard input, after the line "tag=…" and before a line "run …". The end of that input ends
# the script with everything that it has started, and the shell; then the private folder is removed.
# shellcheck shell=sh disable=SC2154 # tag is assigned on the line before

umask 077
trap 'rm -rf "$folder"' EXIT
trap exit HUP INT TERM
trap : PIPE

say() { echo "$tag" "$@"; }

# run GRACE SECONDS SCRIPT ARGUMENT…: run the script until it ends, the input ends, or the time is over, and say how.
# timeout makes a process group, passes SIGTERM on to it and sends SIGKILL after GRACE; what is left then is killed too.
run() {
  grace=$1 seconds=$2
  shift 2
  [ -f "$1" ] || { say lacks script; exit; }
  [ -x "$1" ] || { say lacks permission; exit; }
  command -v timeout >/dev/null || { say lacks timeout; exit; }
  timeout -k "$grace" "$seconds" "$@" </dev/null >"$folder/console" 2>&1 3<&- & running=$!
  { cat <&3 >/dev/null; [ -e "$folder/ended" ] || kill "$running"; } 2>/dev/null &
  wait "$running"; code=$?
  : >"$folder/ended"; kill -s KILL -- "-$running" 2>/dev/null
  say exit "$code"
  wait
  exit
}

folder=$(mktemp -d "${TMPDIR:-/tmp}/denodo-scheduler.XXXXXXXX") || exit
exec 3<&0
say folder "$folder"
