#!/usr/bin/env bash
# Issues all four roles under issuing keys of every type, as people would with
# fxctl, and shows every certificate and revocation list to judges that are not
# ours: OpenSSL, GnuTLS and zlint. Any error or warning of theirs fails the
# script, and so does a bad certificate that one of them or fxctl accepts.
#
# A judge that is not here is skipped with the reason; with CI=true that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

root=$PWD
sources=RFC5280,RFC5480,RFC5891,RFC8813,Community
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skipped=0
failed=0
judged=0

skip() {
  echo "certificates: skipped: $*" >&2
  skipped=$((skipped + 1))
}

fail() {
  echo "certificates: error: $*" >&2
  failed=$((failed + 1))
}

CGO_ENABLED=0 go build -tags urfave_cli_no_docs -o "$work/bin/" ./cli/fxctl
PATH=$work/bin:$PATH

have_openssl=1
command -v openssl >/dev/null || { have_openssl=; skip "OpenSSL: no program openssl"; }
have_certtool=1
command -v certtool >/dev/null || { have_certtool=; skip "GnuTLS: no program certtool"; }
have_zlint=1
if go build -modfile="$root/scripts/tools/zlint.mod" -o "$work/zlint" github.com/zmap/zlint/v3/cmd/zlint 2>"$work/zlint.log"; then
  zlint=("$work/zlint")
else
  have_zlint=
  skip "zlint cannot be built: $(tail -n 1 "$work/zlint.log")"
fi

# opinions CHAIN CERTIFICATE ROLE: sets who to those who accept a certificate under
# its CAs and their revocation lists, strictly and for the role's purpose.
opinions() {
  who=
  local purpose=sslclient oid=1.3.6.1.5.5.7.3.2
  [ "$3" != aggregator ] || { purpose=sslserver oid=1.3.6.1.5.5.7.3.1; }
  case $3 in publisher | reviewer) purpose=any oid=1.3.6.1.5.5.7.3.3 ;; esac
  if [ -n "$have_openssl" ] && openssl verify -x509_strict -crl_check_all -purpose "$purpose" \
    -CRLfile ca/crl.pem -CAfile "$1" "$2" >"$work/openssl.log" 2>&1; then who+=" openssl"; fi
  if [ -n "$have_certtool" ] && certtool --verify --verify-purpose "$oid" --load-ca-certificate "$1" \
    --load-crl ca/crl.pem --infile "$2" >"$work/certtool.log" 2>&1; then who+=" certtool"; fi
  if fxctl cert verify "$2" --role "$3" --chain "$1" --crl ca/crl.pem >"$work/fxctl.log" 2>&1; then who+=" fxctl"; fi
}

everybody="${have_openssl:+ openssl}${have_certtool:+ certtool} fxctl"

# verify CHAIN CERTIFICATE ROLE: everybody accepts it.
verify() {
  opinions "$@"
  [ "$who" = "$everybody" ] || fail "$PWD: $2 is accepted by:$who only: $(tail -qn 2 "$work"/{openssl,certtool,fxctl}.log)"
}

# refuse CHAIN CERTIFICATE ROLE WHY: nobody does.
refuse() {
  opinions "$1" "$2" "$3"
  [ -z "$who" ] || fail "$PWD: $2 ($4) is accepted by$who"
}

# lint FILE: a certificate or revocation list. zlint exits 0 whatever it finds, so
# its JSON is read. That it judged at all is required too.
lint() {
  judged=$((judged + 1))
  [ -n "$have_zlint" ] || return 0
  local out found
  if ! out=$("${zlint[@]}" -includeSources "$sources" "$1" 2>&1) || [ "$(grep -o '"result":"pass"' <<<"$out" | wc -l)" -lt 8 ]; then
    fail "$PWD: zlint could not judge $1: ${out:0:300}"
    return
  fi
  found=$(grep -oE '"[a-z0-9_]+":\{"result":"(warn|error|fatal)"[^}]*\}' <<<"$out" || true)
  [ -z "$found" ] || fail "$PWD: zlint on $1: $found"
}

