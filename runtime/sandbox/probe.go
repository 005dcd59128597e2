//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaceKinds are tried one by one, so that the one that is missing is named.
var namespaceKinds = []struct {
	name string
	flag uintptr
}{
	{"user namespace", unix.CLONE_NEWUSER},
	{"mount namespace", unix.CLONE_NEWNS},
	{"network namespace", unix.CLONE_NEWNET},
	{"pid namespace", unix.CLONE_NEWPID},
	{"ipc namespace", unix.CLONE_NEWIPC},
	{"uts namespace", unix.CLONE_NEWUTS},
	{"cgroup namespace", unix.CLONE_NEWCGROUP},
}

// Probe tries every layer of the box on this host and reports what it found:
// the namespaces one by one, the cgroup, and for each level a real box that
// attacks itself from inside.
func Probe(ctx context.Context) []Finding {
	var all []Finding
	for _, kind := range namespaceKinds {
		all = append(all, tryNamespace(kind.name, kind.flag))
	}
	all = append(all, probeGroup()...)
	full, layers := probeLevel(ctx, Full)
	confined, confinedLayers := probeLevel(ctx, Confined)
	if layers == nil { // what a confined box shows is of interest then
		layers = confinedLayers
	}
	return append(append(all, layers...), full, confined)
}

// tryNamespace starts a helper in one kind of namespace. It ends at once, for
// nobody talks to it.
func tryNamespace(name string, flag uintptr) Finding {
	f := Finding{Layer: name}
	root := privileged()
	if root && flag == unix.CLONE_NEWUSER {
		f.OK, f.Detail = true, "not needed: this process is root and becomes another user"
		return f
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	defer func() { _ = null.Close() }() // read only
	cmd := helper(null)                 // no socket: it reads an end
	addNamespaces(cmd.SysProcAttr, flag&^unix.CLONE_NEWUSER, !root, User{nobody, nobody})
	if err := cmd.Run(); err != nil {
		f.Detail = err.Error()
		if errnoOf(err) != 0 {
			missing, _ := errors.AsType[*MissingError](missingNamespaces(err, !root))
			f.Detail, f.Fix = missing.Why, missing.Fix
		}
		return f
	}
	f.OK = true
	return f
}

// probeGroup makes a cgroup and takes it away again.
func probeGroup() []Finding {
	g := newGroup(Limits{}.withDefaults())
	defer g.remove()
	var all []Finding
	for _, c := range []struct{ controller, instead string }{
		{"memory", "a resource limit bounds each process instead"},
		{"pids", "a resource limit bounds the user's processes instead"},
		{"cpu", "the processor mask bounds --box-cpus instead"},
	} {
		f := Finding{Layer: "cgroup " + c.controller}
		switch {
		case g.holds(c.controller):
			f.OK, f.Detail = true, "version "+strconv.Itoa(g.version)
		default:
			f.Detail = c.instead
			if missing, ok := errors.AsType[*MissingError](g.require(true)); ok {
				f.Detail, f.Fix = missing.Why+"; "+c.instead, missing.Fix
			}
		}
		all = append(all, f)
	}
	return all
}

// probeLevel starts a box whose helper runs no program but tries what a program
// must not be able to do. The layers are nil if there is no such box here.
func probeLevel(ctx context.Context, level Level) (whole Finding, layers []Finding) {
	whole = Finding{Layer: string(level), Whole: true}
	b := Box{Level: level, Argv: []string{"probe"}, Dir: ScratchDir, Limits: Limits{Scratch: probeScratch}}
	if level == Confined {
		dir, err := probeDir()
		if err != nil {
			whole.Detail = err.Error()
			return whole, nil
		}
		defer func() { _ = os.RemoveAll(dir) }() // it is in the temporary folder
		b.HostDir = dir
	}
	err := b.check()
	var p *Process
	if err == nil {
		p, err = start(ctx, b, true)
	}
	if err != nil {
		whole.Detail = err.Error()
		if missing, ok := errors.AsType[*MissingError](err); ok {
			whole.Detail, whole.Fix = fmt.Sprintf("no %s (%s)", missing.Layer, missing.Why), missing.Fix
		}
		return whole, nil
	}
	p.Kill()
	p.Wait()
	whole.OK, whole.Detail = true, strings.Join(p.Layers(), ", ")
	for _, f := range p.inside {
		if !f.OK {
			whole.OK, whole.Detail = false, f.Layer+": "+f.Detail
		}
	}
	return whole, p.inside
}

// probeDir is a folder that the box's user can reach.
func probeDir() (string, error) {
	dir, err := os.MkdirTemp("", "fxrun-doctor-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) //nolint:gosec // the box's user passes through it; it holds nothing
}
