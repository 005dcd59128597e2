#!/usr/bin/env bash
# Opens a bundle with nothing but stock tools: tar and zstd list, test and
# extract it, the manifest's digest is the bundle's id, and sha256sum agrees with
# the manifest about every file; so it does about what bsdtar and busybox extract.
#
#   scripts/stock-tools.sh              the golden bundle of the tests
#   scripts/stock-tools.sh FILE.fxb     another one
#
# Exits 0 and says "skipped" where tar or zstd is missing, unless CI=true. What these tools
# extract is not verified by them: only `fxctl bundle` verifies.
set -euo pipefail
cd "$(dirname "$0")/.."
file=$(realpath "${1:-bundle/testdata/golden.fxb}")

for tool in tar zstd sha256sum; do
  command -v "$tool" > /dev/null && continue
  echo "stock-tools: skipped: $tool is not installed"
  [ "${CI:-}" != true ] || exit 1
  exit 0
done
fail() { echo "stock-tools: error: $*" >&2; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

zstd -tq "$file" || fail "zstd -t does not accept $file"
tar --zstd -tf "$file" > "$scratch/names" || fail "tar cannot list $file"
[ "$(head -n 1 "$scratch/names")" = .fxb/manifest.json ] || fail "the manifest is not the first member"

# Without a decompressor: the head frame holds the manifest as it is.
grep -aq '^"files":\[' "$file" || fail "the manifest cannot be read without a decompressor"

mkdir "$scratch/tree"
tar --zstd -xf "$file" -C "$scratch/tree" || fail "tar cannot extract $file"
cd "$scratch/tree"
sed -n 's/^{"path":"\(.*\)","mode":"0[0-7]*","size":[0-9]*,"sha256":"\([0-9a-f]*\)"}.*/\2  \1/p' .fxb/manifest.json > "$scratch/sums"
[ "$(wc -l < "$scratch/sums")" -eq "$(($(wc -l < "$scratch/names") - 1))" ] || fail "tar and manifest list different numbers of files"
sha256sum --quiet -c "$scratch/sums" || fail "sha256sum does not agree with the manifest"

# Other readers of tar see the same files; they are used where they are installed.
for other in bsdtar "busybox tar"; do
  command -v "${other%% *}" > /dev/null || { echo "stock-tools: left out: ${other%% *} is not installed"; continue; }
  mkdir "$scratch/other"
  if [ "$other" = bsdtar ]; then
    bsdtar -xf "$file" -C "$scratch/other"
  else
    zstd -dcq "$file" | busybox tar -xf - -C "$scratch/other"
  fi || fail "$other cannot extract $file"
  (cd "$scratch/other" && sha256sum --quiet -c "$scratch/sums") || fail "sha256sum does not agree about what $other extracted"
  diff -r "$scratch/tree" "$scratch/other" > /dev/null || fail "$other extracts other files than tar"
  rm -r "$scratch/other"
  echo "stock-tools: $other sees the same files"
done

echo "bundle id $(sha256sum < .fxb/manifest.json | cut -d' ' -f1)"
echo "stock-tools: tar, zstd and sha256sum agree about $(wc -l < "$scratch/sums") files"
