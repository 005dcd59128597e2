#!/usr/bin/env bash
# A custodian's ten years with fxctl and jq: the ceremony, fifty requests, one by one
# and as a batch, a revocation, a renewal, new keys for every CA, an audit by somebody
# who has nothing but the root's fingerprint, a backup, a disaster, approvals. Exit
# codes are checked throughout.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

command -v jq >/dev/null || { echo "custodian: skipped: no program jq" >&2; [ "${CI:-}" != true ]; exit; }
# Nobody pulls the plug here, so memory will do as a disk.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
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
  [ "$got" = 0 ] || jq -e "(.error.code // $got) == $got" out.json >/dev/null || { cat out.json >&2; fail "--json has another code: $*"; }
}
# is EXPRESSION: what jq says of the last result.
is() { jq -e "$1" out.json >/dev/null || { cat out.json >&2; fail "not so: $1"; }; }
heard() { fxctl cert inspect "$1" --json | jq -r '[.. | .fingerprint? // empty][0]'; } # from the requester
# sign CODE CSR ROLE [FLAGS]: with the fingerprint as the requester says it.
sign() {
  local code=$1 csr=$2 role=$3 said
  shift 3
  said=$(heard "$csr")
  expect "$code" fxctl ca sign "$csr" --role "$role" --fingerprint "$said" "$@"
}
# refused ID: the one reason of the last refusal.
refused() { is "[.error.details.refusals[].id] == [\"$1\"]"; }
# meets CODE A B: whether the site B accepts what the site A has.
meets() { expect "$1" fxctl cert verify "sites/$2/client/col_site-$2.crt" --role collaborator --cert-dir "sites/$3"; }
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

step "fifty requests, ten of them one by one"
mkdir requests
for i in $(seq -w 1 50); do
  expect 0 fxctl cert request --role collaborator --name "site-$i" --cert-dir "sites/$i"
  cp "sites/$i/client/col_site-$i.csr" requests/
  jq -r '[.name, .role, .fingerprint] | @csv' out.json | tr -d '"' >>said.csv
done
for i in $(seq -w 1 10); do sign 0 "requests/col_site-$i.csr" collaborator -o "site-$i.answer"; done
sign 3 requests/col_site-07.csr collaborator -o again.answer
refused csr-repeated
expect 4 fxctl ca sign requests/col_site-08.csr --role collaborator --replace -o x.answer --fingerprint "$(printf 'f%.0s' {1..64})"
refused fingerprint-mismatch
FX_CA_PASSPHRASE='wrong horse battery staple' sign 1 requests/col_site-11.csr collaborator -o x.answer
expect 2 fxctl ca sign requests/col_site-11.csr --role collaborator -o x.answer
! ls x.answer again.answer 2>/dev/null || fail "something was signed all the same"

step "the other forty as a batch"
{ echo name,role,fingerprint; sed "s/^\(site-50,.*,\).*/\1$(printf 'f%.0s' {1..64})/" said.csv; echo "site-51,collaborator,$(printf 'e%.0s' {1..64})"; } >roster.csv
expect 4 fxctl ca sign requests --roster roster.csv -o answers
is '[.signed, .answered, .refused, .failed, .missing] == [39, 10, 1, 0, 2]'
is '[.requests[] | select(.status == "refused") | .file, .refusals[].id] == ["col_site-50.csr", "fingerprint-mismatch"]'
{ echo name,role,fingerprint; cat said.csv; } >roster.csv
expect 0 fxctl ca sign requests --roster roster.csv -o answers
is '[.signed, .answered, .refused, .failed, .missing] == [1, 49, 0, 0, 0]'
for i in 03 07 20; do
  expect 0 fxctl cert import "answers/col_site-$i.answer" --cert-dir "sites/$i" --root-fingerprint "$root"
done
expect 4 fxctl cert import answers/col_site-21.answer --cert-dir sites/22 --root-fingerprint "$root"
expect 4 fxctl cert import answers/col_site-21.answer --cert-dir sites/21 --root-fingerprint "$(heard requests/col_site-21.csr)"
meets 0 03 07
expect 0 fxctl ca log show --name site-07
is '.size == 53 and (.records | length) == 1'
expect 0 fxctl ca log checkpoint -o fifty.checkpoint

step "a revocation"
expect 2 fxctl ca revoke site-03 --role collaborator --reason keyCompromise
expect 0 fxctl ca revoke site-03 --role collaborator --reason keyCompromise --yes
is '[.revoked[].name] == ["site-03"] and ([.lists[] | [.issuer, .number, .entries]] == [["network-ca", 1, 1], ["signing-ca", 1, 0]])'
expect 3 fxctl ca revoke site-03 --role collaborator --reason keyCompromise --yes
expect 0 fxctl cert import ca/update.pem --cert-dir sites/07
meets 4 03 07
sign 3 requests/col_site-03.csr collaborator --replace -o x.answer
refused key-compromised
expect 0 fxctl ca crl --days 30
is '[.lists[].number] == [2, 2]'
expect 0 fxctl ca status
is '.ok and .valid == 49'
openssl crl -inform DER -in ca/network-ca.crl -CAfile ca/cert_chain.crt -noout 2>openssl.txt || fail "$(cat openssl.txt)"

