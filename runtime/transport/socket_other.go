//go:build !linux

package transport

import "syscall"

// socketOptions leaves sockets as they are: elsewhere the system's own limits
// decide when a silent peer counts as gone.
func socketOptions(_, _ string, _ syscall.RawConn) error { return nil }
