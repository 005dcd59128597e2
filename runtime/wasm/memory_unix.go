//go:build linux || darwin

package wasm

import (
	"context"
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// withMemory gives modules memory that grows in place. The engine's own is copied
// whenever it grows, and needs twice its size then.
func withMemory(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(reserve))
}

// memory is a range of addresses, of which the first used bytes can be used. The
// rest costs nothing, and an access to it is a fault and not a way out.
type memory struct {
	reserved []byte
	used     int
}

// reserve takes the addresses for the most that a module may have. It has no
// error to give: Reallocate gives nothing then.
func reserve(_, most uint64) experimental.LinearMemory {
	m := &memory{}
	if most > 0 && uint64(int(most)) == most {
		if b, err := syscall.Mmap(-1, 0, int(most), syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON); err == nil {
			m.reserved = b
		}
	}
	return m
}

// Reallocate gives memory of a size in bytes, nil if there is not enough.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) {
		return nil
	}
	if n := int(size); n > m.used {
		if err := syscall.Mprotect(m.reserved[m.used:n], syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
			return nil
		}
		m.used = n
	}
	return m.reserved[:size:size]
}

// Free gives everything back.
func (m *memory) Free() {
	if m.reserved != nil {
		_ = syscall.Munmap(m.reserved) // fails only for what was never mapped
		m.reserved, m.used = nil, 0
	}
}
