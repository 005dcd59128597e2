#!/usr/bin/env bash
# Everything that can be tested with only Go and a shell.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

step() { printf '\n== %s\n' "$*"; }

race=
if [ "$(go env CGO_ENABLED)" = 1 ] && command -v "$(go env CC)" >/dev/null; then
  race=-race
else
  echo "test: no C compiler: the race detector is not used" >&2
fi

step "go vet"
go vet ./...

# What starts hundreds of processes or hashes passphrases, one after the other, takes
# the race detector minutes and has next to nothing that runs side by side.
plain='^fx/(cli|schema|ca/issuer|runtime/sandbox|runtime/wasm)(/|$)'
step "go test $race"
# FX_MUTATIONS: the rest of the ruined bundles follows without the race detector.
# shellcheck disable=SC2046,SC2086 # lists of words
FX_MUTATIONS=500 go test $race $(go list ./... | grep -vE "$plain")
step "go test, without the race detector"
# shellcheck disable=SC2046
CGO_ENABLED=0 go test $(go list ./... | grep -E "$plain")
CGO_ENABLED=0 go test -run '^TestRandomMutations$' ./bundle

step "builds for other systems"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for target in darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 linux/arm64; do
  CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -tags urfave_cli_no_docs -o "$out/x" ./cli/fxctl
  echo "fxctl $target"
done
for target in linux/amd64 linux/arm64; do
  CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -trimpath -tags urfave_cli_no_docs,grpcnotrace -ldflags '-s -w' -o "$out/x" ./runtime/fxrun
  size=$(wc -c <"$out/x")
  echo "fxrun $target $size bytes"
  if [ "$size" -gt 20000000 ]; then
    echo "test: error: fxrun is larger than 20 MB" >&2
    exit 1
  fi
done

for script in scripts/e2e/*.sh; do
  [ "$script" != scripts/e2e/openfl.sh ] || continue # needs Python and PyPI: .ci/run
  step "$script"
  "$script"
done

step "documentation names tests that exist"
scripts/claims.sh

step "the quickstart"
scripts/quickstart.sh >"$out/quickstart.txt" 2>&1 || { cat "$out/quickstart.txt"; exit 1; }
grep 'accuracy' "$out/quickstart.txt" | tail -n 4
scripts/quickstart.sh --template no-op >"$out/quickstart.txt" 2>&1 || { cat "$out/quickstart.txt"; exit 1; }
echo
echo "all tests passed"
