// Package wasm runs one WebAssembly module of WASI preview 1 as a program: task
// code that has no socket by construction, and no file but those below the
// folders that it is given.
//
// It is a second wall, not the only one: fxrun starts itself as [Child] inside
// the box of package sandbox, and the module runs in there.
package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

// ErrInvalid is wrapped by errors that are the module's fault before its program
// begins: it is malformed, too large, or asks for what no module gets.
var ErrInvalid = errors.New("invalid module")

// Mount shows a folder of the host to the module.
type Mount struct {
	Host  string
	Guest string // absolute, such as /data
	Write bool   // otherwise everything below it is read-only
}

// Config says what runs, and what it has.
type Config struct {
	Module string   // path of the file
	Args   []string // after the module's own name
	Env    []string // all of the environment, NAME=VALUE
	Mounts []Mount
	Memory int64 // bytes that the module's memory may grow to; 0 is 4 GiB, which is all that it can address

	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Run runs a module to its end and gives its exit code. An error is a module
// that cannot be run ([ErrInvalid]), or one that trapped.
//
// ctx is looked at before the module starts and not again: to ask at every jump
// of the module whether to go on costs more than the module's own work. Whoever
// may want to stop a module runs it in a process and kills that.
//
// The module sees the real time of day, a clock that starts at zero with it, and
// random numbers of the operating system's generator.
func Run(ctx context.Context, c Config) (code int, err error) {
	defer func() {
		// What a hostile module makes go wrong in the engine ends the module only.
		if r := recover(); r != nil {
			err = fmt.Errorf("the engine gave up: %v", r)
		}
		if err != nil {
			err = fmt.Errorf("cannot run module %q: %w", c.Module, err)
		}
	}()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	trees, err := openMounts(c.Mounts)
	if err != nil {
		return 0, err
	}
	defer trees.close()
	config, err := c.module(trees)
	if err != nil {
		return 0, err
	}
	ctx = withMemory(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)))
	p, err := load(ctx, c.Module, c.Memory)
	if err != nil {
		return 0, err
	}
	defer p.close(ctx)
	instance, err := p.engine.InstantiateModule(ctx, p.module, config)
	if err != nil {
		err = fmt.Errorf("%w: it cannot be put together: %w", ErrInvalid, err)
	} else {
		_, err = instance.ExportedFunction("_start").Call(ctx)
	}
	if exit := (*sys.ExitError)(nil); errors.As(err, &exit) {
		return int(exit.ExitCode()), nil
	}
	return 0, err
}

// module is what the module has. Standard input and output are wrapped so that
// the engine sees streams and not files of the host, whose flags a module could
// change.
func (c Config) module(trees mounts) (wazero.ModuleConfig, error) {
	start := time.Now()
	config := wazero.NewModuleConfig().
		WithStartFunctions(). // called by Run
		WithName("").
		WithArgs(append([]string{path.Base(c.Module)}, c.Args...)...).
		WithFSConfig(trees.config()).
		WithRandSource(rand.Reader).
		WithSysWalltime().
		WithNanotime(func() int64 { return int64(time.Since(start)) }, sys.ClockResolution(1)).
		WithSysNanosleep().
		WithOsyield(runtime.Gosched)
	if c.Stdin != nil {
		config = config.WithStdin(struct{ io.Reader }{c.Stdin})
	}
	if c.Stdout != nil {
		config = config.WithStdout(struct{ io.Writer }{c.Stdout})
	}
	if c.Stderr != nil {
		config = config.WithStderr(struct{ io.Writer }{c.Stderr})
	}
	for _, variable := range c.Env {
		name, value, ok := strings.Cut(variable, "=")
		if !ok || name == "" || strings.ContainsRune(variable, 0) {
			return nil, fmt.Errorf("the environment has %q; NAME=VALUE was expected", variable)
		}
		config = config.WithEnv(name, value)
	}
	return config, nil
}
