#!/usr/bin/env bash
# How long `fxctl plan validate` takes as a process, from start to exit: for a
# template's plan (a cold start), and for a plan with 1,000 tasks. Beside it what
# Python needs only to read the same file with PyYAML. The goal is 50 ms.
#
#   scripts/bench/plan.sh [RUNS]     medians and minima of RUNS runs, 21 by default
#
# FX_PYTHON names an interpreter that has PyYAML; without one only fxctl is
# measured, which fails if CI=true. It measures and prints; it does not judge.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
runs=${1:-21}
python=${FX_PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build "$work/bin"
export PATH=$work/bin:$PATH
cd "$work"

fxctl workspace create small --template digits --quiet >/dev/null
# The same plan with 1,000 more tasks, all of them in its group.
awk '
  { print }
  /^      - train$/ { for (i = 0; i < 1000; i++) printf "      - task%04d\n", i }
  /^tasks:/ {
    for (i = 0; i < 1000; i++)
      printf "  task%04d:\n    function: validate_task\n    kwargs:\n      apply: global\n      metrics:\n      - accuracy\n", i
  }
' small/plan/plan.yaml >large.yaml
cp small/plan/plan.yaml small.yaml
[ "$(grep -c '^  task[0-9]*:' large.yaml)" = 1000 ]
fxctl plan validate small.yaml --quiet >/dev/null
fxctl plan validate large.yaml --quiet >/dev/null

peer=1
if ! "$python" -c 'import yaml' 2>/dev/null; then
  echo "plan.sh: $python has no PyYAML (set FX_PYTHON): no comparison"
  [ "${CI:-}" != true ] || exit 1
  peer=0
fi

# times COMMAND... sets median and best to wall times of a command in microseconds.
times() {
  local i before after all
  all=$(
    for ((i = 0; i < runs; i++)); do
      before=${EPOCHREALTIME/[.,]/}
      "$@" >/dev/null
      after=${EPOCHREALTIME/[.,]/}
      echo $((after - before))
    done | sort -n
  )
  best=$(sed -n 1p <<<"$all")
  median=$(sed -n "$(((runs + 1) / 2))p" <<<"$all")
}

milliseconds() { printf '%d.%d (%d.%d)' $((median / 1000)) $((median / 100 % 10)) $((best / 1000)) $((best / 100 % 10)); }

row() { printf '%-34s %16s %18s %8s\n' "$@"; }
row "ms: median (best) of $runs" "fxctl" "PyYAML reads" "ratio"
times fxctl version
row "fxctl version" "$(milliseconds)" "" ""
for plan in small large; do
  times fxctl plan validate "$plan.yaml" --quiet
  ours=$(milliseconds) our_median=$median
  theirs=- ratio=-
  if [ $peer = 1 ]; then
    times "$python" -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' "$plan.yaml"
    theirs=$(milliseconds)
    ratio=$(printf '1:%d.%d' $((median / our_median)) $((median * 10 / our_median % 10)))
  fi
  row "$plan, $(grep -c . "$plan.yaml") lines, $(wc -c <"$plan.yaml") bytes" "$ours" "$theirs" "$ratio"
done
