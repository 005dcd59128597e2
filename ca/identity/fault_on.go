//go:build faults && unix

package identity

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

var faults atomic.Int64

// Fault counts the moments between durable writes, and kills the process, as
// kill -9 would, at the one whose number the variable FX_FAULT has.
func Fault() {
	n, err := strconv.ParseInt(os.Getenv("FX_FAULT"), 10, 64)
	if err != nil || faults.Add(1) != n {
		return
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}
