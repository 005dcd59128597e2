#!/usr/bin/env bash
# Aggregation functions, computed by the Python package openfl and by fx: the
# same values, within 1e-6 relative, for random updates over several rounds.
#
#   scripts/peers/openfl-aggregation.sh
#
# Needs Python 3.10 to 3.12 with venv, and PyPI, or FX_OPENFL_PYTHON: an
# interpreter that has openfl 1.9 already. Exits 0 and says "skipped" where there
# is neither, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=1.9

skip() {
  echo "openfl-aggregation: skipped: $*"
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python=${FX_OPENFL_PYTHON:-}
if [ -z "$python" ]; then
  for name in python3 python3.12 python3.11 python3.10; do
    "$name" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null || continue
    base=$name
    break
  done
  [ -n "${base:-}" ] || skip "openfl $version needs Python 3.10 to 3.12"
  "$base" -m venv "$work/venv" || skip "python3 -m venv does not work here"
  python=$work/venv/bin/python3
  "$python" -m pip install --quiet --disable-pip-version-check "openfl==$version" || skip "openfl $version cannot be installed"
fi
found=$("$python" -c 'from importlib.metadata import version; print(version("openfl"))')
if [ "$found" != "$version" ]; then
  echo "openfl-aggregation: error: $python has openfl $found, not $version" >&2
  exit 1
fi

"$python" scripts/peers/openfl_aggregation.py "$work/vectors.json"
FX_AGGREGATION_VECTORS=$work/vectors.json go test -count=1 -v -run '^TestPeerVectors$' ./runtime/aggregation | tee "$work/log"
grep -q -- '--- PASS: TestPeerVectors' "$work/log"
