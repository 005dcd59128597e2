package taskrunner

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"fx/runtime/sandbox"
)

const (
	templateWasm = "fx.wasm.TaskRunner"
	wasmHost     = "/fx/fxrun-wasm" // our own program; package wasm knows itself by this name
)

// newWasm runs a WASI module of the workspace. Its host is our own program,
// re-executed in a box that shows nothing else of this machine.
func newWasm(o Options) (Runner, error) {
	if err := hostedTemplate(o, templateWasm); err != nil {
		return nil, err
	}
	module, ok := o.TaskRunner.Settings["module"].(string)
	if !ok {
		return nil, invalidf("task_runner", "module is %s; the path of a module in the workspace was expected, such as src/model.wasm", show(o.TaskRunner.Settings["module"]))
	}
	head, err := fileHead(o.Workspace, "module", module, 8)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(head, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, invalidf("task_runner", "the module %q is no WebAssembly module: it begins with the bytes %x", module, head)
	}
	args, err := words(o.TaskRunner.Settings, "args")
	if err != nil {
		return nil, err
	}
	return newHosted(o, func(_ context.Context, h *hosted) (*program, error) {
		host, err := wasmHostFile(h.base)
		if err != nil {
			return nil, err
		}
		argv := []string{wasmHost}
		if limit := h.terms.limits.Memory; limit > 0 {
			argv = append(argv, "-memory", strconv.FormatInt(limit, 10))
		}
		if h.terms.level == sandbox.Confined {
			argv = append(argv, h.wasmMounts()...)
		}
		return &program{
			argv:     append(append(argv, path.Join(sandbox.WorkspaceDir, module)), args...),
			trusted:  []sandbox.Show{{Host: host, Box: wasmHost}},
			boxPaths: true,
		}, nil
	})
}

// wasmMounts says where the folders of a confined box are: the module sees them
// where they would be in a full one. What a box does not have is taken away.
func (h *hosted) wasmMounts() []string {
	var out []string
	for _, at := range []struct{ guest, host string }{
		{sandbox.WorkspaceDir, h.workspace()},
		{sandbox.DataDir, h.o.DataPath},
		{sandbox.InputsDir, h.inputs()},
		{sandbox.IODir, filepath.Join(h.hostDir(), "io")},
		{sandbox.ScratchDir, filepath.Join(h.hostDir(), "scratch")},
	} {
		out = append(out, "-mount", at.guest+"="+at.host)
	}
	return out
}

// wasmHostFile gives our own program the name by which it knows that it is to be
// a module's host, whatever it is called here.
func wasmHostFile(base string) (string, error) {
	self, err := os.Executable()
	name := filepath.Join(base, path.Base(wasmHost))
	if err == nil {
		err = checkStatic(self)
	}
	if err == nil {
		if err = os.Remove(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = os.Symlink(self, name)
		}
	}
	if err != nil {
		return "", fmt.Errorf("cannot prepare the host of WASI modules: %v", err)
	}
	return name, nil
}

// checkStatic says whether a program needs no libraries, of which a box for a
// module has none.
func checkStatic(name string) error {
	f, err := elf.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("%q was built to load libraries; build it with CGO_ENABLED=0", name)
	}
	return nil
}
