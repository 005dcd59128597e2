package sandbox

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what a box can be told: far above what anybody needs, and low enough
// that the helper's memory does not depend on the caller.
const (
	maxShows     = 256
	maxFiles     = 64
	maxFileBytes = 8 << 20 // of all files together
	maxWritable  = 64
	maxDevices   = 64
	maxArgs      = 1024
	maxText      = 128 << 10 // bytes of one argument or variable: the kernel's MAX_ARG_STRLEN
	minMemory    = 16 << 20  // the helper itself needs some
	minScratch   = 64 << 10
	minProcesses = 16 // the helper has up to ten threads
	minOpenFiles = 16
	maxOpenFiles = 1 << 20
	nobody       = 65534
)

// ownDirs are the folders of a full box that nothing else can be put into.
var ownDirs = []string{IODir, ScratchDir, "/tmp", "/dev", "/proc", "/sys/fs/cgroup"}

// check says what is wrong with a box, whatever the host can do, and fills in
// what has a default that does not depend on the host.
func (b *Box) check() error {
	if b.Level == "" {
		b.Level = Full
	}
	if b.User.UID == 0 {
		b.User.UID = nobody
	}
	if b.User.GID == 0 {
		b.User.GID = nobody
	}
	switch {
	case b.Level != Full && b.Level != Confined:
		return fmt.Errorf("the level of the box is %q; allowed are %q and %q", b.Level, Full, Confined)
	case b.User.UID < 0 || b.User.GID < 0:
		return fmt.Errorf("the user of the box is %d:%d; both must be above 0", b.User.UID, b.User.GID)
	case b.Level == Confined && !filepath.IsAbs(b.HostDir):
		return fmt.Errorf("a confined box needs the absolute path of an empty folder for what it writes, not %q", b.HostDir)
	case len(b.Argv) == 0 || b.Argv[0] == "":
		return errors.New("the box has no program to run")
	case strings.Contains(b.Argv[0], "/") && !cleanPath(b.Argv[0]):
		return fmt.Errorf("the program of the box is %q; an absolute path or a bare name was expected", b.Argv[0])
	}
	if err := b.checkText(); err != nil {
		return err
	}
	if err := b.checkPaths(); err != nil {
		return err
	}
	return b.Limits.check()
}

func (b *Box) checkText() error {
	if len(b.Argv)+len(b.Env) > maxArgs {
		return fmt.Errorf("the box has %d arguments and variables; at most %d are allowed", len(b.Argv)+len(b.Env), maxArgs)
	}
	for _, text := range slices.Concat(b.Argv, b.Env) {
		if len(text) >= maxText || strings.ContainsRune(text, 0) {
			return fmt.Errorf("the argument or variable %.40q of the box is %d bytes long; less than %d without a zero byte are allowed",
				text, len(text), maxText)
		}
	}
	for _, v := range b.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			return fmt.Errorf("the variable %.40q of the box is not NAME=VALUE", v)
		}
	}
	return nil
}

func (b *Box) checkPaths() error {
	for _, count := range []struct {
		what     string
		n, limit int
	}{{"shows", len(b.Show), maxShows}, {"files", len(b.Files), maxFiles}, {"writable folders", len(b.Writable), maxWritable}, {"devices", len(b.Devices), maxDevices}} {
		if count.n > count.limit {
			return fmt.Errorf("the box has %d %s; at most %d are allowed", count.n, count.what, count.limit)
		}
	}
	taken := map[string]bool{}
	place := func(what, box string) error {
		if !cleanPath(box) || box == "/" {
			return fmt.Errorf("%s %q of the box is not an absolute path below /", what, box)
		}
		for _, own := range ownDirs {
			if within(box, own) || within(own, box) {
				return fmt.Errorf("%s %q of the box is at %q, which is the box's own", what, box, own)
			}
		}
		if box == "/etc" {
			return fmt.Errorf("%s %q of the box would replace its users: show the files of it that are needed", what, box)
		}
		if taken[box] {
			return fmt.Errorf("the box has two things at %q", box)
		}
		taken[box] = true
		return nil
	}
	for _, s := range b.Show {
		if !filepath.IsAbs(s.Host) || strings.ContainsRune(s.Host, 0) {
			return fmt.Errorf("the host path %q that the box is to show is not absolute", s.Host)
		}
		if err := place("the path", s.Box); err != nil {
			return err
		}
	}
	size := 0
	for _, f := range b.Files {
		if size += len(f.Data); size > maxFileBytes {
			return fmt.Errorf("the files of the box have more than %d bytes together", maxFileBytes)
		}
		if err := place("the file", f.Path); err != nil {
			return err
		}
		if s := b.shown(f.Path); s != nil {
			return fmt.Errorf("the file %q of the box lies in %q, which is shown read-only", f.Path, s.Box)
		}
	}
	for _, w := range b.Writable {
		if err := place("the writable folder", w); err != nil {
			return err
		}
	}
	for _, d := range b.Devices {
		if !cleanPath(d) || !strings.HasPrefix(d, "/dev/") {
			return fmt.Errorf("the device %q is not a path below /dev", d)
		}
	}
	if b.Dir == "" {
		b.Dir = ScratchDir
		if b.shown(WorkspaceDir) != nil {
			b.Dir = WorkspaceDir
		}
	}
	if !cleanPath(b.Dir) {
		return fmt.Errorf("the working directory %q of the box is not an absolute path", b.Dir)
	}
	return nil
}

// shown is the innermost Show that holds a path of the box, or nil.
func (b *Box) shown(p string) *Show {
	var best *Show
	for i := range b.Show {
		if s := &b.Show[i]; within(p, s.Box) && (best == nil || len(s.Box) > len(best.Box)) {
			best = s
		}
	}
	return best
}

func (l Limits) check() error {
	for _, limit := range []struct {
		name       string
		value      int64
		least, top int64
	}{
		{"memory", l.Memory, minMemory, 1 << 60},
		{"scratch", l.Scratch, minScratch, 1 << 60},
		{"processes", int64(l.Processes), minProcesses, 1 << 22},
		{"open files", int64(l.OpenFiles), minOpenFiles, maxOpenFiles},
	} {
		if limit.value != 0 && (limit.value < limit.least || limit.value > limit.top) {
			return fmt.Errorf("the box's limit of %s is %d; from %d to %d is allowed", limit.name, limit.value, limit.least, limit.top)
		}
	}
	if !(l.CPUs >= 0) || l.CPUs > 1<<16 || l.CPUs != 0 && l.CPUs < 0.01 {
		return fmt.Errorf("the box's limit of processors is %v; 0.01 or more is allowed, or 0 for all", l.CPUs)
	}
	return nil
}

// cleanPath reports whether p is an absolute path in its shortest form.
func cleanPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.ContainsRune(p, 0)
}

// within reports whether p is dir or lies below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}
