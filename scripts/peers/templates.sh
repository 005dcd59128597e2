#!/usr/bin/env bash
# Every workspace template whose task code runs in a box, through the quickstart,
# with the packages that the operating system has; and its classes with OpenFL's
# own package, where FX_OPENFL_PYTHON names an interpreter that has it.
#
#   scripts/peers/templates.sh [TEMPLATE...]
#
# Needs NumPy, PyTorch and scikit-learn for /usr/bin/python3 (or FX_PYTHON), and jq:
#   apt-get install python3-numpy python3-torch python3-sklearn jq
# A template that lacks something is skipped with the reason, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/../.."

export FX_PYTHON=${FX_PYTHON:-/usr/bin/python3}
templates=("$@")
[ $# -gt 0 ] || templates=(digits-numpy digits-torch tabular-sklearn histogram shell wasm-go)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# least LABEL NUMBER: the last line "LABEL: VALUE" has at least this value.
least() {
  awk -F': ' -v label="$1" -v least="$2" '
    $1 == label { found = $2 }
    END { printf "  %s: %s (at least %s)\n", label, found, least; exit !(found != "" && found + 0 >= least) }' "$log"
}
# most LABEL NUMBER: no line "LABEL NAME: VALUE" has more, and there are three.
most() {
  awk -F': ' -v label="$1" -v most="$2" '
    index($1, label " ") == 1 { n++; if ($2 + 0 > best) best = $2 + 0 }
    END { printf "  %s: %s (at most %s, of %d)\n", label, best, most, n; exit !(n == 3 && best <= most) }' "$log"
}
# says PATTERN: a line of the output matches.
says() {
  grep -E -m 1 -- "$1" "$log" || { echo "templates: error: no line matches $1" >&2; return 1; }
}

failed=0
for template in "${templates[@]}"; do
  began=$SECONDS
  if ! scripts/quickstart.sh --template "$template" >"$log" 2>&1; then
    if [ "${CI:-}" != true ] && reason=$(grep -m 1 "^quickstart: error: template $template needs " "$log"); then
      echo "templates: skipped: $reason"
      continue
    fi
    cat "$log"
    echo "templates: error: the quickstart of $template failed" >&2
    failed=1
    continue
  fi
  echo "$template: $((SECONDS - began)) s"
  case $template in
    digits-numpy | digits-torch | wasm-go) least "global accuracy" 0.93 && most "local accuracy" 0.9 ;;
    tabular-sklearn) least "global accuracy" 0.98 && most "local accuracy" 0.99 ;;
    histogram) says '^ +0 to 10 +[1-9][0-9.]* %  #' && says '^ +90 to 100 +[0-9.]+ %' ;;
    shell) says '^( +[0-9]+\.[0-9]){3} +1[0-9]\.[0-9]' ;; # the middle of a digit is dark
    *) echo "templates: error: nothing is known about the result of $template" >&2; false ;;
  esac || failed=1
done

# The same classes, called as OpenFL calls them.
go test -count=1 -v -run '^TestPythonTemplates$' ./bundle/workspace >"$log" || { cat "$log"; failed=1; }
grep -E '^ *(--- (PASS|SKIP|FAIL)|templates_python_test)' "$log" || failed=1
if [ "${CI:-}" = true ] && grep -q -- '--- SKIP: .*/shim' "$log"; then
  echo "templates: error: a template was not run" >&2
  failed=1
fi
exit $failed
