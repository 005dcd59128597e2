#!/usr/bin/env bash
# Shows a bundle's signatures to outside judges: openssl and jq
# (verify-with-openssl.sh), which also have to refuse what was changed; and cosign,
# where it is installed. Then over a registry on this machine, where one is
# installed: Debian's docker-registry, or the program `registry` of its newer
# versions.
#
#   apt-get install docker-registry
#   go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
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
  seq 1000000 >ward/table.txt # larger than a frame
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

offline=(--trusted-root trusted.json --insecure-ignore-tlog --insecure-ignore-sct --certificate-oidc-issuer-regexp '.*')
if command -v cosign >/dev/null; then
  # cosign knows our signing CA as a certificate authority of its own, and is told
  # not to look for a transparency log, which a federation does not have.
  tar --zstd -xOf ward.fxb .fxb/manifest.json >manifest.json
  cosign trusted-root create --fulcio="url=https://ca,certificate-chain=cert/signing_chain.crt" --out trusted.json
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
else
  echo "signatures: cosign left out: it is not installed"
fi

registry=$(command -v registry || command -v docker-registry || true)
if [ -z "$registry" ]; then
  echo "signatures: registry left out: it is not installed"
  exit 0
fi
port=$(free_port)
cat >registry.yml <<YML
version: 0.1
storage: {filesystem: {rootdirectory: $work/storage}}
http: {addr: "127.0.0.1:$port"}
YML
OTEL_TRACES_EXPORTER=none "$registry" serve registry.yml >registry.log 2>&1 &
server=$!
for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  sleep 0.1
done
reference="127.0.0.1:$port/fl/ward"
fxctl bundle push ward.fxb "$reference:1" --json >push.json
fxctl bundle pull "$reference:1" -o back.fxb --json >pull.json
cmp ward.fxb back.fxb
cmp ward.fxb.sigs.jsonl back.fxb.sigs.jsonl
echo "a registry gives back what was pushed, with every signature"

# A version with one file more: the registry has to send the manifest and the
# frames that differ.
seq 1000 >ward/notes.txt
fxctl bundle create ward -o next.fxb --version 0.2.0 --as alice --quiet >/dev/null
fxctl bundle push next.fxb "$reference:2" --quiet >/dev/null
fxctl bundle pull "$reference:2" -o fetched.fxb --have ward.fxb --json >pull.json
cmp next.fxb fetched.fxb
[ "$(json_field copied_bytes <pull.json)" != 0 ] || fail "pull --have copied nothing"
echo "pull --have fetched $(json_field fetched_bytes <pull.json) bytes and copied $(json_field copied_bytes <pull.json)"

# A review that comes later reaches who pulls again, and is the only thing sent.
fxctl bundle approve back.fxb --as bob --reject --yes --quiet >/dev/null
fxctl bundle push back.fxb "$reference:1" --json >again.json
[ "$(json_field uploaded_bytes <again.json)" = 0 ] || fail "the bundle was sent twice"
fxctl bundle pull "$reference:1" -o ward.fxb --quiet >/dev/null
if fxctl bundle verify ward.fxb >/dev/null 2>&1; then fail "a rejection did not arrive"; fi
echo "a rejection that is pushed reaches who pulls again"

if command -v cosign >/dev/null; then
  cosign verify-attestation "${offline[@]}" --allow-http-registry --new-bundle-format --type "https://fx.invalid/fxb/release/v1" \
    --certificate-identity "https://fed.example.org/fl/v1/publisher/alice" "$reference@$(json_field oci_digest <push.json)" >cosign.log 2>&1 ||
    { cat cosign.log >&2; fail "cosign refuses the release in the registry"; }
  echo "cosign verifies the release in the registry"
fi