# judge KEYTYPE NAME [FLAGS of ca init]: a whole federation in the folder NAME.
judge() {
  local type=$1 dir=$work/$2 signer role file before=$failed
  shift 2
  mkdir "$dir"
  cd "$dir"
  printf 'correct horse battery staple\n' >passphrase
  fxctl ca init --name fed.example.org --key-type "$type" --passphrase-file passphrase "$@" --quiet >/dev/null
  signer=p256
  [ "$type" = p256 ] || signer=ed25519 # bundle signatures are P-256 or Ed25519
  issue aggregator agg.example.org --dns localhost --ip 127.0.0.1 --key-type "$type"
  issue collaborator hospital-a --key-type "$type"
  issue collaborator hospital-x --key-type "$type"
  issue publisher alice --key-type "$signer"
  issue reviewer bob --key-type "$signer"
  fxctl ca revoke hospital-x --role collaborator --reason keyCompromise --yes --passphrase-file passphrase --quiet >/dev/null
  fxctl ca crl --root --passphrase-file passphrase --quiet >/dev/null
  judge_all
  refuse ca/cert_chain.crt cert/client/col_hospital-x.crt collaborator revoked
  refuse ca/cert_chain.crt cert/client/col_hospital-a.crt aggregator "for another purpose"
  refuse ca/cert_chain.crt cert/server/agg_agg.example.org.crt collaborator "for another purpose"
  if [ "$type" = p256 ]; then # a new generation of each CA: all certificates hold, old and new
    for role in network signing root; do
      fxctl ca rotate "$role" --passphrase-file passphrase --quiet >/dev/null
    done
    fxctl ca crl --root --passphrase-file passphrase --quiet >/dev/null
    issue collaborator hospital-b --key-type "$type"
    judge_all
    verify ca/cert_chain.crt cert/client/col_hospital-b.crt collaborator
  fi
  [ "$failed" = "$before" ] && echo "certificates: $type${*:+ $*}: $judged looked at so far, nothing found"
  cd "$root"
}

# judge_all looks at everything in the folders ca and cert.
judge_all() {
  local file list
  verify ca/cert_chain.crt cert/server/agg_agg.example.org.crt aggregator
  verify ca/cert_chain.crt cert/client/col_hospital-a.crt collaborator
  verify ca/signing_chain.crt cert/signer/alice.crt publisher
  verify ca/signing_chain.crt cert/signer/bob.crt reviewer
  for file in ca/*-ca*.crt cert/server/*.crt cert/client/*.crt cert/signer/*.crt; do lint "$file"; done
  for list in ca/*.crl; do
    { echo "-----BEGIN X509 CRL-----"; base64 "$list"; echo "-----END X509 CRL-----"; } >list.pem
    lint list.pem
    [ -z "$have_certtool" ] || certtool --crl-info --infile list.pem >/dev/null 2>&1 || fail "$PWD: certtool cannot read $list"
  done
}

# outside: a certificate that the CA would never issue, made with its key.
outside() {
  cd "$work/constrained"
  openssl ecparam -name prime256v1 -genkey -noout -out bad.key
  openssl req -new -key bad.key -subj "/O=fed.example.org/CN=agg.example.com" -out bad.csr
  cat >bad.ext <<'EOF'
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
certificatePolicies = 1.2.840.113556.1.8000.2554.39789.64240.2545.18474.44907.4828348.7616170.1
subjectAltName = DNS:agg.example.com, URI:https://fed.example.org/fl/v1/aggregator/agg.example.com
EOF
  openssl x509 -req -in bad.csr -CA ca/network-ca.crt -CAkey ca/network-ca/private/network-ca.key -days 30 \
    -extfile bad.ext -passin file:passphrase -out bad.crt 2>/dev/null
  refuse ca/cert_chain.crt bad.crt aggregator "a name outside the constraints"
  cd "$root"
}

# requests: what other tools make is signed.
requests() {
  cd "$work/p256"
  openssl req -new -newkey rsa:3072 -nodes -keyout o.key -subj "/CN=site-openssl" -out o.csr 2>/dev/null
  sign o.csr site-openssl
  openssl genpkey -algorithm ed25519 -out e.key
  openssl req -new -key e.key -subj "/C=DE/O=Some Hospital/CN=site-ed" -out e.csr
  sign e.csr site-ed
  if [ -n "$have_certtool" ]; then
    certtool --generate-privkey --key-type ecdsa --curve secp384r1 --outfile c.key 2>/dev/null
    printf 'cn = "site-certtool"\ntls_www_client\nsigning_key\n' >c.cfg
    certtool --generate-request --load-privkey c.key --template c.cfg --outfile c.txt 2>/dev/null
    sed -n '/BEGIN NEW/,/END NEW/p' c.txt >c.csr # certtool writes about the request before it
    sign c.csr site-certtool
  fi
  cd "$root"
}

# sign CSR NAME: as a custodian does who was told the fingerprint that openssl computes.
sign() {
  local fingerprint
  fingerprint=$(openssl req -in "$1" -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1)
  fxctl ca sign "$1" --role collaborator --name "$2" --fingerprint "$fingerprint" --passphrase-file passphrase \
    -o "$2.answer" --quiet >/dev/null || { fail "$1 of another tool was refused"; return; }
  sed '/END CERTIFICATE/q' "$2.answer" >"$2.crt"
  verify ca/cert_chain.crt "$2.crt" collaborator
  lint "$2.crt"
}

for type in p256 p384 ed25519 rsa3072; do
  judge "$type" "$type"
done
judge p256 constrained --domain example.org --domain localhost --ip-range 127.0.0.0/8
if [ -n "$have_openssl" ]; then
  outside
  requests
fi

echo "certificates: $judged certificates and lists judged; $failed findings; $skipped judges missing"
[ "$failed" = 0 ]
if [ "$skipped" != 0 ] && [ "${CI:-}" = true ]; then
  echo "certificates: error: in CI no judge may be missing" >&2
  exit 1
fi
