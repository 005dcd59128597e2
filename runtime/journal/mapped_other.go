//go:build !unix

package journal

import (
	"errors"
	"fmt"
)

// Mapping is what no file becomes here.
type Mapping struct{}

// Map refuses: callers read the file instead. The error wraps
// [errors.ErrUnsupported].
func Map(o interface{ Size() int64 }) (*Mapping, error) {
	return nil, fmt.Errorf("cannot map %T on this system: %w", o, errors.ErrUnsupported)
}

// Mappable is false.
func Mappable(interface{ Size() int64 }) bool { return false }

// Map is [Map] for the model's file.
func (m *Model) Map() (*Mapping, error) { return Map(m.object) }

// Map is [Map] for the steps' file.
func (s *Steps) Map() (*Mapping, error) { return Map(s.Object) }

// Bytes is never called.
func (*Mapping) Bytes(int64, int64) []byte { return nil }

// Retain does nothing.
func (*Mapping) Retain() {}

// Release does nothing.
func (*Mapping) Release() {}

// Evict does nothing.
func (*Mapping) Evict() {}
