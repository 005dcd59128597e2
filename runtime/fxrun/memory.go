package main

import (
	"os"
	"runtime/debug"

	"fx/runtime/aggregator"
)

// How much memory the collector lets an aggregator use before it gets to work.
const (
	heapLimit    = 64 << 20 // bytes, whatever the model
	heapPerSite  = 1 << 20  // of very many sites each; a connection takes a fifth of that
	heapPerEntry = 1 << 10  // for a tensor of a site: its name and place, not its values
	heapPercent  = 800      // of what is in use, below the limit
)

// boundHeap sets that limit, unless the operator has (GOMEMLIMIT, GOGC). It is no
// limit where the plan's compression pipeline needs whole tensors in memory: the
// collector would work without end.
func boundHeap(needs aggregator.Needs) {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" || needs.WholeTensors {
		return
	}
	debug.SetGCPercent(heapPercent)
	debug.SetMemoryLimit(max(heapLimit, int64(needs.Sites)*(heapPerSite+heapPerEntry*int64(needs.Tensors))))
}
