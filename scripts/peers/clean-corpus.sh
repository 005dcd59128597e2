#!/usr/bin/env bash
# False alarms of `fxctl bundle inspect` in honest code: scikit-learn as it is
# installed, and the workspaces inside the package openfl 1.9. At most one high
# finding per 1,000 lines is allowed. Nothing of either is run.
#
#   scripts/peers/clean-corpus.sh
#
# Needs a python3 with venv and scikit-learn (FX_PYTHON names another), and PyPI
# for openfl. Exits 0 and says "skipped" where something is missing, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
  echo "clean-corpus: skipped: $*" >&2
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

python=${FX_PYTHON:-python3}
sklearn=$("$python" -c 'import importlib.util as u, os; print(os.path.dirname(u.find_spec("sklearn").origin))' 2>/dev/null) ||
  skip "$python has no scikit-learn"
"$python" -m venv "$work/venv" || skip "$python -m venv does not work here"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$work/openfl" openfl==1.9 ||
  skip "openfl 1.9 cannot be installed"
[ -d "$work/openfl/openfl-workspace" ] || skip "the package openfl has no folder openfl-workspace"

FX_CLEAN_CORPUS="$sklearn:$work/openfl/openfl-workspace" \
  go test -count=1 -v -run '^TestCleanCorpus$' ./bundle/inspect/content | tee "$work/log"
grep -q -- '--- PASS: TestCleanCorpus' "$work/log"
