#!/usr/bin/env bash
# Whole federations over mTLS with the Python package openfl: its aggregator with
# two collaborators of fx, the other way round, and mixes, with every compression
# pipeline, with differences and without, with certificates of fx and of OpenFL.
# Their last models are those of OpenFL alone, within 1e-6 where no value is lost.
# And single tensors: OpenFL decodes what fx encodes, to the bit.
#
#   scripts/peers/openfl-federation.sh
#
# Needs Python 3.10 to 3.12 with venv, and PyPI, or FX_OPENFL_PYTHON: an
# interpreter that has openfl 1.9 already. EDEN needs torch; it is taken from the
# system's packages (python3-torch) if they have it. Exits 0 and says "skipped"
# where something is missing, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
version=1.9

skip() {
  echo "openfl-federation: skipped: $*"
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python=${FX_OPENFL_PYTHON:-}
if [ -z "$python" ]; then
  for name in /usr/bin/python3 python3 python3.12 python3.11 python3.10; do
    "$name" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null || continue
    base=$name
    break
  done
  [ -n "${base:-}" ] || skip "openfl $version needs Python 3.10 to 3.12"
  started=$SECONDS
  # A system's torch and scikit-learn may be older than NumPy 2.
  system=() pins=()
  if "$base" -c 'import torch' 2>/dev/null; then
    system=(--system-site-packages) pins=('numpy<2' 'pandas<2.3')
  fi
  "$base" -m venv "${system[@]}" "$work/venv" || skip "python3 -m venv does not work here"
  python=$work/venv/bin/python3
  "$python" -m pip install --quiet --disable-pip-version-check "openfl==$version" "${pins[@]}" || skip "openfl $version cannot be installed"
  echo "openfl-federation: installed openfl $version in $((SECONDS - started)) s"
fi
found=$("$python" -c 'from importlib.metadata import version; print(version("openfl"))')
if [ "$found" != "$version" ]; then
  echo "openfl-federation: error: $python has openfl $found, not $version" >&2
  exit 1
fi

build "$work/bin"
export PATH=$work/bin:$PATH
mkdir "$work/pki"
(
  cd "$work/pki"
  printf 'correct horse battery staple\n' >passphrase
  fxctl ca init --name fed.example.org --passphrase-file passphrase --quiet >/dev/null
  issue aggregator localhost --dns localhost
  for name in one two; do issue collaborator "$name"; done
  issue publisher alice
  issue reviewer bob
)
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "openfl-federation: EDEN is skipped: OpenFL needs torch for it"
  [ "${CI:-}" != true ] || exit 1
else
  FX_OPENFL_PYTHON=$python go test -count=1 -v -run '^TestOpenFLDecodesWhatIsEncoded$' ./runtime/codec >"$work/codec.log" || {
    cat "$work/codec.log"
    exit 1
  }
  grep -q -- '--- PASS: TestOpenFLDecodesWhatIsEncoded' "$work/codec.log"
  echo "openfl-federation: OpenFL decodes what fx encodes"
fi
"$python" scripts/peers/openfl_federation.py "$work"
