#!/usr/bin/env bash
# docs/infosec.md names a test for each claim. Check that every one of them
# exists: a Go test function, a script, or a .txtar session.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=0 count=0
while read -r name; do
  count=$((count + 1))
  case $name in
    Test* | Fuzz*) grep -rqs --include='*_test.go' "^func $name(" . || { echo "claims: error: no test function $name" >&2; missing=1; } ;;
    *) [ -e "$name" ] || { echo "claims: error: no file $name" >&2; missing=1; } ;;
  esac
done < <(grep "^|" docs/infosec.md | grep -o "\`[^\`]*\`" | tr -d "\`" | grep -E "^(Test|Fuzz|scripts/|cli/|runtime/|ca/|bundle/|layers)" | sort -u)
if [ $count -lt 17 ]; then
  echo "claims: error: docs/infosec.md names $count tests; each of its 17 claims needs one" >&2
  exit 1
fi
[ $missing = 0 ]
echo "claims: all $count tests that docs/infosec.md names exist"
