#!/usr/bin/env bash
# Lint everything: Go with golangci-lint (pinned, built from source on the first
# run), shell with shellcheck where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  echo "lint: error: not formatted: $unformatted" >&2
  echo "lint: hint: gofmt -w ." >&2
  exit 1
fi
go vet ./...
go tool -modfile=scripts/tools/golangci-lint.mod golangci-lint run ./...
if command -v shellcheck >/dev/null; then
  shellcheck -x .ci/run scripts/*.sh scripts/*/*.sh bundle/workspace/templates/*/src/*.sh
else
  echo "lint: shellcheck is not installed: shell scripts not checked" >&2
fi
