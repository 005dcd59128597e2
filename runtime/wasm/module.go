package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const (
	maxModule = 256 << 20 // bytes of a module's file
	pageSize  = 64 << 10  // bytes of a page of WebAssembly memory
)

// maxNamed is how many imports a refusal names.
const maxNamed = 5

// read reads a module's file, and tells the usual mistakes from each other.
func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is no regular file", ErrInvalid)
	case info.Size() > maxModule:
		return nil, fmt.Errorf("%w: it has %d bytes; at most %d are allowed", ErrInvalid, info.Size(), maxModule)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxModule))
	if err != nil {
		return nil, err
	}
	return data, checkHead(data)
}

// checkHead looks at the first eight bytes: "\0asm" and the version.
func checkHead(data []byte) error {
	var problem string
	switch head := data[:min(len(data), 8)]; {
	case string(head) == "\x00asm\x01\x00\x00\x00":
		return nil
	case string(head) == "\x00asm\x0d\x00\x01\x00":
		problem = "it is a component (WASI preview 2); build a module of WASI preview 1"
	case bytes.HasPrefix(head, []byte("\x00asm")):
		problem = fmt.Sprintf("its version of WebAssembly is %x; 01000000 was expected", head[4:])
	case bytes.HasPrefix(head, []byte("(module")):
		problem = "it is WebAssembly text; translate it, for example with wat2wasm"
	case bytes.HasPrefix(head, []byte("\x7fELF")), bytes.HasPrefix(head, []byte("#!")):
		problem = "it is a program of the operating system; run it as fx.process.TaskRunner, or build it for WASI preview 1"
	case len(data) == 0:
		problem = "it is empty"
	default:
		problem = fmt.Sprintf("it begins with %q and not as WebAssembly does", head)
	}
	return fmt.Errorf("%w: %s", ErrInvalid, problem)
}

// program is a module that is ready to run.
type program struct {
	engine wazero.Runtime
	module wazero.CompiledModule
}

// load reads a module, translates it into machine code, and refuses it if it asks
// for more than the functions of WASI preview 1, or is no program.
func load(ctx context.Context, name string, memory int64) (_ *program, err error) {
	pages, err := pages(memory)
	if err != nil {
		return nil, err
	}
	binary, err := read(name)
	if err != nil {
		return nil, err
	}
	if binary, err = survey(binary); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p := &program{engine: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(pages))}
	defer func() {
		if err != nil {
			p.close(ctx)
		}
	}()
	if p.module, err = p.engine.CompileModule(ctx, binary); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	wasi, err := wasi_snapshot_preview1.NewBuilder(p.engine).Compile(ctx)
	if err != nil {
		return nil, err
	}
	if err := check(p.module, wasi); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	_, err = p.engine.InstantiateModule(ctx, wasi, wazero.NewModuleConfig())
	return p, err
}

func (p *program) close(ctx context.Context) {
	_ = p.engine.Close(ctx) // how the module ended is known by now
}

// check says what a module lacks, or has too much of.
func check(module, wasi wazero.CompiledModule) error {
	if foreign := foreignImports(module, wasi.ExportedFunctions()); len(foreign) > 0 {
		more := ""
		if n := len(foreign) - maxNamed; n > 0 {
			foreign, more = foreign[:maxNamed], fmt.Sprintf(" and %d more", n)
		}
		return fmt.Errorf("it imports %s%s; only the functions of %s are given", strings.Join(foreign, ", "), more, wasi_snapshot_preview1.ModuleName)
	}
	start, ok := module.ExportedFunctions()["_start"]
	if !ok || len(start.ParamTypes()) > 0 || len(start.ResultTypes()) > 0 {
		return errors.New("it has no function _start, as a program of WASI preview 1 has; build a command and not a library")
	}
	if _, ok := module.ExportedMemories()["memory"]; !ok {
		return errors.New("it exports no memory, as a program of WASI preview 1 does")
	}
	return nil
}

// foreignImports names the functions and memories that nobody gives. Tables and
// globals, which the engine does not list, are refused by it later, by name.
func foreignImports(module wazero.CompiledModule, wasi map[string]api.FunctionDefinition) []string {
	var foreign []string
	for _, f := range module.ImportedFunctions() {
		from, name, _ := f.Import()
		if from == wasi_snapshot_preview1.ModuleName {
			given, ok := wasi[name]
			if ok && slices.Equal(given.ParamTypes(), f.ParamTypes()) && slices.Equal(given.ResultTypes(), f.ResultTypes()) {
				continue
			}
		}
		foreign = append(foreign, fmt.Sprintf("function %.100q of %.100q", name, from))
	}
	for _, m := range module.ImportedMemories() {
		from, name, _ := m.Import()
		foreign = append(foreign, fmt.Sprintf("memory %.100q of %.100q", name, from))
	}
	return foreign
}

// pages turns a memory limit into pages.
func pages(memory int64) (uint32, error) {
	switch {
	case memory == 0 || memory >= 1<<32:
		return 1 << 16, nil
	case memory < pageSize:
		return 0, fmt.Errorf("its memory is limited to %d bytes; the least is %d", memory, pageSize)
	}
	return uint32(memory / pageSize), nil
}
