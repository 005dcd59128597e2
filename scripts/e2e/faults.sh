#!/usr/bin/env bash
# Every way in which a connection can fail, through the real programs: what
# `fxrun ping` and a running collaborator say, and what the aggregator's log says.
# The table is in runtime/fxrun/faults_test.go and in docs/operations.md. Faults
# of the network need root, for namespaces of their own. FX_LONG=1 also waits
# for what takes 20 seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

build "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
port=$(free_port)
collaborators=(hospital-a hospital-b)
federation . digits "$port" "${collaborators[@]}"
issue aggregator 127.0.0.1

# bundle NAME FLAGS... makes an approved bundle of a further workspace.
bundle() {
  local name=$1
  shift
  fxctl workspace create "$name" --template digits --agg-port "$port" "${collaborators[@]/#/--collaborator=}" "$@" --quiet >/dev/null
  sed -i 's/client_reconnect_interval: .*/client_reconnect_interval: 0.2/' "$name/plan/plan.yaml"
  fxctl bundle create "$name" -o "$name.fxb" --as alice --quiet >/dev/null
  fxctl bundle approve "$name.fxb" --as bob --yes --quiet >/dev/null
}
bundle fed1 --agg-addr localhost
bundle plan2 --agg-addr localhost --rounds 2
bundle named --agg-addr 127.0.0.1
cp fed1.fxb unapproved.fxb
head -n 1 fed1.fxb.sigs.jsonl >unapproved.fxb.sigs.jsonl

cd "$root"
FX_FAULTS=$work CGO_ENABLED=0 go test -count=1 -trimpath -tags urfave_cli_no_docs,grpcnotrace \
  -run '^Test(Faults|Renewal)$' -v ./runtime/fxrun >"$work/test.log" 2>&1 </dev/null || { cat "$work/test.log" >&2; exit 1; }
grep -E '^ *--- (PASS|SKIP)' "$work/test.log" || true
if [ "${CI:-}" = true ] && grep -q -- '--- SKIP' "$work/test.log"; then
  echo "faults.sh: error: a fault was not injected" >&2
  exit 1
fi
echo "faults.sh: $(grep -c '^ *--- PASS: TestFaults/' "$work/test.log") faults, each with its cause on both sides"
