#!/usr/bin/env bash
# A CA whose keys are in an HSM: builds fxctl-hsm and works with SoftHSM2 as a
# custodian would with a token. Creates, signs, revokes, makes lists and new keys,
# accounts, backs up; then what goes wrong: a wrong PIN, a missing token, a missing
# module, the build without PKCS #11. No PIN may stand in anything that is printed or
# stored.
#
# Without SoftHSM2 or a C compiler it is skipped with the reason; with CI=true that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

skip() {
  echo "hsm: skipped: $*" >&2
  [ "${CI:-}" != true ] || { echo "hsm: error: in CI nothing may be skipped" >&2; exit 1; }
  exit 0
}
module=
for m in /usr/lib/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
  [ -z "$module" ] && [ -e "$m" ] && module=$m
done
[ -n "$module" ] || skip "no SoftHSM2 (packages softhsm2, opensc)"
command -v pkcs11-tool >/dev/null || skip "no program pkcs11-tool (package opensc)"
command -v softhsm2-util >/dev/null || skip "no program softhsm2-util"
command -v "$(go env CC)" >/dev/null || skip "no C compiler"

[ ! -w /dev/shm ] || export TMPDIR=/dev/shm # no disk is tested here
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go vet -tags pkcs11 ./ca/issuer ./cli/command
CGO_ENABLED=1 go build -trimpath -tags pkcs11,urfave_cli_no_docs -ldflags '-s -w' -o "$work/bin/fxctl-hsm" ./cli/fxctl
CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags '-s -w' -o "$work/bin/fxctl" ./cli/fxctl
PATH=$work/bin:$PATH
root=$PWD
cd "$work"

mkdir tokens
printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$work" >softhsm.conf
export SOFTHSM2_CONF=$work/softhsm.conf
pin=73519028
printf '%s\n' "$pin" >pin
printf '12345678\n' >wrong-pin
softhsm2-util --init-token --free --label fx --so-pin 48210937 --pin "$pin" >/dev/null
token="pkcs11:module-path=$module;token=fx"

# run CODE PROGRAM ARGS...: runs it, keeps what it prints, requires the exit code.
run() {
  local want=$1 got=0
  shift
  "$@" >out.txt 2>&1 </dev/null || got=$?
  cat out.txt >>all.txt
  if [ "$got" != "$want" ]; then
    echo "hsm: error: exit code $got, want $want: $*" >&2
    cat out.txt >&2
    exit 1
  fi
}
says() { grep -q -- "$1" out.txt || { echo "hsm: error: nothing says \"$1\":" >&2; cat out.txt >&2; exit 1; }; }
sign() { # CODE PROGRAM CSR ROLE [FLAGS]: with the fingerprint that the requester would say
  local code=$1 program=$2 csr=$3 role=$4
  shift 4
  run "$code" "$program" ca sign "$csr" --role "$role" --fingerprint "$(fxctl cert inspect "$csr" --json | json_field fingerprint)" "$@"
}

echo "hsm: the ceremony, for every type of key"
for type in p256 p384 rsa3072; do
  run 0 fxctl-hsm ca init --name fed.example.org --ca "$type" --key-type "$type" --hsm "$token" --passphrase-file pin --json
  says '"hsm": true'
  run 0 fxctl cert request --role collaborator --name "site-$type" --cert-dir "cert-$type"
  sign 0 fxctl-hsm "cert-$type/client/col_site-$type.csr" collaborator --ca "$type" --passphrase-file pin
  run 0 fxctl cert import "site-$type.answer" --cert-dir "cert-$type" \
    --root-fingerprint "$(fxctl cert inspect "$type/root-ca.crt" --json | json_field fingerprint)"
  run 0 fxctl ca log verify --ca "$type"
  run 0 openssl verify -x509_strict -CAfile "$type/cert_chain.crt" "cert-$type/client/col_site-$type.crt"
done
! grep -rl 'PRIVATE KEY' p256 p384 rsa3072 || { echo "hsm: error: a key is in a file" >&2; exit 1; }
run 2 fxctl-hsm ca init --name fed.example.org --ca no --key-type ed25519 --hsm "$token" --passphrase-file pin
says 'cannot be made in an HSM'

