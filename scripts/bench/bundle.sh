#!/usr/bin/env bash
# Bundles beside what everybody has: pack and tar|zstd, verify and openssl dgst,
# extract and tar -x, and cosign if it is installed, on a generated workspace of
# text and float32 weights. Prints seconds (the best of several runs), processor
# seconds, peak memory and ratios.
#
#   scripts/bench/bundle.sh                          1 GB in 7,800 files, three runs
#   MEGABYTES=8000 FILES=1000 RUNS=1 scripts/bench/bundle.sh
#
# Needs python3, tar, zstd, openssl, and four times the size on the disk below
# TMPDIR. Nothing is asserted: the numbers depend on the machine and its load.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
repo=$PWD
runs=${RUNS:-3}

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
build "$work/bin"
go test -c -o "$work/bin/bundle.test" ./bundle
export PATH="$work/bin:$PATH"
cd "$work"

printf 'correct horse battery staple\n' >passphrase
{
  fxctl ca init --name fed.example.org --passphrase-file passphrase
  issue publisher alice
  issue reviewer bob
  fxctl workspace create ward --template no-op --agg-addr localhost --agg-port 50051 --collaborator site-a
} >setup.log 2>&1 || { cat setup.log >&2; exit 1; }
python3 "$repo/scripts/bench/tree.py" ward "${MEGABYTES:-900}" "${FILES:-7800}"
fxctl bundle create ward -o ward.fxb --as alice --quiet >/dev/null
fxctl bundle approve ward.fxb --as bob --yes --quiet >/dev/null

# measure NAME BEFORE COMMAND...: runs COMMAND, after the shell line BEFORE, and
# keeps wall and processor seconds and megabytes of the fastest run under NAME.
measure() {
  python3 - "$runs" "$@" <<'PY' | tee -a results
import os, subprocess, sys, time
runs, name, before, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
best = None
for _ in range(runs):
    subprocess.run(["sh", "-c", before], check=True)
    start = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(p.pid, 0)
    wall = time.monotonic() - start
    if status != 0:
        sys.exit("bundle: error: %r ended with status %d" % (command, status))
    found = (wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    best = min(best or found, found)
print("%-22s %8.2f s  %8.2f s of processors  %6.0f MB" % ((name,) + best))
PY
}

printf '%s processors, %s of workspace in %s files\n\n' "$(nproc)" "$(du -sh ward | cut -f1)" "$(find ward -type f | wc -l)"
measure tar-zstd true sh -c 'tar cf - ward | zstd -3 -T2 -q >ward.tar.zst'
measure pack true env FX_BENCH_TREE="$work/ward" bundle.test -test.run '^$' -test.bench '^BenchmarkTree$' -test.benchtime 1x
measure create 'rm -f again.fxb*' fxctl bundle create ward -o again.fxb --as alice --quiet
measure openssl-dgst true openssl dgst -sha256 ward.fxb
measure frames true env FX_BENCH_BUNDLE="$work/ward.fxb" bundle.test -test.run '^$' -test.bench '^BenchmarkFrames$' -test.benchtime 1x
measure verify true fxctl bundle verify ward.fxb
measure tar-extract 'rm -rf out && mkdir out' tar --zstd -xf ward.tar.zst -C out
measure extract 'chmod -R u+w out; rm -rf out' fxctl bundle extract ward.fxb out --quiet
measure cat-one-file true fxctl bundle cat ward.fxb plan/plan.yaml
measure inspect true fxctl bundle inspect ward.fxb --quiet
if command -v cosign >/dev/null; then
  # cosign signs and verifies the file as a blob, offline, with a bare key.
  COSIGN_PASSWORD='' cosign generate-key-pair >/dev/null 2>&1
  cosign signing-config create >signing.json 2>/dev/null
  COSIGN_PASSWORD='' cosign sign-blob --yes --key cosign.key --signing-config signing.json --bundle blob.json ward.fxb >/dev/null 2>&1
  measure cosign true cosign verify-blob --key cosign.pub --private-infrastructure --bundle blob.json ward.fxb
fi

# ratio A B: the wall seconds of A over those of B.
ratio() {
  awk -v a="$1" -v b="$2" -v says="$3" '$1 == a { x = $2 } $1 == b { y = $2 }
    END { if (x && y) printf "%-24s %5.2f   (aim: %s)\n", a " / " b, x / y, says }' results
}
echo
ratio pack tar-zstd "1.10"
ratio create tar-zstd "none: it also reads back, verifies and signs"
ratio frames openssl-dgst "0.65"
ratio verify openssl-dgst "1.80"
ratio verify cosign "0.65"
ratio extract tar-extract "1.20"
printf '%-24s %6.4f  (aim: 1.005)\n' "size / zstd -3" \
  "$(awk -v a="$(wc -c <ward.fxb)" -v b="$(wc -c <ward.tar.zst)" 'BEGIN { print a / b }')"
