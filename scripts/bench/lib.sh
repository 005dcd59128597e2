# shellcheck shell=bash
# What the benchmarks of a round share. Source it after scripts/lib.sh, in a
# folder of its own, with fxctl, fxrun and sender on the PATH.

# large_federation PORT TENSORS ELEMENTS NAME... makes, in this folder, a
# federation of one round whose model is as large as wanted.
large_federation() {
  local port=$1 tensors=$2 elements=$3
  shift 3
  printf 'correct horse battery staple\n' >passphrase
  fxctl ca init --name fed.example.org --passphrase-file passphrase --quiet >/dev/null
  issue aggregator localhost --dns localhost
  local name
  for name in "$@"; do issue collaborator "$name"; done
  issue publisher alice
  issue reviewer bob
  fxctl workspace create ward --template no-op --agg-addr localhost --agg-port "$port" "${@/#/--collaborator=}" --quiet >/dev/null
  # OpenFL's database of results fails in a round without a metric; fxrun needs none.
  sed -i 's/rounds_to_train: .*/rounds_to_train: 1\n    persist_checkpoint: false/' ward/plan/plan.yaml
  sender model -tensors "$tensors" -elements "$elements" -o ward/save/init.pbuf
  fxctl bundle create ward -o fed.fxb --as alice --quiet >/dev/null
  fxctl bundle approve fed.fxb --as bob --yes --quiet >/dev/null
}

# await_port PORT PID waits until a process listens on a port of the loopback.
await_port() {
  local deadline=$((SECONDS + 120))
  until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
    if ! kill -0 "$2" 2>/dev/null || [ $SECONDS -gt $deadline ]; then
      echo "error: nothing listens on port $1" >&2
      return 1
    fi
    sleep 0.1
  done
}

# plan_ids prints federation id and aggregator id of the plan in ward.
plan_ids() {
  fxctl plan id ward/plan/plan.yaml --json >ids.json
  json_field federation_id <ids.json
  json_field aggregator_id <ids.json
}