echo "hsm: the life of a CA: revocation, lists, new keys, renewal"
keys() { pkcs11-tool --module "$module" --token-label fx --login --pin "$pin" --list-objects --type privkey 2>/dev/null | grep -c -- "fx-$1" || true; }
run 0 fxctl-hsm ca revoke site-p256 --ca p256 --role collaborator --reason superseded --yes --passphrase-file pin
run 0 fxctl-hsm ca crl --root --ca p256 --passphrase-file pin
for list in network-ca signing-ca root-ca; do
  run 0 openssl crl -inform DER -in "p256/$list.crl" -CAfile <(cat p256/*-ca.crt) -noout
done
run 0 fxctl cert import p256/update.pem --cert-dir cert-p256
run 4 fxctl cert verify cert-p256/client/col_site-p256.crt --role collaborator --cert-dir cert-p256
run 1 fxctl-hsm ca rotate network --ca p256 --passphrase-file wrong-pin
says 'the PIN is wrong'
run 1 fxctl ca rotate network --ca p256 --passphrase-file pin
says 'hint: use fxctl-hsm'
run 1 fxctl ca revoke site-p384 --ca p384 --role collaborator --reason superseded --yes --passphrase-file pin
says 'hint: use fxctl-hsm'
before=$(keys fed.example.org)
for kind in network signing root; do
  run 0 fxctl-hsm ca rotate "$kind" --ca p256 --passphrase-file pin
  grep -q "^pkcs11:" "p256/$kind-ca/private/$kind-ca-g2.key"
done
[ "$(keys fed.example.org)" = $((before + 3)) ] || { echo "hsm: error: the new keys are not in the token" >&2; exit 1; }
run 0 fxctl cert renew --role collaborator --name site-p384 --cert-dir cert-p384
sign 0 fxctl-hsm cert-p384/client/col_site-p384.next.csr collaborator --ca p384 --replace -o renewed.answer --passphrase-file pin
run 0 fxctl cert import renewed.answer --cert-dir cert-p384
run 0 fxctl cert request --role collaborator --name site-new --cert-dir cert-new
sign 0 fxctl-hsm cert-new/client/col_site-new.csr collaborator --ca p256 --passphrase-file pin
run 0 fxctl cert import site-new.answer --cert-dir cert-new --root-fingerprint "$(fxctl cert inspect p256/root-ca-g2.crt --json | json_field fingerprint)"
run 0 fxctl-hsm ca crl --ca p256 --passphrase-file pin
run 0 fxctl ca log verify --ca p256
run 0 fxctl ca status --ca p256
(cd "$root" && FX_HSM_TOKEN=$token FX_HSM_PIN=$pin go test -count=1 -tags pkcs11 -run '^TestHSM' ./ca/issuer)
[ "$(keys undone.example.org)" = 0 ] || { echo "hsm: error: keys of a CA that was not made are in the token" >&2; exit 1; }

echo "hsm: backed up without its keys, restored beside the same token"
printf 'correct horse battery staple\n' >words
run 0 fxctl ca export --ca p256 -o p256.age --passphrase-file words
run 0 fxctl ca import p256.age --ca restored --passphrase-file words
run 0 fxctl cert request --role reviewer --name bob
sign 0 fxctl-hsm cert/signer/bob.csr reviewer --ca restored --passphrase-file pin
run 0 fxctl ca log verify --ca restored

echo "hsm: what goes wrong"
run 0 fxctl cert request --role collaborator --name site-9
csr=cert/client/col_site-9.csr
sign 1 fxctl-hsm "$csr" collaborator --ca p256 --passphrase-file wrong-pin
says 'the PIN is wrong'
FX_CA_PASSPHRASE='' sign 1 fxctl-hsm "$csr" collaborator --ca p256
says 'the PIN is wrong'
sign 1 fxctl "$csr" collaborator --ca p256 --passphrase-file pin
says 'built without PKCS #11'
says 'hint: use fxctl-hsm'
run 1 fxctl ca init --name fed.example.org --ca no --hsm "$token" --passphrase-file pin
says 'hint: use fxctl-hsm'
run 1 fxctl-hsm ca init --name fed.example.org --ca no --hsm "pkcs11:module-path=$module;token=none" --passphrase-file pin
says 'cannot open the HSM'
run 1 fxctl-hsm ca init --name fed.example.org --ca no --hsm "pkcs11:module-path=$work/none.so;token=fx" --passphrase-file pin
says 'cannot open the HSM'
run 2 fxctl-hsm ca init --name fed.example.org --ca no --hsm "$token?pin-value=$pin" --passphrase-file pin
says 'the PIN is not part of the URI'
cp p384/network-ca/private/network-ca.key p256/network-ca/private/network-ca-g2.key
sign 4 fxctl-hsm "$csr" collaborator --ca p256 --passphrase-file pin
says 'does not belong to the certificate'
mv tokens gone
mkdir tokens
sign 1 fxctl-hsm "$csr" collaborator --ca p384 --passphrase-file pin
says 'cannot open the HSM'
if [ -e no ] || [ -e site-9.answer ]; then
  echo "hsm: error: something was made all the same" >&2
  exit 1
fi
for text in "$pin" 12345678; do
  if grep -rF "$text" all.txt p256 p384 rsa3072 restored; then
    echo "hsm: error: a PIN was printed or stored" >&2
    exit 1
  fi
done
echo "hsm: done"
