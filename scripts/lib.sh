# shellcheck shell=bash
# What the scripts share. Source it after `cd` to the repository's root.

# build puts fxctl and fxrun into the folder $1: static, stripped, reproducible.
build() {
  mkdir -p "$1"
  CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs,grpcnotrace -ldflags '-s -w' -o "$1/" ./cli/fxctl ./runtime/fxrun
}

# free_port prints a TCP port of the loopback that nobody listens on now. It
# needs no tool but the shell: a port on which nothing answers is taken as free.
free_port() {
  local port
  while :; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# json_field prints the string or number of the first field $1 of the JSON
# document on standard input, as fxctl and fxrun lay it out.
json_field() {
  sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1
}

# federation DIR TEMPLATE PORT COLLABORATOR... makes, in the folder DIR, what
# four people would: a CA, certificates, a workspace, and an approved bundle
# fed.fxb. It is the quickstart without its explanations; tests use it.
federation() {
  local dir=$1 template=$2 port=$3
  shift 3
  local name flags=()
  (
    cd "$dir" || exit 1
    printf 'correct horse battery staple\n' >passphrase
    fxctl ca init --name fed.example.org --passphrase-file passphrase --quiet >/dev/null
    issue aggregator localhost --dns localhost
    for name in "$@"; do issue collaborator "$name"; done
    issue publisher alice
    issue reviewer bob
    fxctl workspace create ward --template "$template" --agg-addr localhost --agg-port "$port" \
      "${@/#/--collaborator=}" --json --quiet >create.json
    if [ "$(json_field initial_model <create.json)" = "" ]; then # the template brings code
      [ "$template" != wasm-go ] || build_module ward
      [ -z "${FX_PYTHON:-}" ] || flags=(--python "$FX_PYTHON")
      fxrun init ward "${flags[@]}" --quiet >/dev/null
    fi
    rm -f create.json
    fxctl bundle create ward -o fed.fxb --as alice --quiet >/dev/null
    fxctl bundle approve fed.fxb --as bob --yes --quiet >/dev/null
  )
}

# issue ROLE NAME [FLAGS]: request, sign and import one certificate, all on this
# machine, with the fingerprint and the root compared as two people would.
issue() {
  local role=$1 name=$2 csr fingerprint root
  shift 2
  fxctl cert request --role "$role" --name "$name" "$@" --json >request.json
  csr=$(json_field request <request.json)
  fingerprint=$(json_field fingerprint <request.json)
  fxctl ca sign "$csr" --role "$role" --name "$name" --fingerprint "$fingerprint" \
    --passphrase-file passphrase -o "$name.answer" --quiet >/dev/null
  root=$(fxctl cert inspect ca/cert_chain.crt --json | json_field fingerprint)
  fxctl cert import "$name.answer" --root-fingerprint "$root" --quiet >/dev/null
  rm -f request.json
}

# build_module WORKSPACE compiles the task code of the template wasm-go.
build_module() {
  GOOS=wasip1 GOARCH=wasm go build -C "$1/src" -trimpath -buildvcs=false -ldflags '-s -w' -o model.wasm .
}
