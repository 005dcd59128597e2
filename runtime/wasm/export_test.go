package wasm

import "context"

// Load says whether a module can be run, without running it.
func Load(name string, memory int64) error {
	ctx := context.Background()
	p, err := load(ctx, name, memory)
	if err == nil {
		p.close(ctx)
	}
	return err
}
