#!/usr/bin/env bash
# How long the CA takes: one signature as a process, from start to exit, beside
# `openssl ca` (and `step certificate sign`, if it is installed); a batch of
# 1,000 requests as a process and in process, beside bare x509.CreateCertificate;
# a revocation list of 100,000 entries. Keys are in clear, so that nobody's key
# derivation is measured; then both once more with the same encrypted key, whose
# 600,000 rounds of PBKDF2 are most of the time.
#
#   scripts/bench/ca.sh [RUNS]     medians and minima of RUNS runs, 21 by default
#
# It measures and prints; it does not judge.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
root=$PWD
runs=${1:-21}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build "$work/bin"
export PATH=$work/bin:$PATH
cd "$work"

# request NAME makes a key and a request in in/ and a line of roster.csv.
request() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj "/CN=$1" -out "in/$1.csr" 2>/dev/null
  echo "$1,collaborator,$(openssl req -in "in/$1.csr" -outform DER | sha256sum | cut -d' ' -f1)" >>roster.csv
}

# times COMMAND... sets median and best to wall times in microseconds; a %
# in an argument is the number of the run.
times() {
  local i before after all
  all=$(
    for ((i = 1; i <= runs; i++)); do
      before=${EPOCHREALTIME/[.,]/}
      "${@//%/$i}" >/dev/null 2>&1
      after=${EPOCHREALTIME/[.,]/}
      echo $((after - before))
    done | sort -n
  )
  best=$(sed -n 1p <<<"$all")
  median=$(sed -n "$(((runs + 1) / 2))p" <<<"$all")
}

row() { printf '%-44s %8d.%d ms (best %d.%d)\n' "$1" $((median / 1000)) $((median / 100 % 10)) $((best / 1000)) $((best / 100 % 10)); }

mkdir in
echo name,role,fingerprint >roster.csv
for ((n = 1; n <= runs; n++)); do request "site-$n"; done
fxctl ca init --name fed.example.org --no-passphrase --quiet >/dev/null 2>&1

one() { # RUN: the fingerprint is what a requester would have said
  fxctl ca sign "in/site-$1.csr" --role collaborator --fingerprint "$(sed -n "$(($1 + 1))s/.*,//p" roster.csv)" -o "$1.answer" --quiet
}
times one %
row "fxctl ca sign, as a process"
ours=$median
clear=$median

mkdir -p demo/new
touch demo/index.txt
echo 01 >demo/serial
cat >demo.cnf <<'EOF'
[ca]
default_ca = d
[d]
dir = demo
database = demo/index.txt
new_certs_dir = demo/new
serial = demo/serial
default_md = sha256
default_days = 365
policy = p
x509_extensions = v3
[p]
commonName = supplied
[v3]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EOF
times openssl ca -batch -config demo.cnf -cert ca/network-ca.crt -keyfile ca/network-ca/private/network-ca.key -in in/site-%.csr -out o.%.crt
row "openssl ca, as a process"
echo "fxctl : openssl = $((ours * 100 / median)) : 100"
mv ca ca.clear
printf 'correct horse battery staple\n' >words
fxctl ca init --name fed.example.org --passphrase-file words --quiet >/dev/null 2>&1
locked() { FX_CA_PASSPHRASE='correct horse battery staple' one "$1"; }
rm -f ./*.answer
times locked %
row "fxctl ca sign, with a passphrase"
ours=$median
: >demo/index.txt
times openssl ca -batch -config demo.cnf -cert ca/network-ca.crt -keyfile ca/network-ca/private/network-ca.key -passin file:words -in in/site-%.csr -out p.%.crt
row "openssl ca, with the same key and passphrase"
echo "fxctl : openssl = $((ours * 100 / median)) : 100"
rm -rf ca
mv ca.clear ca
if command -v step >/dev/null; then
  times step certificate sign in/site-%.csr ca/network-ca.crt ca/network-ca/private/network-ca.key
  row "step certificate sign, as a process"
  echo "fxctl : step = $((clear * 100 / median)) : 100"
else
  echo "step is not installed: no comparison"
fi

rm -rf in roster.csv ca
mkdir in
echo name,role,fingerprint >roster.csv
for ((n = 1; n <= 1000; n++)); do request "site-$n"; done
runs=1
fxctl ca init --name fed.example.org --no-passphrase --quiet >/dev/null 2>&1
times fxctl ca sign in --roster roster.csv --quiet
row "fxctl ca sign of 1,000, with answers"

cd "$root"
go test -run '^$' -bench 'Batch|List100000' -benchtime 3x ./ca/issuer | grep -E '^Benchmark|^FAIL|^---'
