#!/usr/bin/env bash
# Kill -9 the aggregator and collaborators at random moments of ten-round runs,
# at least 20 times in all. Every run must complete, and its final model must be
# that of an undisturbed run, bit for bit.
#
#   scripts/e2e/kill.sh [KILLS] [SEED]
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
kills=${1:-20}
RANDOM=${2:-$((RANDOM))}
echo "kill.sh: seed ${2:-random}, at least $kills kills"

work=$(mktemp -d)
declare -A pid=()
finish() {
  local p
  for p in "${pid[@]}"; do kill -9 "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

build "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
collaborators=(hospital-a hospital-b hospital-c)
federation . digits "$(free_port)" "${collaborators[@]}"

# launch NAME STATE starts a participant, or starts it again.
launch() {
  if [ "$1" = aggregator ]; then
    fxrun aggregator --bundle fed.fxb --state "$2/$1" --bind 127.0.0.1 --linger 6s >"$2/$1.out" 2>>"$2/$1.log" &
  else
    fxrun collaborator --bundle fed.fxb --name "$1" --data "ward/data/$1" --state "$2/$1" --poll-interval 100ms \
      >"$2/$1.out" 2>>"$2/$1.log" &
  fi
  pid[$1]=$!
}

# supervise STATE KILLING runs a federation to its end, starting again whatever
# was killed. It counts kills in $killed.
supervise() {
  local state=$1 killing=$2 name code deadline=$((SECONDS + 180))
  mkdir -p "$state"
  for name in aggregator "${collaborators[@]}"; do launch "$name" "$state"; done
  while [ ${#pid[@]} -gt 0 ]; do
    if [ $SECONDS -gt $deadline ]; then
      echo "kill.sh: error: not complete after 180 s: ${!pid[*]} still at work" >&2
      tail -n 5 "$state"/*.log >&2
      return 1
    fi
    sleep "0.$((RANDOM % 4 + 1))$((RANDOM % 10))"
    if [ "$killing" = yes ]; then
      local names=("${!pid[@]}")
      name=${names[$((RANDOM % ${#names[@]}))]}
      # Once the aggregator has left, nobody would answer a late collaborator;
      # and it can only leave if it is not killed whenever it is about to.
      if [ -n "${pid[aggregator]:-}" ] && [ ${#names[@]} -gt 1 ] && kill -9 "${pid[$name]}" 2>/dev/null; then killed=$((killed + 1)); fi
    fi
    for name in "${!pid[@]}"; do
      kill -0 "${pid[$name]}" 2>/dev/null && continue
      code=0
      wait "${pid[$name]}" || code=$?
      case $code in
        0) unset "pid[$name]" ;;
        137) launch "$name" "$state" ;;
        *)
          echo "kill.sh: error: $name ended with $code" >&2
          tail -n 5 "$state/$name.log" >&2
          return 1
          ;;
      esac
    done
  done
}

digest() { sha256sum "$1/aggregator/save/final.safetensors" "$1/aggregator/save/final.pbuf" | cut -d' ' -f1 | tr '\n' ' '; }

killed=0
supervise calm no
want=$(digest calm)
echo "undisturbed: $want"
n=0
while [ $killed -lt "$kills" ]; do
  n=$((n + 1))
  supervise "run$n" yes
  got=$(digest "run$n")
  echo "run $n: $got ($killed kills so far)"
  if [ "$got" != "$want" ]; then
    echo "kill.sh: error: the final model differs from that of the undisturbed run" >&2
    exit 1
  fi
done
echo "kill.sh: $killed kills in $n runs, one final model"
