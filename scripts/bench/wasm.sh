#!/usr/bin/env bash
# How fast a WebAssembly module trains, against the same Go code as a program of the
# host and against NumPy: epochs of softmax regression over 1,797 handwritten digits.
# Beside it what a module costs before it trains: translating it into machine code,
# once for a federation, and starting a process for it.
#
#   scripts/bench/wasm.sh [TIME]     each measurement runs TIME, 3s by default
#
# FX_PYTHON names an interpreter that has NumPy, /usr/bin/python3 by default;
# without NumPy that row is left out. It measures and prints; it does not judge.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-3s}

go test -run '^$' -bench 'Train|Compile|Start' -benchtime "$time" ./runtime/wasm |
  awk '
    { name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name) }
    /^Benchmark/ { ns[name] = $3 }
    / ns\/epoch/ { for (i = 2; i <= NF; i++) if ($i == "ns/epoch") epoch[name] = $(i - 1) }
    /^FAIL|^---/ { print; bad = 1 }
    function row(name, label) {
      if (name in epoch) printf "%-34s %10.2f %10.1f\n", label, epoch[name] / 1e6, epoch[name] / epoch["Train/native"]
    }
    END {
      if (bad || !("Train/native" in epoch)) exit 1
      printf "%-34s %10s %10s\n", "training", "ms/epoch", "ratio"
      row("Train/wasm", "WebAssembly module")
      row("Train/native", "the same Go code on the host")
      row("Train/numpy", "NumPy")
      print ""
      printf "%-34s %10s\n", "before it trains", "ms"
      printf "%-34s %10.0f\n", "translate the module", ns["Compile"] / 1e6
      printf "%-34s %10.1f\n", "process that runs an empty module", ns["Start/module"] / 1e6
      printf "%-34s %10.1f\n", "process that ends at once", ns["Start/nothing"] / 1e6
    }'
