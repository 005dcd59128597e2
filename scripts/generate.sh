#!/usr/bin/env bash
# Writes the generated Go of proto/ anew, or only says whether it is current.
#
#   scripts/generate.sh            lint proto/ and generate
#   scripts/generate.sh --check    lint, generate into a scratch folder, exit 1 on a difference
#
# Needs only Go: buf and both plugins are pinned in scripts/tools, one mod file
# each. The first run compiles buf, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/../proto"

check=false
case "${1:-}" in
  "") ;;
  --check) check=true ;;
  *) echo "usage: scripts/generate.sh [--check]" >&2; exit 2 ;;
esac

buf() { go tool -modfile=../scripts/tools/buf.mod buf "$@"; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

buf lint
buf generate -o "$scratch"

if ! $check; then
  rm -f ./*.pb.go
  cp "$scratch"/*.pb.go .
  exit
fi

# Names first, so that a file generated from a deleted .proto is found too.
diff <(ls ./*.pb.go) <(cd "$scratch" && ls ./*.pb.go) >&2 && differ=false || differ=true
for f in "$scratch"/*.pb.go; do
  diff -u "$(basename "$f")" "$f" >&2 || differ=true
done
if $differ; then
  echo "generate: error: the generated Go is not what the .proto files say; run scripts/generate.sh" >&2
  exit 1
fi
