#!/usr/bin/env bash
# A custodian's year with fxctl and jq: the ceremony, fifty requests, an audit by
# somebody who has nothing but the root's fingerprint, a certificate that approvals
# are needed for, a backup, a disaster. Exit codes are checked throughout.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

command -v jq >/dev/null || { echo "custodian: skipped: no program jq" >&2; [ "${CI:-}" != true ]; exit; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags '-s -w' -o "$work/bin/" ./cli/fxctl
PATH=$work/bin:$PATH
cd "$work"

fail() { echo "custodian: error: $*" >&2; exit 1; }
# expect CODE PROGRAM ARGS...: runs it without a terminal; its results go to out.json.
expect() {
  local want=$1 got=0
  shift
  "$@" --json >out.json 2>err.txt </dev/null || got=$?
  [ "$got" = "$want" ] || { cat err.txt >&2; fail "exit code $got, want $want: $*"; }
}
# is EXPRESSION: what jq says of the last result.
is() { jq -e "$1" out.json >/dev/null || { cat out.json >&2; fail "not so: $1"; }; }
# sign CODE CSR ROLE [FLAGS]: with the fingerprint as the requester says it.
sign() {
  local code=$1 csr=$2 role=$3 heard
  shift 3
  heard=$(fxctl cert inspect "$csr" --json | jq -r '[.. | .fingerprint? // empty][0]')
  expect "$code" fxctl ca sign "$csr" --role "$role" --fingerprint "$heard" "$@"
}
step() { echo "custodian: $*"; }

step "the ceremony"
printf 'correct horse battery staple\n' >words
printf 'another horse battery staple\n' >backup-words
export FX_CA_PASSPHRASE='correct horse battery staple'
expect 0 fxctl ca init --name fed.example.org --passphrase-file words
is '.encrypted and (.root_fingerprint | length) == 64'
root=$(jq -r .root_fingerprint out.json)
expect 0 fxctl ca log checkpoint -o ceremony.checkpoint
is '.size == 3'
expect 1 fxctl ca init --name fed.example.org --passphrase-file words

step "fifty requests"
mkdir requests
for i in $(seq -w 1 50); do
  expect 0 fxctl cert request --role collaborator --name "site-$i" --cert-dir "sites/$i"
  cp "sites/$i/client/col_site-$i.csr" requests/
done
for i in $(seq -w 1 50); do
  sign 0 "requests/col_site-$i.csr" collaborator -o "site-$i.answer"
done
sign 3 requests/col_site-07.csr collaborator -o again.answer
is '[.error.details.refusals[].id] == ["csr-repeated"]'
expect 4 fxctl ca sign requests/col_site-08.csr --role collaborator --replace -o x.answer --fingerprint "$(printf 'f%.0s' {1..64})"
is '.error.code == 4'
expect 0 fxctl cert import site-07.answer --cert-dir sites/07 --root-fingerprint "$root"
expect 0 fxctl ca log show --name site-07
is '.size == 53 and (.records | length) == 1'
expect 0 fxctl ca log checkpoint -o fifty.checkpoint

step "the audit, by somebody who has no CA folder"
expect 0 fxctl ca log export -o federation.log
expect 0 fxctl ca log verify --log federation.log --root-fingerprint "$root" --since ceremony.checkpoint
is '.valid and .size == 53 and .since == 3 and .kinds.issued == 53'
expect 0 fxctl ca log prove site-07.answer -o site-07.proof
expect 0 fxctl cert verify sites/07/client/col_site-07.crt --role collaborator --cert-dir sites/07 --log-proof site-07.proof
is '.valid and .log_index == 9'
sed 's/site-21/site-99/' federation.log >forged.log
expect 4 fxctl ca log verify --log forged.log --root-fingerprint "$root"
is '.error.details.first_record == 23'

step "a backup, then a disaster"
expect 0 fxctl ca export -o ca.age --passphrase-file backup-words
is '.size == 53'
expect 0 fxctl cert request --role collaborator --name site-51 --cert-dir sites/51
sign 0 sites/51/client/col_site-51.csr collaborator -o site-51.answer
expect 0 fxctl ca log checkpoint -o last.checkpoint
mv ca burnt
expect 4 fxctl ca import ca.age --passphrase-file backup-words --since last.checkpoint
[ ! -e ca ] || fail "an old backup was restored"
expect 0 fxctl ca import ca.age --passphrase-file backup-words --since fifty.checkpoint
is ".root_fingerprint == \"$root\" and .size == 53"
sign 3 requests/col_site-07.csr collaborator -o again.answer
sign 0 sites/51/client/col_site-51.csr collaborator -o site-51-again.answer
expect 0 fxctl ca log verify --since fifty.checkpoint
rm -rf burnt

step "four eyes"
expect 0 fxctl ca init --name two.example.org --ca two --require-approvals 2 --no-passphrase
expect 0 fxctl cert inspect two/root-ca.crt
root=$(jq -r '[.. | .fingerprint? // empty][0]' out.json)
for who in bob eve; do
  expect 0 fxctl cert request --role reviewer --name "$who"
  sign 0 "cert/signer/$who.csr" reviewer --ca two
  expect 0 fxctl cert import "$who.answer" --root-fingerprint "$root"
done
csr=requests/col_site-01.csr
sign 4 "$csr" collaborator --ca two -o two.answer
is '[.error.details.refusals[].id] == ["approval-missing"]'
expect 0 fxctl ca propose "$csr" --role collaborator --ca two -o one.proposal
heard=$(jq -r .request_fingerprint out.json)
for who in bob eve; do
  expect 0 fxctl ca approve one.proposal --as "$who" --yes --fingerprint "$heard" -o "$who.approval"
done
sign 4 "$csr" collaborator --ca two --days 30 --approval bob.approval --approval eve.approval -o two.answer
sign 0 "$csr" collaborator --ca two --approval bob.approval --approval eve.approval -o two.answer
expect 0 fxctl ca log show --ca two --name site-01
is '.records[0].approved_by == ["bob", "eve"]'
echo "custodian: done"
