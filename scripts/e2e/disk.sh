#!/usr/bin/env bash
# What a disk can do to a participant: it is full, it is read-only, and
# the process is killed right before a durable step (strace does it, before the nth
# fsync, link, rename, mkdir or unlink of a thread). The final model must be that of
# an undisturbed run, bit for bit, and every message must say what to do. Linux, root.
#
#   scripts/e2e/disk.sh [KILLS]
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
kills=${1:-${FX_DISK_KILLS:-4}}
skip() {
  echo "disk.sh: skipped: $1"
  [ "${CI:-}" != true ] || exit 1
  exit 0
}
[ "$(id -u)" = 0 ] || skip "only root may mount a small file system"
strace -qq -f -e trace=none -o /dev/null true 2>/dev/null || skip "strace does not work here"
if [ "${FX_DISK_NAMESPACE:-}" != yes ]; then # mounts of its own, which end with it
  unshare -m true 2>/dev/null || skip "no mount namespaces here"
  FX_DISK_NAMESPACE=yes exec unshare -m "$0" "$@"
fi

work=$(mktemp -d)
declare -A pid=()
finish() {
  local p
  for p in "${pid[@]}"; do kill -9 "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  umount "$work/small" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() {
  echo "disk.sh: error: $1" >&2
  tail -n 3 "$work"/*.log "$work"/*.out >&2 || true
  exit 1
}

build "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
federation . digits "$(free_port)" hospital-a
sed -i -e 's/rounds_to_train: .*/rounds_to_train: 3/' -e 's/client_reconnect_interval: .*/client_reconnect_interval: 1/' \
  -e s/NoCompressionPipeline/EdenPipeline/ -e 's/^  train:/  train:\n    aggregation_type: {template: fx.aggregation.FedAvgM}/' ward/plan/plan.yaml
fxctl model init ward --force >/dev/null
fxctl bundle create ward -o ward.fxb --as alice --quiet >/dev/null
fxctl bundle approve ward.fxb --as bob --yes --quiet >/dev/null

aggregator() { # STATE [PROGRAM...]: in the background, perhaps under a program
  local state=$1
  shift
  "$@" fxrun aggregator --bundle ward.fxb --state "$state" --bind 127.0.0.1 --linger 100ms --receipt-every-round \
    >aggregator.out 2>>aggregator.log &
  pid[aggregator]=$!
}
collaborator() { # STATE [PROGRAM...]
  local state=$1
  shift
  "$@" fxrun collaborator --bundle ward.fxb --name hospital-a --data ward/data/hospital-a --state "$state" --poll-interval 100ms \
    >collaborator.out 2>>collaborator.log &
  pid[collaborator]=$!
}
ends() { # NAME CODE: it ends with that exit code
  local code=0
  wait "${pid[$1]}" || code=$?
  unset "pid[$1]"
  [ "$code" = "$2" ] || fail "the $1 ended with $code, want $2"
}
says() { # NAME TEXT: in its log, with the hint
  grep -q "$2" "$1.log" || fail "the $1 does not say: $2"
  grep -q 'hint: df -h' "$1.log" || fail "the $1 has no hint about the disk"
}
await() { # FILE TEXT
  local n
  for n in $(seq 300); do
    ! grep -qs "$2" "$1" || return 0
    sleep 0.1
  done
  fail "$1 never said: $2"
}
same() { # STATE
  [ "$(sha256sum <"$1/save/final.safetensors")" = "$want" ] || fail "the final model of $1 differs from that of the undisturbed run"
  fxctl receipt verify "$1/receipt.json" --bundle ward.fxb --state "$1" --quiet >/dev/null
  rm -f ./*.log ./*.out
}

aggregator calm
collaborator calm-a
ends collaborator 0
ends aggregator 0
want=$(sha256sum <calm/save/final.safetensors)
same calm
echo "undisturbed: ${want%% *}"

# Full: 2 MB are taken but for the first few files. The aggregator says so and goes
# on, or ends with a hint; both carry on once there is room.
mkdir small
mount -t tmpfs -o size=2m tmpfs small
mkdir small/agg
dd if=/dev/zero of=small/filler bs=4k count=490 status=none # leaves some 90 kB
aggregator small/agg
collaborator full-a
await aggregator.log 'no space left on device'
sleep 0.5
if ! kill -0 "${pid[aggregator]}" 2>/dev/null; then # a round could not be closed, or the start not be made
  ends aggregator 1
  says aggregator 'no space left on device'
  rm small/filler
  aggregator small/agg
else
  rm small/filler
fi
ends collaborator 0
ends aggregator 0
same small/agg
echo "full disk of the aggregator: the same model"

# Full at a collaborator: it ends with a hint, before anything is sent.
dd if=/dev/zero of=small/filler bs=4k status=none 2>/dev/null || true
mkdir calm2
aggregator calm2
await aggregator.log 'msg=listening\|"listening"'
collaborator small/b
ends collaborator 1
says collaborator 'no space left on device'
rm small/filler
collaborator small/b
ends collaborator 0
ends aggregator 0
same calm2
echo "full disk of a collaborator: the same model"

# Read-only.
mount -o remount,ro small
aggregator small/agg
ends aggregator 1
says aggregator 'read-only file system'
mount -o remount,rw small
echo "read-only disk: said, exit code 1"

# Killed right before a durable step, either side, at another one each time.
for n in $(seq "$kills"); do
  steps=fsync,linkat,renameat,mkdirat,unlinkat
  [ $((n % 3)) != 0 ] || steps=renameat # models, receipts: those replace
  die=(strace -f -qq -o /dev/null -e "trace=$steps" -e "inject=$steps:signal=KILL:when=$((n / 2 + 1))")
  state=killed$n
  if [ $((n % 2)) = 0 ]; then
    aggregator "$state" "${die[@]}"
    collaborator "$state-a"
    { wait "${pid[aggregator]}" || true; } 2>/dev/null # bash would say "Killed"
    aggregator "$state"
  else
    aggregator "$state"
    collaborator "$state-a" "${die[@]}"
    code=0
    { wait "${pid[collaborator]}" || code=$?; } 2>/dev/null
    [ $code = 0 ] || collaborator "$state-a"
  fi
  wait "${pid[collaborator]}" || fail "the collaborator did not end well after kill $n"
  unset "pid[collaborator]"
  ends aggregator 0
  same "$state"
done
echo "disk.sh: $kills kills right before a durable step, one final model"
