#!/usr/bin/env bash
# Issues all four roles under issuing keys of every type, as people would with
# fxctl, and shows every certificate to judges that are not ours: OpenSSL,
# GnuTLS and zlint. Any error or warning of theirs fails the script.
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

# verify CHAIN CERTIFICATE: a certificate under its CAs, strictly.
verify() {
  local out
  if [ -n "$have_openssl" ]; then
    out=$(openssl verify -x509_strict -CAfile "$1" "$2" 2>&1) || fail "$PWD: openssl: $out"
  fi
  if [ -n "$have_certtool" ]; then
    out=$(certtool --verify --load-ca-certificate "$1" --infile "$2" 2>&1) || fail "$PWD: certtool: $2: $out"
  fi
}

# lint CERTIFICATE: zlint exits 0 whatever it finds, so its JSON is read. That
# it judged at all is required too.
lint() {
  judged=$((judged + 1))
  [ -n "$have_zlint" ] || return 0
  local out found
  if ! out=$("${zlint[@]}" -includeSources "$sources" "$1" 2>&1) || [ "$(grep -o '"result":"pass"' <<<"$out" | wc -l)" -lt 20 ]; then
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
  issue publisher alice --key-type "$signer"
  issue reviewer bob --key-type "$signer"
  for role in server/agg_agg.example.org client/col_hospital-a; do verify cert/cert_chain.crt "cert/$role.crt"; done
  for role in signer/alice signer/bob; do verify cert/signing_chain.crt "cert/$role.crt"; done
  for file in ca/root-ca.crt ca/network-ca.crt ca/signing-ca.crt cert/server/*.crt cert/client/*.crt cert/signer/*.crt; do
    [ "$file" = ca/root-ca.crt ] || [[ $file = cert/* ]] || verify ca/root-ca.crt "$file"
    lint "$file"
  done
  [ "$failed" = "$before" ] && echo "certificates: $type${*:+ $*}: 7 certificates, nothing found"
  cd "$root"
}

for type in p256 p384 ed25519 rsa3072; do
  judge "$type" "$type"
done
judge p256 constrained --domain example.org --domain localhost --ip-range 127.0.0.0/8

echo "certificates: $judged certificates judged; $failed findings; $skipped judges missing"
[ "$failed" = 0 ]
if [ "$skipped" != 0 ] && [ "${CI:-}" = true ]; then
  echo "certificates: error: in CI no judge may be missing" >&2
  exit 1
fi
