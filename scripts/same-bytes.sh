#!/usr/bin/env bash
# The same tree gives the same bundle, byte for byte: packs the golden bundle of
# the tests again under other time zones, locales, umasks and numbers of
# processors, without the compressor's assembly, and, where qemu-aarch64-static
# is installed, on arm64. Every run also packs with one to five workers, from
# memory and from a disk.
#
#   scripts/same-bytes.sh            arm64 is left out unless FX_LONG=1: it compiles for a minute
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tests='^(TestGolden|TestSameTreeSameBytes)$'

# build NAME FLAGS...: a test program of package bundle.
build() {
  local name=$1
  shift
  CGO_ENABLED=0 go test -c -o "$scratch/$name" "$@" ./bundle
}

# run WHAT COMMAND...: the tests, in the package's folder, where they find the
# golden bundle.
run() {
  local what=$1
  shift
  if (cd bundle && "$@" -test.run "$tests" -test.count=1) >"$scratch/log" 2>&1; then
    echo "same bytes: $what"
  else
    cat "$scratch/log" >&2
    echo "same-bytes: error: other bytes: $what" >&2
    exit 1
  fi
}

build native
run "as it is" "$scratch/native"
run "time zone of Kathmandu" env TZ=Asia/Kathmandu "$scratch/native"
run "Turkish locale" env LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 "$scratch/native"
for mask in 000 077; do
  (umask "$mask" && run "umask $mask" "$scratch/native")
done
for processors in 1 7; do
  run "$processors processors" env GOMAXPROCS="$processors" "$scratch/native"
done
build plain -tags noasm,nounsafe,purego
run "no assembly" "$scratch/plain"

if [ "${FX_LONG:-}" != 1 ]; then
  echo "same-bytes: arm64 left out: FX_LONG=1 asks for it"
elif ! command -v qemu-aarch64-static >/dev/null; then
  echo "same-bytes: arm64 skipped: qemu-aarch64-static is not installed (Debian: qemu-user-static)"
else
  GOARCH=arm64 build arm64
  run "arm64" qemu-aarch64-static "$scratch/arm64"
fi
