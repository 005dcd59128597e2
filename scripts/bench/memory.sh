#!/usr/bin/env bash
# Peak memory of `fxrun aggregator` in a round of 4, 16 and 32 collaborators with
# the same large model. "peak" is the largest that the process has been by the
# kernel's account (VmHWM), and must be the same within 10 %; "anon" is the most that
# it held of that, "file" the most pages of the program and of mapped model files.
#
#   scripts/bench/memory.sh [MIB [COLLABORATORS...]]
#
# The default is 1024 4 16 32. It needs, in $TMPDIR, room for the model times the
# largest number of collaborators and six more: 38 GiB.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
. scripts/bench/lib.sh
mib=${1:-1024}
[ $# -eq 0 ] || shift
counts=("$@")
[ $# -gt 0 ] || counts=(4 16 32)
tensors=16

work=$(mktemp -d)
agg=
finish() {
  [ -z "$agg" ] || kill -9 "$agg" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

build "$work/bin"
CGO_ENABLED=0 go build -o "$work/bin/" ./scripts/bench/sender
PATH=$work/bin:$PATH
cd "$work"
elements=$((mib * 1024 * 1024 / 4 / tensors))

printf 'a model of %d MiB\n%14s %9s %9s %9s %9s %9s\n' "$mib" collaborators "peak MB" "anon MB" "file MB" "CPU s" "wall s"
least=0 most=0
for n in "${counts[@]}"; do
  names=()
  for i in $(seq 1 "$n"); do names+=("site$i"); done
  mkdir "$n"
  cd "$n"
  port=$(free_port)
  large_federation "$port" "$tensors" "$elements" "${names[@]}"
  rm -f ward/save/init.pbuf
  mapfile -t ids < <(plan_ids)
  fxrun aggregator --bundle fed.fxb --state state --bind 127.0.0.1 --linger 0s >aggregator.out 2>aggregator.log </dev/null &
  agg=$!
  await_port "$port" "$agg"
  timeout "${FX_BENCH_TIMEOUT:-1800}" sender round -port "$port" -federation "${ids[0]}" -aggregator "${ids[1]}" \
    -tensors "$tensors" -elements "$elements" -watch "$agg" "${names[@]}" >figures.json
  wait "$agg"
  agg=
  jq -r --arg n "$n" '[$n, .peak_mb, .peak_anon_mb, .peak_file_mb, .cpu_seconds, .wall_seconds] | @tsv' figures.json >row
  read -r _ peak anon file cpu wall <row
  printf '%14d %9.1f %9.1f %9.1f %9.1f %9.1f\n' "$n" "$peak" "$anon" "$file" "$cpu" "$wall"
  tenths=$(printf '%.0f' "$(jq '.peak_mb * 10' figures.json)")
  if [ "$least" = 0 ] || [ "$tenths" -lt "$least" ]; then least=$tenths; fi
  if [ "$tenths" -gt "$most" ]; then most=$tenths; fi
  cd ..
  rm -rf "${work:?}/$n"
done
if [ $((most * 100)) -gt $((least * 110)) ]; then
  echo "memory.sh: error: the largest peak is more than 10 % above the smallest" >&2
  exit 1
fi
echo "memory.sh: the peaks are the same within $(((most - least) * 100 / least)) %"
