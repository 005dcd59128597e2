#!/usr/bin/env bash
# Whole federations over mTLS with the Python package openfl: its aggregator with
# two collaborators of fx, the other way round, and one of each; with every
# compression pipeline, with differences and without, with certificates of fx and
# of OpenFL, with built-in models and with the same Python workspaces on both sides,
# which fx runs in its box. Their last models are those of OpenFL alone, within 1e-6
# where no value is lost. And single tensors: OpenFL decodes what fx encodes, to the
# bit. docs/openfl.md says what else is tried.
#
#   scripts/e2e/openfl.sh [ROW...]     only rows with one of these words
#
# Needs Python 3.10 to 3.12 with venv, and PyPI, or FX_OPENFL_PYTHON: an
# interpreter that has openfl 1.9 already. Workspaces and EDEN need torch,
# torchvision and scikit-learn, which are taken from the system's packages
# (python3-torch and so on) if they are there. Says "skipped" and exits 0 where
# something is missing, unless CI=true and FX_PYTHON is set, as .ci/run does.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
version=1.9

skip() {
  echo "openfl: skipped: $*"
  required || exit 0
  exit 1
}
required() { [ "${CI:-}" = true ] && [ -n "${FX_PYTHON:-}" ]; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python=${FX_OPENFL_PYTHON:-}
if [ -z "$python" ]; then
  for name in "${FX_PYTHON:-/usr/bin/python3}" python3 python3.12 python3.11 python3.10; do
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
  echo "openfl: installed openfl $version in $((SECONDS - started)) s"
fi
found=$("$python" -c 'from importlib.metadata import version; print(version("openfl"))')
if [ "$found" != "$version" ]; then
  echo "openfl: error: $python has openfl $found, not $version" >&2
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
  echo "openfl: EDEN is skipped: OpenFL needs torch for it"
  ! required || exit 1
else
  FX_OPENFL_PYTHON=$python go test -count=1 -v -run '^TestOpenFLDecodesWhatIsEncoded$' ./runtime/codec >"$work/codec.log" || {
    cat "$work/codec.log"
    exit 1
  }
  grep -q -- '--- PASS: TestOpenFLDecodesWhatIsEncoded' "$work/codec.log"
  echo "openfl: OpenFL decodes what fx encodes"
fi
if ! "$work/bin/fxrun" doctor --quiet >/dev/null 2>&1; then
  echo "openfl: workspaces in the box are skipped: it does not work here, and fxrun doctor says why"
  ! required || exit 1
  export FX_NO_BOX=1
fi
chmod a+x "$work" # the box's user is another
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 # more threads add up in another order
"$python" -B scripts/peers/openfl_federation.py "$work" "$@"
