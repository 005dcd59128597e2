package transport

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// Errors of the operating system that a test cannot provoke on loopback.
func TestNetworkCause(t *testing.T) {
	dial := func(e error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", e)} }
	tests := []struct {
		err  error
		want Cause
	}{
		{dial(syscall.ENETUNREACH), CauseUnreachable},
		{dial(syscall.EHOSTUNREACH), CauseUnreachable},
		{dial(syscall.EACCES), CauseUnreachable},
		{dial(syscall.EPERM), CauseUnreachable},
		{dial(syscall.ECONNREFUSED), CauseRefused},
		{dial(syscall.ETIMEDOUT), CauseTimeout},
		{context.DeadlineExceeded, CauseTimeout},
		{&net.DNSError{Name: "x", IsTimeout: true, Err: "i/o timeout"}, CauseDNS},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, CauseReset},
		{errors.New("something new"), CauseInternal},
	}
	for _, tt := range tests {
		if got, detail := networkCause(tt.err); got != tt.want || detail == "" {
			t.Errorf("%v: got %s (%q), want %s", tt.err, got, detail, tt.want)
		}
	}
}
