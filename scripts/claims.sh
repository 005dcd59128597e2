#!/usr/bin/env bash
# docs/infosec.md names a test for each claim, docs/openfl.md for what OpenFL's
# peers rely on. Check that every one of them exists: a Go test function, a script, or a .txtar session.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=0 count=0
while read -r name; do
  count=$((count + 1))
  case $name in
    Test* | Fuzz*) grep -rqs --include='*_test.go' "^func $name(" . || { echo "claims: error: no test function $name" >&2; missing=1; } ;;
    *) [ -e "$name" ] || { echo "claims: error: no file $name" >&2; missing=1; } ;;
  esac
done < <(grep -h "^|" docs/infosec.md docs/openfl.md | grep -o "\`[^\`]*\`" | tr -d "\`" | grep -E "^(Test|Fuzz|scripts/|cli/|runtime/|ca/|bundle/|layers)" | sort -u)
if [ $count -lt 29 ]; then
  echo "claims: error: the documents name $count tests; each of 17 claims and of 12 rows needs one" >&2
  exit 1
fi
[ $missing = 0 ]
echo "claims: all $count tests that docs/infosec.md and docs/openfl.md name exist"
