#!/usr/bin/env bash
# The main job of fx, from an empty folder to a trained model, as its four users
# would do it. Every command is printed before it runs.
#
#   scripts/quickstart.sh [--template NAME] [--keep DIR]
#
# Templates: digits (the default) and no-op need Go and a shell. digits-numpy,
# digits-torch, tabular-sklearn, histogram, shell and wasm-go run code of their own
# in a box, on Linux; what else they need is said before anything runs. FX_PYTHON
# names the Python to use. Everything happens in a new temporary folder (or in DIR,
# which is kept), on the loopback, without root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

template=digits keep=
while [ $# -gt 0 ]; do
  case $1 in
    --template) template=${2:?--template needs a name}; shift 2 ;;
    --keep) keep=${2:?--keep needs a folder}; shift 2 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' scripts/quickstart.sh; exit 0 ;;
    *) echo "quickstart: error: no use for $1" >&2; exit 2 ;;
  esac
done

fail() { echo "quickstart: error: $1" >&2; exit "${2:-1}"; }
python_with() { # MODULE PACKAGE
  "${FX_PYTHON:-python3}" -I -c "import $1" 2>/dev/null ||
    fail "template $template needs a python3 with $1: apt-get install $2, or name one with FX_PYTHON=/path/to/python3"
}
programs() { # of the folders that the box shows
  local name
  for name in "$@"; do
    PATH=/usr/bin:/bin command -v "$name" >/dev/null || fail "template $template needs $name in /usr/bin: apt-get install $name"
  done
}
boxed=yes
case $template in
  digits | no-op) boxed= ;;
  digits-numpy) python_with numpy python3-numpy ;;
  digits-torch) python_with torch python3-torch ;;
  tabular-sklearn) python_with sklearn python3-sklearn ;;
  histogram) programs python3 ;;
  shell) programs jq ;;
  wasm-go) ;; # Go, which builds fx, too
  *) fail "no template $template; there are digits, no-op, digits-numpy, digits-torch, tabular-sklearn, histogram, shell, wasm-go" 2 ;;
esac
python=() # flags of fxrun where it runs task code
[ -z "${FX_PYTHON:-}" ] || python=(--python "$FX_PYTHON")

if [ -n "$keep" ]; then
  mkdir -p "$keep"
  work=$(cd "$keep" && pwd)
  [ -z "$(ls -A "$work")" ] || fail "$keep is not empty" 2
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
if [ -n "$boxed" ]; then
  say "Task code runs in a box, without keys and without a network: does this machine have one?"
  run fxrun doctor --quiet
fi
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
if [ "$template" = wasm-go ]; then
  printf '%s\n' "$ GOOS=wasip1 GOARCH=wasm go build -C ward/src -trimpath -buildvcs=false -ldflags '-s -w' -o model.wasm ."
  build_module ward
fi
[ -z "$boxed" ] || run fxrun init ward "${python[@]}"
run fxctl plan validate ward
run fxctl plan id ward
run fxctl workspace check ward --strict
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
data_of() { # sets data to the flags that name the data of a site
  data=(--data "ward/data/$1")
  case $template in
    no-op) data=() ;;
    tabular-sklearn) # in plan/data.yaml: its share of the data that come with scikit-learn
      data=()
      [ "$1" != holdout ] || data=(--data-text holdout)
      ;;
  esac
}
for c in "${collaborators[@]}"; do
  data_of "$c"
  start "$c" fxrun collaborator --bundle ward.fxb --name "$c" "${data[@]}" "${python[@]}" --state "state/$c" --poll-interval 200ms --json
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

say "The aggregator has signed what it did; an auditor makes every round anew that its journal still has"
run fxctl receipt verify state/aggregator/receipt.json --bundle ward.fxb --state state/aggregator

final=state/aggregator/save/final.safetensors
case $template in
  no-op) ;;
  histogram)
    say "How old the patients of all hospitals are; no row has left its site"
    run python3 ward/src/histogram.py show "$final"
    ;;
  shell)
    say "The mean image of all digits, 8×8 pixels of 0 to 16; no image has left its site"
    run fxctl model inspect "$final"
    header=$((8 + $(od -An -N 8 -t u8 "$final"))) # bytes before the first tensor, which is the mean
    od -An -v -j $header -N 256 -w32 -t f4 "$final" | awk '{ for (i = 1; i <= 8; i++) printf "%6.1f", $i; print "" }'
    ;;
  *)
    say "What each collaborator reaches alone, with as many rounds on its own data,
# and what they reach together, on data that none of them has seen"
    accuracy() { fxrun evaluate "$1" --bundle ward.fxb "${data[@]}" "${python[@]}" --quiet | sed -n 's/^accuracy *//p'; }
    for c in "${collaborators[@]}"; do
      data_of "$c"
      run fxrun rehearse --bundle ward.fxb --name "$c" "${data[@]}" "${python[@]}" -o "$c-alone.safetensors" --quiet
    done
    echo
    data_of holdout
    for c in "${collaborators[@]}"; do echo "local accuracy $c: $(accuracy "$c-alone.safetensors")"; done
    echo "global accuracy: $(accuracy "$final")"
    ;;
esac

say "Where everything is"
cat <<EOF
final model   $work/state/aggregator/save/final.safetensors (and .pbuf; best and last beside it)
records       $work/state/aggregator/journal
what left     $work/state/hospital-a/egress.jsonl, one at each site
CA's log      $work/ca/log
took          $((SECONDS - began)) s
EOF
[ -n "$keep" ] || echo "(all of it is removed now; --keep DIR keeps it)"
