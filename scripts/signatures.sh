#!/usr/bin/env bash
# Shows a bundle's signatures to outside judges: openssl and jq
# (verify-with-openssl.sh), which also have to refuse what was changed; cosign,
# where it is installed; and, where a registry is installed too (the program
# `registry` of the distribution project), both over a registry on this machine.
#
#   go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
#   go install github.com/distribution/distribution/v3/cmd/registry@v3.1.1
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
repo=$PWD

work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "signatures: error: $*" >&2; exit 1; }

build "$work/bin"
export PATH="$work/bin:$PATH"
cd "$work"
printf 'correct horse battery staple\n' >passphrase
{
  fxctl ca init --name fed.example.org --passphrase-file passphrase
  issue publisher alice
  issue reviewer bob --key-type ed25519
  fxctl workspace create ward --template no-op --agg-addr localhost --agg-port 50051 --collaborator site-a
  fxctl bundle create ward -o ward.fxb --as alice
  fxctl bundle approve ward.fxb --as bob --yes
  fxctl bundle sbom ward.fxb --as alice
} >setup.log 2>&1 || { cat setup.log >&2; exit 1; }

check() { "$repo/scripts/verify-with-openssl.sh" cert/signing_chain.crt "$1"; }

# pick TYPE: the line of the sidecar whose predicate type ends in TYPE.
pick() {
  local line
  while IFS= read -r line; do
    if jq -r '.dsseEnvelope.payload | @base64d | fromjson | .predicateType' <<<"$line" | grep -q "$1\$"; then
      printf '%s\n' "$line"
    fi
  done <ward.fxb.sigs.jsonl
}

check ward.fxb

# refused NAME JQ: openssl has to refuse the review after the change JQ.
refused() {
  cp ward.fxb bad.fxb
  pick /review/v1 | jq -c "$2" >bad.fxb.sigs.jsonl
  if check bad.fxb >bad.log 2>&1; then
    fail "openssl accepts $1"
  fi
  grep '^verify-with-openssl: error' bad.log | sed "s/^.*error: /refused, $1: /"
}
refused "another statement" '.dsseEnvelope.payload |= (@base64d | sub("APPROVED"; "REJECTED") | @base64)'
refused "another signature" '.dsseEnvelope.signatures[0].sig |= ("AAAA" + .[4:])'
refused "another type" '.dsseEnvelope.payloadType = "application/json"'
refused "another signer" ".verificationMaterial.certificate.rawBytes = \"$(openssl x509 -in cert/signer/alice.crt -outform DER | base64 -w0)\""
refused "a stranger" ".verificationMaterial.certificate.rawBytes = \"$(
  openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=x -outform DER 2>/dev/null | base64 -w0)\""
cp ward.fxb.sigs.jsonl bad.fxb.sigs.jsonl
printf x >>bad.fxb
if check bad.fxb >/dev/null 2>&1; then fail "openssl accepts a file with a byte more"; fi
echo "refused, a byte more"

if ! command -v cosign >/dev/null; then
  echo "signatures: cosign left out: it is not installed"
  exit 0
fi

# cosign knows our signing CA as a certificate authority of its own, and is told
# not to look for a transparency log, which a federation does not have.
tar --zstd -xOf ward.fxb .fxb/manifest.json >manifest.json
cosign trusted-root create --fulcio="url=https://ca,certificate-chain=cert/signing_chain.crt" --out trusted.json
offline=(--trusted-root trusted.json --insecure-ignore-tlog --insecure-ignore-sct --certificate-oidc-issuer-regexp '.*')
attested() { # LINE-TYPE ROLE/NAME FILE
  pick "$1" >line.json
  cosign verify-blob-attestation --bundle line.json "${offline[@]}" --type "https://fx.invalid/fxb$1" \
    --certificate-identity "https://fed.example.org/fl/v1/$2" "$3" >cosign.log 2>&1
}
for file in ward.fxb manifest.json; do
  attested /release/v1 publisher/alice "$file" || { cat cosign.log >&2; fail "cosign refuses the release of $file"; }
  attested /review/v1 reviewer/bob "$file" || { cat cosign.log >&2; fail "cosign refuses the review of $file"; }
  echo "cosign verifies release and review of $file"
done
if attested /release/v1 publisher/mallory ward.fxb; then fail "cosign accepts another publisher"; fi
if attested /release/v1 publisher/alice passphrase; then fail "cosign accepts another file"; fi

if ! command -v registry >/dev/null; then
  echo "signatures: registry left out: it is not installed"
  exit 0
fi
port=$(free_port)
cat >registry.yml <<YML
version: 0.1
storage: {filesystem: {rootdirectory: $work/storage}}
http: {addr: "127.0.0.1:$port"}
YML
OTEL_TRACES_EXPORTER=none registry serve registry.yml >registry.log 2>&1 &
server=$!
for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  sleep 0.1
done
reference="127.0.0.1:$port/fl/ward"
fxctl bundle push ward.fxb "$reference:1" --json >push.json
fxctl bundle pull "$reference:1" -o back.fxb --have ward.fxb
cmp ward.fxb back.fxb
cmp ward.fxb.sigs.jsonl back.fxb.sigs.jsonl
cosign verify-attestation "${offline[@]}" --allow-http-registry --new-bundle-format --type "https://fx.invalid/fxb/release/v1" \
  --certificate-identity "https://fed.example.org/fl/v1/publisher/alice" "$reference@$(json_field oci_digest <push.json)" >cosign.log 2>&1 ||
  { cat cosign.log >&2; fail "cosign refuses the release in the registry"; }
echo "cosign verifies the release in the registry"
