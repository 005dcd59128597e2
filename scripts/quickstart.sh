#!/usr/bin/env bash
# The main job of fx, from an empty folder to a trained model, as its four users
# would do it. Every command is printed before it runs.
#
#   scripts/quickstart.sh [--template digits|no-op] [--keep DIR]
#
# Needs Go and a shell. Everything happens in a new temporary folder (or in DIR,
# which is kept), on the loopback, without root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

template=digits keep=
while [ $# -gt 0 ]; do
  case $1 in
    --template) template=${2:?--template needs a name}; shift 2 ;;
    --keep) keep=${2:?--keep needs a folder}; shift 2 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart: error: no use for $1" >&2; exit 2 ;;
  esac
done
case $template in
  digits | no-op) ;;
  *) echo "quickstart: error: no template $template; there are digits and no-op" >&2; exit 2 ;;
esac

if [ -n "$keep" ]; then
  mkdir -p "$keep"
  work=$(cd "$keep" && pwd)
  if [ -n "$(ls -A "$work")" ]; then
    echo "quickstart: error: $keep is not empty" >&2
    exit 2
  fi
else
  work=$(mktemp -d)
fi
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  [ -n "$keep" ] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n# %s\n' "$*"; }
run() {
  printf '$ %s\n' "$*"
  "$@"
}
start() { # in the background, its log in a file
  local log=$1
  shift
  printf '$ %s &\n' "$*"
  "$@" >"$log.json" 2>"$log.log" &
  pids+=($!)
}

say "Build the two programs"
printf '$ go build -o bin/ ./cli/fxctl ./runtime/fxrun\n'
build "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
collaborators=(hospital-a hospital-b hospital-c)
port=$(free_port)
printf 'only for this demonstration\n' >passphrase
began=$SECONDS

say "The CA custodian creates the federation's CA, offline"
run fxctl ca init --name fed.example.org --passphrase-file passphrase
root=$(fxctl cert inspect ca/cert_chain.crt --json | json_field fingerprint)

say "Each participant makes a key and a request, and reads out its fingerprint"
request() { run fxctl cert request "$@"; }
request --role aggregator --name localhost --dns localhost
for c in "${collaborators[@]}"; do request --role collaborator --name "$c"; done
request --role publisher --name alice
request --role reviewer --name bob

say "The custodian compares each fingerprint, signs, and hands out an answer;
# the participant imports it, having heard the root's fingerprint by telephone"
sign() {
  local role=$1 name=$2 csr=$3 fingerprint
  fingerprint=$(fxctl cert inspect "$csr" --json | json_field fingerprint)
  run fxctl ca sign "$csr" --role "$role" --name "$name" --fingerprint "$fingerprint" --passphrase-file passphrase -o "$name.answer" --quiet
  run fxctl cert import "$name.answer" --root-fingerprint "$root" --quiet
}
sign aggregator localhost cert/server/agg_localhost.csr
for c in "${collaborators[@]}"; do sign collaborator "$c" "cert/client/col_$c.csr"; done
sign publisher alice cert/signer/alice.csr
sign reviewer bob cert/signer/bob.csr

say "The publisher makes a workspace, validates its plan, and packs and signs a bundle"
run fxctl workspace create ward --template "$template" --agg-addr localhost --agg-port "$port" "${collaborators[@]/#/--collaborator=}"
run fxctl plan validate ward
run fxctl plan id ward
run fxctl bundle create ward -o ward.fxb --as alice

say "The reviewer looks at what would run and what would leave, and approves"
run fxctl bundle inspect ward.fxb
run fxctl bundle approve ward.fxb --as bob --yes
run fxctl bundle verify ward.fxb

say "The aggregator starts; a collaborator's IT tests the connection"
start aggregator fxrun aggregator --bundle ward.fxb --state state/aggregator --bind 127.0.0.1 --linger 1s --json
aggregator=${pids[0]}
for _ in $(seq 100); do
  grep -q '"listening"' aggregator.log && break
  kill -0 "$aggregator" 2>/dev/null || { cat aggregator.log >&2; exit 1; }
  sleep 0.1
done
run fxrun ping --bundle ward.fxb --name hospital-a

say "The collaborators join, each with its own data; nobody sees another's"
for c in "${collaborators[@]}"; do
  data=()
  [ "$template" = no-op ] || data=(--data "ward/data/$c")
  start "$c" fxrun collaborator --bundle ward.fxb --name "$c" "${data[@]}" --state "state/$c" --poll-interval 200ms --json
done

say "Rounds, as the aggregator closes them"
shown=0
progress() { # prints the rounds closed since the last call
  local all
  all=$(sed -n 's/^.*"msg":"round closed","round":\([0-9]*\),"of":\([0-9]*\),"collaborators":\([0-9]*\),\{0,1\}\(.*\)}$/round \1 of \2, \3 collaborators  \4/p' aggregator.log |
    sed 's/,"best":[a-z]*//; s/"best":[a-z]*//; s/","/  /g; s/"//g; s/:/ /g')
  if [ "$(printf '%s' "$all" | grep -c '')" -gt "$shown" ]; then
    printf '%s\n' "$all" | tail -n +$((shown + 1))
    shown=$(printf '%s\n' "$all" | grep -c '')
  fi
}
while kill -0 "$aggregator" 2>/dev/null; do
  progress
  for pid in "${pids[@]:1}"; do # a collaborator that gave up is not waited for
    kill -0 "$pid" 2>/dev/null && continue
    code=0
    wait "$pid" || code=$?
    if [ $code -ne 0 ]; then
      cat ./*.log >&2
      exit $code
    fi
  done
  sleep 0.2
done
progress
wait "$aggregator" || { code=$?; cat ./*.log >&2; exit $code; }

if [ "$template" = digits ]; then
  say "What each collaborator reaches alone, with as many rounds on its own data,
# and what they reach together, on digits that none of them has seen"
  accuracy() { fxrun evaluate "$1" --bundle ward.fxb --data ward/data/holdout --quiet | sed -n 's/^accuracy *//p'; }
  for c in "${collaborators[@]}"; do
    run fxrun rehearse --bundle ward.fxb --name "$c" --data "ward/data/$c" -o "$c-alone.safetensors" --quiet
  done
  echo
  for c in "${collaborators[@]}"; do echo "local accuracy $c: $(accuracy "$c-alone.safetensors")"; done
  echo "global accuracy: $(accuracy state/aggregator/save/final.safetensors)"
fi

say "Where everything is"
cat <<EOF
final model   $work/state/aggregator/save/final.safetensors (and .pbuf; best and last beside it)
records       $work/state/aggregator/journal
what left     $work/state/hospital-a/egress.jsonl, one at each site
certificates  $work/ca/issued
took          $((SECONDS - began)) s
EOF
[ -n "$keep" ] || echo "(all of it is removed now; --keep DIR keeps it)"
