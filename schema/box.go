package schema

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Box is the section box: what the task code of a plan needs of the box that it
// runs in. The zero Box asks for nothing: the site's defaults hold. A site may
// give less, and then refuses the plan; it never gives more than it allows.
// OpenFL has no such section and ignores it, but hashes it like every other.
type Box struct {
	Level        string            // least level of the box: "full", "confined", or "" for the site's
	Cgroup       bool              // memory and processes must be held by a cgroup
	Memory       int64             // bytes; 0 is the site's default, as below
	Scratch      int64             // bytes of temporary files
	Processes    int               // processes and threads
	OpenFiles    int               // per process
	CPUs         float64           // processors
	StartTimeout time.Duration     // until the runner has loaded its code and says hello
	TaskTimeout  time.Duration     // for one task
	Env          map[string]string // environment of the task code
	Devices      []string          // device nodes, such as /dev/nvidia0; the site must allow each by name
}

// Bounds on the section, far above what a plan needs.
const (
	maxBoxNames = 100
	maxBoxText  = 4096 // bytes of a variable's value
)

// box reads the section, which may be absent. Its keys stand directly below it.
func (d *decoder) box() Box {
	node := d.root.Lookup("box")
	if node == nil || node.Kind != KindMap {
		return Box{}
	}
	f := newFields(node, d.root.Key("box"), "box", d.out)
	f.noSettings()
	b := Box{
		Level:        f.word("level", "", "full", "confined"),
		Cgroup:       f.flag("cgroup", false),
		Memory:       f.bytes("memory"),
		Scratch:      f.bytes("scratch"),
		Processes:    f.integer("processes", false, 0, 16),
		OpenFiles:    f.integer("open_files", false, 0, 16),
		CPUs:         f.number("cpus", 0),
		StartTimeout: time.Duration(f.number("start_timeout", 0) * float64(time.Second)),
		TaskTimeout:  time.Duration(f.number("task_timeout", 0) * float64(time.Second)),
		Env:          f.environment(),
		Devices:      f.devices(),
	}
	f.done()
	return b
}

// noSettings checks that the settings which are there in every merged section
// are empty in this one.
func (f *fields) noSettings() {
	f.ignore("settings")
	if s := f.node.Lookup("settings"); s != nil && s.Kind == KindMap && len(s.Pairs) > 0 {
		key := s.Pairs[0].Key
		finding := key.finding("unknown-key", Child(f.path+".settings", key.KeyText()), "the section %s has no settings", f.path)
		finding.Found, finding.Hint = key.Describe(), "write the key directly below "+f.path
		f.add(finding)
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Variables that decide which code runs or where the box keeps its files: only
// the runtime sets them.
var boxVariables = []string{"PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "BASH_ENV", "ENV"}

// CheckVariable says whether a plan or a site may set an environment variable of
// the box. The error wraps ErrInvalid.
func CheckVariable(name, value string) error {
	switch {
	case !variableName.MatchString(name) || len(name) > maxBoxText:
		return fmt.Errorf("%w: %.100q is no name of an environment variable; letters, digits and _ are allowed", ErrInvalid, name)
	case strings.HasPrefix(name, "LD_") || slices.Contains(boxVariables, name):
		return fmt.Errorf("%w: the environment variable %s decides which code runs in the box, and is set by fxrun alone", ErrInvalid, name)
	case len(value) > maxBoxText || strings.ContainsRune(value, 0):
		return fmt.Errorf("%w: the value of the environment variable %s has %d bytes or a zero byte; allowed are %d", ErrInvalid, name, len(value), maxBoxText)
	}
	return nil
}

// environment reads box.env; nil if there is none.
func (f *fields) environment() map[string]string {
	n := f.take("env")
	if n == nil {
		return nil
	}
	if n.Kind != KindMap {
		f.mistyped(n, "env", "a map from the name of a variable to a string")
		return nil
	}
	f.tooMany(n, "env", len(n.Pairs), maxBoxNames)
	env := map[string]string{}
	for _, p := range n.Pairs {
		name := p.Key.KeyText()
		where := Child(Child(f.path, "env"), name)
		if p.Key.Kind != KindString {
			f.mistypedAt(p.Key, where, "a string")
			continue
		}
		if p.Value.Kind != KindString {
			f.mistypedAt(p.Value, where, "a string")
			continue
		}
		if err := CheckVariable(name, p.Value.Text); err != nil {
			finding := p.Key.finding("value", where, "%s", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
			f.add(finding)
			continue
		}
		env[name] = p.Value.Text
	}
	return env
}

// CheckDevice says whether a path names a device node as a plan or a site may
// name it. The error wraps ErrInvalid.
func CheckDevice(name string) error {
	if !strings.HasPrefix(name, "/dev/") || path.Clean(name) != name || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.") != "" {
		return fmt.Errorf("%w: %.100q is no device; a path such as /dev/nvidia0 was expected", ErrInvalid, name)
	}
	return nil
}

// devices reads box.devices; nil if there is none.
func (f *fields) devices() []string {
	n := f.take("devices")
	if n == nil {
		return nil
	}
	if n.Kind != KindList {
		f.mistyped(n, "devices", `a list of device nodes, such as ["/dev/nvidia0"]`)
		return nil
	}
	f.tooMany(n, "devices", len(n.Items), maxBoxNames)
	var devices []string
	for i, item := range n.Items {
		where := Index(Child(f.path, "devices"), i)
		if item.Kind != KindString {
			f.mistypedAt(item, where, "a string")
			continue
		}
		if err := CheckDevice(item.Text); err != nil {
			finding := item.finding("value", where, "this is no device node")
			finding.Found, finding.Allowed = item.Describe(), "a path such as /dev/nvidia0"
			f.add(finding)
			continue
		}
		devices = append(devices, item.Text)
	}
	return devices
}
