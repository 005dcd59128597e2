//go:build !linux || !(amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"os"
	"runtime"
)

var errPlatform = errors.New("task code in a box runs on Linux on amd64 and arm64 only, and this is " +
	runtime.GOOS + " on " + runtime.GOARCH)

// Child returns: this system has no box.
func Child() {}

// Process is a program in a box.
type Process struct{}

// Start refuses: this system has no box.
func Start(_ context.Context, b Box) (*Process, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return nil, errPlatform
}

// Path returns box.
func (*Process) Path(box string) string { return box }

// Create refuses.
func (*Process) Create(string, int64) (*os.File, error) { return nil, errPlatform }

// Open refuses.
func (*Process) Open(string) (*os.File, error) { return nil, errPlatform }

// Remove refuses.
func (*Process) Remove(string) error { return errPlatform }

// Kill does nothing.
func (*Process) Kill() {}

// Wait returns at once.
func (*Process) Wait() Exit { return Exit{Code: -1} }

// Layers returns none.
func (*Process) Layers() []string { return nil }

// Probe reports that this system has no box.
func Probe(context.Context) []Finding {
	var all []Finding
	for _, l := range []Level{Full, Confined} {
		all = append(all, Finding{Layer: string(l), Whole: true, Detail: errPlatform.Error(), Fix: "run fxrun on Linux"})
	}
	return all
}

// DefaultLimits has nothing to go by here.
func DefaultLimits() Limits { return Limits{} }
