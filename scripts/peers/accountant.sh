#!/usr/bin/env bash
# Privacy accountant and egress filters, computed again by others: epsilon by the
# exact formula with 50 digits (mpmath) and by Google's accountant (dp-accounting,
# numerical composition of privacy loss distributions); clipping, noise and
# quantising by NumPy.
#
#   scripts/peers/accountant.sh
#
# Needs Python with venv, and PyPI, or FX_ACCOUNTANT_PYTHON: an interpreter that
# has dp-accounting, mpmath and numpy already. Exits 0 and says "skipped" where
# there is neither, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
  echo "accountant: skipped: $*"
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python=${FX_ACCOUNTANT_PYTHON:-}
if [ -z "$python" ]; then
  for name in python3 python3.13 python3.12 python3.11; do
    "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    base=$name
    break
  done
  [ -n "${base:-}" ] || skip "it needs Python 3.11 or later with venv"
  "$base" -m venv "$work/venv" || skip "python3 -m venv does not work here"
  python=$work/venv/bin/python3
  "$python" -m pip install --quiet --disable-pip-version-check dp-accounting==0.6.0 mpmath==1.4.1 numpy ||
    skip "dp-accounting cannot be installed"
fi

FX_PEERS=$work go test -count=1 -run '^TestForPeers$' ./runtime/egress
"$python" scripts/peers/accountant.py "$work"
