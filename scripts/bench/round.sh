#!/usr/bin/env bash
# One round of 8 collaborators with a model of 100 MB in 10 tensors, over mTLS:
# everybody downloads all of it and uploads as much. The aggregator is that of fxrun,
# then that of the Python package openfl 1.9; the collaborators are the same program.
# Beside them the limit: the same bytes through Go's crypto/tls and nothing else.
#
#   scripts/bench/round.sh [COLLABORATORS [ELEMENTS-PER-TENSOR]]
#
# Needs Python 3.10 to 3.12 with venv, and PyPI, or FX_OPENFL_PYTHON: an interpreter
# that has openfl 1.9 already.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
. scripts/bench/lib.sh
n=${1:-8}
elements=${2:-2621440}
tensors=10
version=1.9

work=$(mktemp -d)
agg=
finish() {
  [ -z "$agg" ] || kill -9 "$agg" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

python=${FX_OPENFL_PYTHON:-}
if [ -z "$python" ]; then
  "${PYTHON:-python3}" -m venv "$work/venv"
  python=$work/venv/bin/python3
  "$python" -m pip install --quiet --disable-pip-version-check "openfl==$version"
fi
found=$("$python" -c 'from importlib.metadata import version; print(version("openfl"))')
if [ "$found" != "$version" ]; then
  echo "round.sh: error: $python has openfl $found, not $version" >&2
  exit 1
fi

build "$work/bin"
CGO_ENABLED=0 go build -o "$work/bin/" ./scripts/bench/sender
PATH=$work/bin:$PATH
cd "$work"
names=()
for i in $(seq 1 "$n"); do names+=("site$i"); done
port=$(free_port)
large_federation "$port" "$tensors" "$elements" "${names[@]}"
mapfile -t ids < <(plan_ids)

# play OUTPUT plays the collaborators against the aggregator $agg.
play() {
  await_port "$port" "$agg" || return 1
  timeout "${FX_BENCH_TIMEOUT:-900}" sender round -port "$port" -federation "${ids[0]}" -aggregator "${ids[1]}" \
    -tensors "$tensors" -elements "$elements" -watch "$agg" "${names[@]}" >"$1" || return 1
  kill "$agg" 2>/dev/null || true
  wait "$agg" 2>/dev/null || true
  agg=
}

sender limit -bytes $((4 * elements * tensors)) -collaborators "$n" >limit.json

fxrun aggregator --bundle fed.fxb --state state --bind 127.0.0.1 --linger 60s >fx.out 2>fx.log </dev/null &
agg=$!
play fx.json || { cat fx.log >&2; exit 1; }

# OpenFL runs in the workspace, with the certificates where it looks for them.
cp -r ward openfl
cp -r cert openfl/cert
printf 'current_plan_name: default\n' >openfl/.workspace
mkdir -p openfl/logs
(
  cd openfl
  exec "$python" -c 'import sys; from openfl.interface.cli import entry; sys.argv = ["fx", "aggregator", "start"]; entry()'
) >openfl.log 2>&1 </dev/null &
agg=$!
play openfl.json || { tail -n 20 openfl.log >&2; exit 1; }

row() {
  jq -r --arg name "$1" '[$name, .wall_seconds, .cpu_seconds, .peak_mb // 0] | @tsv' "$2.json" >row
  IFS=$'\t' read -r name wall cpu peak <row
  printf '%-32s %9.1f %9.1f %9.0f\n' "$name" "$wall" "$cpu" "$peak"
}
ratio() { jq -n --slurpfile a "$2.json" --slurpfile b "$3.json" "(\$a[0].$1 / \$b[0].$1 * 10 | round) / 10"; }
printf '%d collaborators, %d MB each way\n%-32s %9s %9s %9s\n' "$n" $((4 * elements * tensors / 1000000)) "aggregator" "wall s" "CPU s" "peak MB"
row "openfl $version" openfl
row fxrun fx
row "limit (crypto/tls, both ends)" limit
echo "openfl takes $(ratio cpu_seconds openfl fx) times the CPU of fxrun, $(ratio wall_seconds openfl fx) times the wall time, $(ratio peak_mb openfl fx) times the memory"
echo "fxrun takes $(ratio wall_seconds fx limit) times the wall time of the limit"