step "a renewal"
cp sites/07/client/col_site-07.key old.key
expect 0 fxctl cert renew --role collaborator --name site-07 --cert-dir sites/07
renewal=$(jq -r .request out.json)
sign 3 "$renewal" collaborator -o x.answer
refused name-taken
sign 0 "$renewal" collaborator --replace -o renewed.answer
is '(.replaces | length) == 1'
expect 0 fxctl cert import renewed.answer --cert-dir sites/07
cmp -s old.key sites/07/client/col_site-07.key && fail "the old key is still in use"
expect 0 fxctl ca list --name site-07
is '[.certificates[].status] == ["replaced", "valid"]'

step "new keys for every CA"
for kind in network signing root; do
  expect 0 fxctl ca rotate "$kind"
  is '.generation == 2'
done
expect 0 fxctl cert import ca/update.pem --cert-dir sites/20
for i in 51 52; do
  expect 0 fxctl cert request --role collaborator --name "site-$i" --cert-dir "sites/$i"
  sign 0 "sites/$i/client/col_site-$i.csr" collaborator -o "site-$i.answer"
done
newest=$(heard ca/root-ca-g2.crt)
expect 0 fxctl cert import site-51.answer --cert-dir sites/51 --root-fingerprint "$newest" # a site that begins with the new root
meets 0 20 51
meets 0 51 20
meets 4 51 03 # which never heard of the rotation
expect 0 fxctl ca crl --root
is '(.lists | length) == 6'

step "the audit, by somebody who has no CA folder"
expect 0 fxctl ca log export -o federation.log
expect 0 fxctl ca log verify --log federation.log --root-fingerprint "$root" --since ceremony.checkpoint
is '.valid and .since == 3 and .kinds.revoked == 1 and .kinds.rotated == 3'
size=$(jq .size out.json)
expect 0 fxctl ca log verify --log federation.log --root-fingerprint "$root" --since fifty.checkpoint
expect 0 fxctl ca log prove answers/col_site-20.answer -o site-20.proof
expect 0 fxctl cert verify sites/20/client/col_site-20.crt --role collaborator --cert-dir sites/20 --log-proof site-20.proof
is '.valid and .log_index == 22'
expect 4 fxctl cert verify sites/07/client/col_site-07.crt --role collaborator --cert-dir sites/07 --log-proof site-20.proof
sed 's/site-21/site-99/' federation.log >forged.log
expect 4 fxctl ca log verify --log forged.log --root-fingerprint "$root"
is '.error.details.first_record == 23'
sed '/^24 /d' federation.log >forged.log
expect 4 fxctl ca log verify --log forged.log --root-fingerprint "$root"
is '.error.details.first_record == 24'

step "a backup, then a disaster"
expect 0 fxctl ca export -o ca.age --passphrase-file backup-words
is ".size == $size"
expect 0 fxctl cert request --role collaborator --name site-53 --cert-dir sites/53
sign 0 sites/53/client/col_site-53.csr collaborator -o site-53.answer
expect 0 fxctl ca log checkpoint -o last.checkpoint
mv ca burnt
expect 4 fxctl ca import ca.age --passphrase-file backup-words --since last.checkpoint
[ ! -e ca ] || fail "an old backup was restored"
expect 0 fxctl ca import ca.age --passphrase-file backup-words --since fifty.checkpoint
is ".root_fingerprint == \"$newest\" and .size == $size"
sign 3 requests/col_site-09.csr collaborator -o again.answer
sign 0 sites/53/client/col_site-53.csr collaborator -o site-53-again.answer
expect 0 fxctl ca crl
is '.lists[0].number == 4'
expect 0 fxctl ca log verify --since fifty.checkpoint

step "four eyes"
expect 0 fxctl ca init --name two.example.org --ca two --require-approvals 2 --no-passphrase
root=$(jq -r .root_fingerprint out.json)
for who in bob eve; do
  expect 0 fxctl cert request --role reviewer --name "$who"
  sign 0 "cert/signer/$who.csr" reviewer --ca two
  expect 0 fxctl cert import "$who.answer" --root-fingerprint "$root"
done
csr=requests/col_site-01.csr
sign 4 "$csr" collaborator --ca two -o two.answer
refused approval-missing
expect 0 fxctl ca propose "$csr" --role collaborator --ca two -o one.proposal
for who in bob eve; do
  expect 0 fxctl ca approve one.proposal --as "$who" --yes --fingerprint "$(heard "$csr")" -o "$who.approval"
done
sign 4 "$csr" collaborator --ca two --days 30 --approval bob.approval --approval eve.approval -o two.answer
sign 0 "$csr" collaborator --ca two --approval bob.approval --approval eve.approval -o two.answer
expect 0 fxctl ca log show --ca two --name site-01
is '.records[0].approved_by == ["bob", "eve"]'
echo "custodian: done"
