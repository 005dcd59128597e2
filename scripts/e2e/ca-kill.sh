#!/usr/bin/env bash
# Kills the CA, as kill -9 does, at every moment between two durable writes of
# creating it, signing, renewing, revoking, making lists, and giving the network CA
# and the root new keys. Afterwards it opens, its log verifies, nothing was handed
# out that is not recorded, and what was interrupted can be done again.
set -euo pipefail
cd "$(dirname "$0")/../.."

# What is killed is the process and not the machine, so memory will do as a disk.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
go vet -tags faults ./ca/...
go test -count=1 -tags faults -run '^TestKilledAtEveryMoment$' ./ca/issuer
