#!/usr/bin/env bash
# One byte of a bundle or of its signatures is changed, at positions all over
# the file: fxctl refuses to verify it and fxrun to start, with exit code 3 or 4
# and a cause, whichever byte it is. (TestEveryByteCounts and TestOtherBytes do
# the same for every single byte, in process.)
#
#   scripts/e2e/flip.sh [STEP]     every STEP-th byte, 37 by default
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
step=${1:-37}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
federation . no-op 50000 hospital-a
fxctl bundle verify fed.fxb --quiet >/dev/null

# refused PROGRAM... runs it and requires exit code 3 or 4 and a cause.
refused() {
  local code=0
  "$@" >out 2>err || code=$?
  if [ $code -ne 3 ] && [ $code -ne 4 ] || ! grep -q 'error: cannot .*: .' err; then
    echo "flip.sh: error: byte $position of $file: $1 ended with $code: $(cat err)" >&2
    exit 1
  fi
}

tried=0
for file in fed.fxb fed.fxb.sigs.jsonl; do
  cp fed.fxb bad.fxb
  cp fed.fxb.sigs.jsonl bad.fxb.sigs.jsonl
  bad=bad${file#fed}
  size=$(wc -c <"$file")
  for ((position = 0; position < size; position += step)); do
    byte=$(od -An -tu1 -j "$position" -N 1 "$file")
    flipped=$(printf '%03o' $((byte ^ (1 << (position % 8)))))
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\$flipped" | dd of="$bad" bs=1 seek="$position" conv=notrunc status=none
    refused fxctl bundle verify bad.fxb
    refused fxrun ping --bundle bad.fxb --name hospital-a
    tried=$((tried + 1))
    cp "$file" "$bad"
  done
done
fxctl bundle verify bad.fxb --quiet >/dev/null
echo "flip.sh: $tried changed bytes, all refused by fxctl and fxrun"
