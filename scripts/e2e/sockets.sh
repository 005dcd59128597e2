#!/usr/bin/env bash
# During a run the aggregator has exactly one listening socket, a collaborator
# none; a collaborator's only connections go to the aggregator's port; and every
# request had a TLS connection of its own. Reads /proc: Linux only.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
if [ ! -r /proc/self/net/tcp ]; then
  echo "sockets.sh: skipped: there is no /proc/net/tcp here"
  [ "${CI:-}" != true ] || exit 1
  exit 0
fi

work=$(mktemp -d)
pids=()
finish() {
  local p
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

build "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
port=$(free_port)
federation . digits "$port" hospital-a hospital-b

# sockets PID prints "STATE LOCAL-PORT REMOTE-PORT" of each TCP or UDP socket of
# a process, ports in decimal; state 0A is listening.
sockets() {
  local inode
  for inode in $(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n'); do
    awk -v inode="$inode" '$10 == inode { split($2, l, ":"); split($3, r, ":"); print $4, l[2], r[2] }' \
      /proc/self/net/tcp /proc/self/net/tcp6 /proc/self/net/udp /proc/self/net/udp6
  done | while read -r state local remote; do
    echo "$state $((16#$local)) $((16#$remote))"
  done
}

fxrun aggregator --bundle fed.fxb --state agg --bind 127.0.0.1 --linger 1s --json >agg.json 2>agg.log &
pids+=($!)
until grep -q listening agg.log; do sleep 0.1; done
for c in hospital-a hospital-b; do
  fxrun collaborator --bundle fed.fxb --name "$c" --data "ward/data/$c" --state "$c" --poll-interval 100ms --json >"$c.json" 2>"$c.log" &
  pids+=($!)
done

samples=0 seen=0
while kill -0 "${pids[0]}" 2>/dev/null; do
  got=$(sockets "${pids[0]}" | awk '$1 == "0A"')
  if [ -n "$got" ] && [ "$got" != "0A $port 0" ]; then
    echo "sockets.sh: error: the aggregator listens on: $got; the plan's port is $port" >&2
    exit 1
  fi
  [ -z "$got" ] || seen=$((seen + 1))
  for p in "${pids[@]:1}"; do
    if sockets "$p" | awk -v port="$port" '$1 == "0A" || $3 != port && $3 != 0 { bad = 1; print } END { exit !bad }'; then
      echo "sockets.sh: error: a collaborator has the socket above; it may only talk to port $port" >&2
      exit 1
    fi
  done
  samples=$((samples + 1))
done
for p in "${pids[@]}"; do wait "$p"; done
pids=()
if [ $seen -lt 3 ]; then
  echo "sockets.sh: error: the listening socket was seen $seen times in $samples samples: nothing was proven" >&2
  exit 1
fi

total=0
for c in hospital-a hospital-b; do
  connections=$(json_field connections <"$c.json") requests=$(json_field requests <"$c.json")
  if [ "$connections" != "$requests" ]; then
    echo "sockets.sh: error: $c made $connections connections for $requests requests" >&2
    exit 1
  fi
  total=$((total + requests))
done
connections=$(json_field connections <agg.json) requests=$(json_field requests <agg.json)
if [ "$connections" != "$requests" ] || [ "$requests" != "$total" ]; then
  echo "sockets.sh: error: the aggregator counts $connections connections and $requests requests, the collaborators $total" >&2
  exit 1
fi
echo "sockets.sh: one listening socket in $samples samples, none at collaborators; $connections connections for $requests requests"
