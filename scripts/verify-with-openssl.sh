#!/usr/bin/env bash
# Verifies the signatures of a bundle with nothing of ours: openssl for digests,
# certificates and signatures, jq for JSON, tar and zstd to get at the manifest.
#
#   scripts/verify-with-openssl.sh SIGNING_CHAIN FILE.fxb
#
# SIGNING_CHAIN is cert/signing_chain.crt. For each line of FILE.fxb.sigs.jsonl it
# prints who signed what. Exits 1 if a line is not in order or about other bytes.
# It judges neither revocation nor a site's policy, and takes the bundle's frames
# as part of the whole file's digest: `fxctl bundle verify` does the rest.
set -euo pipefail

fail() { echo "verify-with-openssl: error: $*" >&2; exit 1; }
[ $# = 2 ] || { echo "usage: $0 SIGNING_CHAIN FILE.fxb" >&2; exit 2; }
chain=$1 file=$2
for tool in openssl jq tar zstd base64; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

digest() { openssl dgst -sha256 -r "$1" | cut -d' ' -f1; }
tar --zstd -xOf "$file" .fxb/manifest.json >"$work/manifest.json" || fail "there is no manifest in $file"
id=$(digest "$work/manifest.json")
whole=$(digest "$file")
echo "bundle id    $id"
echo "file digest  $whole"

# Roots are the certificates that are signed by themselves; the others lead to them.
awk -v dir="$work" '/BEGIN CERTIFICATE/ { n++ } n { print > (dir "/ca" n ".pem") }' "$chain"
: >"$work/others.pem"
for ca in "$work"/ca*.pem; do
  if [ "$(openssl x509 -in "$ca" -noout -subject_hash)" = "$(openssl x509 -in "$ca" -noout -issuer_hash)" ]; then
    cat "$ca" >>"$work/roots.pem"
  else
    cat "$ca" >>"$work/others.pem"
  fi
done
[ -s "$work/roots.pem" ] || fail "$chain holds no root"

# verify_line N LINE: chain, role, signature and subjects of one line.
verify_line() {
  local n=$1 line=$2 type size role said
  jq -er '.verificationMaterial.certificate.rawBytes' <<<"$line" | base64 -d >"$work/leaf.der" || fail "line $n has no certificate"
  openssl x509 -inform DER -in "$work/leaf.der" -out "$work/leaf.pem"
  openssl verify -CAfile "$work/roots.pem" -untrusted "$work/others.pem" -purpose any "$work/leaf.pem" >/dev/null ||
    fail "line $n: the certificate does not lead to a root of $chain, or is out of date"
  openssl x509 -in "$work/leaf.pem" -noout -ext extendedKeyUsage | grep -q 'Code Signing' || fail "line $n: the certificate is not for signing"
  role=$(openssl x509 -in "$work/leaf.pem" -noout -ext subjectAltName | sed -n 's|^ *URI:.*/fl/v1/\(.*\)$|\1|p')

  jq -j '.dsseEnvelope.payload' <<<"$line" | base64 -d >"$work/statement.json"
  jq -j '.dsseEnvelope.signatures[0].sig' <<<"$line" | base64 -d >"$work/sig"
  type=$(jq -r '.dsseEnvelope.payloadType' <<<"$line")
  size=$(wc -c <"$work/statement.json")
  { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$size"; cat "$work/statement.json"; } >"$work/signed"
  openssl x509 -in "$work/leaf.pem" -noout -pubkey >"$work/key.pem"
  if openssl pkey -pubin -in "$work/key.pem" -noout -text | grep -q '^ED25519'; then
    openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$work/signed" -sigfile "$work/sig" >/dev/null
  else
    openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/sig" "$work/signed" >/dev/null
  fi || fail "line $n: the signature is wrong"

  jq -e --arg id "$id" '[.subject[] | select(.name == ".fxb/manifest.json") | .digest.sha256] == [$id]' "$work/statement.json" >/dev/null ||
    fail "line $n is about another bundle"
  jq -e --arg whole "$whole" 'any(.subject[]; (.name | endswith(".fxb")) and .digest.sha256 == $whole)' "$work/statement.json" >/dev/null ||
    fail "line $n is about another file"
  said=$(jq -r '.predicate.decision // (if .predicateType | endswith("/release/v1") then "RELEASED" else .predicateType end)' "$work/statement.json")
  echo "line $n       $role: $said"
}

n=0
while IFS= read -r line; do
  n=$((n + 1))
  verify_line "$n" "$line"
done <"$file.sigs.jsonl"
[ "$n" -gt 0 ] || fail "$file.sigs.jsonl has no signatures"
echo "verify-with-openssl: $n signatures are in order"
