package taskrunner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fx/runtime/sandbox"
)

// interpreter is a Python of the host and what a box must show for it to run.
type interpreter struct {
	exe  string // in the box; an interpreter knows its environment by its path
	show []sandbox.Show
}

// Asking an interpreter about itself.
const (
	askPython      = `import json, sys; print(json.dumps([sys.executable, [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix], sys.path]))`
	askPythonLimit = time.Minute
	maxPythonSays  = 1 << 20 // bytes
)

// findPython asks an interpreter, python3 of PATH if name is "", where it and its
// modules are. This runs no task code: the interpreter is the site's own. It may
// be a script that chooses one, as pyenv's are.
func findPython(ctx context.Context, name string) (*interpreter, error) {
	given := name
	if name == "" {
		name = "python3"
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("cannot find the Python interpreter %q: %v; install it, or name one with --python", name, errors.Unwrap(err))
	}
	fail := func(err error) (*interpreter, error) {
		hint := ""
		if given == "" {
			hint = "; name another with --python"
		}
		return nil, fmt.Errorf("cannot use the Python interpreter %q: %v%s", found, err, hint)
	}
	ctx, cancel := context.WithTimeout(ctx, askPythonLimit)
	defer cancel()
	// -I: the same modules as in the box, where neither the user's own packages
	// nor PYTHON variables count.
	cmd := exec.CommandContext(ctx, found, "-I", "-c", askPython)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")} // for scripts that choose
	cmd.WaitDelay = time.Second
	var out, errs bounded
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fail(fmt.Errorf("it did not say where its modules are: %v", ctx.Err()))
		}
		return fail(fmt.Errorf("%v: %s", err, clean(strings.TrimSpace(errs.String()), maxTaskError)))
	}
	var exe string
	var prefixes, modules []string
	if err := json.Unmarshal(out.Bytes(), &[]any{&exe, &prefixes, &modules}); err != nil {
		return fail(fmt.Errorf("it does not behave like Python: %v", err))
	}
	p := &interpreter{exe: exe, show: systemShows()}
	if err := p.see(prefixes, modules); err != nil {
		return fail(err)
	}
	return p, nil
}

// bounded keeps the first bytes that are written to it, and takes the rest.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:max(0, min(len(p), maxPythonSays-b.Len()))]) // a buffer never fails
	return len(p), nil
}

// see adds what the interpreter needs beside the system: the folders it was
// installed to, those of its modules, and every link between its name and itself.
func (p *interpreter) see(prefixes, modules []string) error {
	if !filepath.IsAbs(p.exe) {
		return fmt.Errorf("it gives its own path as %q", p.exe)
	}
	for _, dir := range prefixes {
		if isShared(dir) {
			return fmt.Errorf("it is installed in %q, which as a whole is not for task code to see; make a virtual environment in a folder of its own", dir)
		}
		p.add(dir)
	}
	for _, dir := range modules {
		if filepath.IsAbs(dir) && !isShared(dir) {
			p.add(dir)
		}
	}
	at := p.exe
	p.exe = place(p.exe)
	for range 40 { // as many links as the kernel follows
		p.add(at)
		to, err := os.Readlink(at)
		if err != nil {
			_, err := os.Stat(at)
			return err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(at), to)
		} else if place(to) != to {
			return fmt.Errorf("%q is a link to %q, and the box has a %s of its own; install it elsewhere", at, to, to[:4])
		}
		at = to
	}
	return errors.New("its name is a link in a circle")
}

// add shows a file or folder where it is, and where it really is, unless
// something shown holds it.
func (p *interpreter) add(name string) {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return // modules that are not there, such as a zip file that few have
	}
	for _, box := range []string{place(filepath.Clean(name)), place(target)} {
		if !slices.ContainsFunc(p.show, func(s sandbox.Show) bool { return within(box, s.Box) }) {
			p.show = append(p.show, sandbox.Show{Host: target, Box: box})
		}
	}
}

// place is where the box shows a path of the host: there, or, because the box's
// /tmp is its own, in a folder apart. A virtual environment does not mind.
func place(name string) string {
	if within(name, "/tmp") {
		return "/fx/python" + name
	}
	return name
}

// isShared says whether a folder holds more than programs: a home, or one that
// the system shares out.
func isShared(dir string) bool {
	dir = filepath.Clean(dir)
	if home, err := os.UserHomeDir(); err == nil && within(filepath.Clean(home), dir) {
		return true
	}
	shared := []string{"/", "/home", "/root", "/etc", "/var", "/tmp", "/opt", "/srv", "/mnt", "/run", "/proc", "/sys", "/dev"}
	return slices.Contains(shared, dir) || filepath.Dir(dir) == "/home"
}
