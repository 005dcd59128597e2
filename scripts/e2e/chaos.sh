#!/usr/bin/env bash
# Kill -9 either side at random moments of twenty-round runs of five
# collaborators, while connections are cut in the middle of uploads and
# downloads. Every final model must be that of an undisturbed run, bit for bit,
# and no result that was acknowledged may be asked for again.
#
#   scripts/e2e/chaos.sh          a dozen kills
#   FX_KILLS=100 FX_SEED=7 scripts/e2e/chaos.sh
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
collaborators=(hospital-a hospital-b hospital-c hospital-d hospital-e)
port=$(free_port)
federation . digits "$port" "${collaborators[@]}"
sed -i 's/client_reconnect_interval: .*/client_reconnect_interval: 0.1/; s/rounds_to_train: .*/rounds_to_train: 20/' ward/plan/plan.yaml
rm fed.fxb fed.fxb.sigs.jsonl
fxctl bundle create ward -o fed.fxb --as alice --quiet >/dev/null
fxctl bundle approve fed.fxb --as bob --yes --quiet >/dev/null

cd "$root"
FX_CHAOS=$work FX_KILLS=${FX_KILLS:-12} CGO_ENABLED=0 go test -count=1 -timeout 30m -trimpath -tags urfave_cli_no_docs,grpcnotrace \
  -run '^TestChaos$' -v ./runtime/fxrun >"$work/test.log" 2>&1 </dev/null || { cat "$work/test.log" >&2; exit 1; }
sed -n 's/^ *chaos_test.go:[0-9]*: /chaos.sh: /p' "$work/test.log"
grep -q -- '--- PASS: TestChaos' "$work/test.log"
