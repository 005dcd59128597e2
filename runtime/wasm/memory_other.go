//go:build !linux && !darwin

package wasm

import "context"

// withMemory leaves modules the engine's own memory.
func withMemory(ctx context.Context) context.Context { return ctx }
