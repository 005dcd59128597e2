#!/usr/bin/env bash
# Plans, read by the Python package openfl and by fxctl: the same federation id,
# aggregator id, port, hash and merged configuration for every plan of every
# workspace template that either ships, and for variants of them. Then the
# mutation test of schema/check over all these plans.
#
#   scripts/peers/openfl-plans.sh
#
# Needs Python 3.10 to 3.12 with venv, and PyPI, or FX_OPENFL_PYTHON: an
# interpreter that has openfl 1.9 already. Exits 0 and says "skipped" where there
# is neither, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
version=1.9

skip() {
  echo "openfl-plans: skipped: $*"
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
  started=$SECONDS
  "$base" -m venv "$work/venv" || skip "python3 -m venv does not work here"
  python=$work/venv/bin/python3
  "$python" -m pip install --quiet --disable-pip-version-check "openfl==$version" || skip "openfl $version cannot be installed"
  echo "openfl-plans: installed openfl $version in $((SECONDS - started)) s"
fi
found=$("$python" -c 'from importlib.metadata import version; print(version("openfl"))')
if [ "$found" != "$version" ]; then
  echo "openfl-plans: error: $python has openfl $found, not $version" >&2
  exit 1
fi
templates=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/openfl-workspace

build "$work/bin"
export PATH=$work/bin:$PATH
mkdir "$work/fx"
for template in $(fxctl workspace templates --json | sed -n 's/^ *"name": "\(.*\)",$/\1/p'); do
  fxctl workspace create "$work/fx/$template" --template "$template" --quiet >/dev/null
done
"$python" scripts/peers/openfl_plans.py "$work/bin/fxctl" docs/plan.md "$templates" "$work/fx"

FX_OPENFL_PLANS=$templates go test -count=1 -v -run '^TestMutants$' ./schema/check >"$work/mutants.log" || {
  cat "$work/mutants.log"
  exit 1
}
sed -n 's/^ *mutants_test.go:[0-9]*: //p' "$work/mutants.log"
