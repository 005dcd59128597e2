package taskrunner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fx/runtime/sandbox"
	"fx/schema"
)

// BoxOptions are the site's choices about the box that task code runs in. The
// zero value is a full box with the defaults of package sandbox.
type BoxOptions struct {
	Level   sandbox.Level
	Cgroup  bool // memory and processes must be held by a cgroup
	User    sandbox.User
	Limits  sandbox.Limits
	Env     []string       // NAME=VALUE
	Devices []string       // device nodes, such as /dev/nvidia0
	Show    []sandbox.Show // more of the host, read-only
	Private []string       // files and folders of the host that nothing shown may hold: keys, state
	Python  string         // the interpreter for Python task code; "" is python3 in PATH

	// The shorter of the site's and the plan's holds; where neither says anything,
	// it is five minutes and a day.
	StartTimeout time.Duration // until the task code says hello
	TaskTimeout  time.Duration // for one task
}

const (
	defaultStartTimeout = 5 * time.Minute
	defaultTaskTimeout  = 24 * time.Hour
)

// terms are what a plan asks of a box and what a site gives, put together.
type terms struct {
	level        sandbox.Level
	cgroup       bool
	limits       sandbox.Limits
	env          map[string]string
	startTimeout time.Duration
	taskTimeout  time.Duration
}

// agree puts them together, or says what the plan needs and the site refuses.
func agree(needs schema.Box, site BoxOptions) (*terms, error) {
	t := &terms{level: cmp.Or(site.Level, sandbox.Full), cgroup: site.Cgroup || needs.Cgroup, limits: site.Limits}
	switch t.level {
	case sandbox.Full, sandbox.Confined:
	default:
		return nil, fmt.Errorf("the level of the box is %q; allowed are %q and %q", t.level, sandbox.Full, sandbox.Confined)
	}
	if needs.Level == string(sandbox.Full) && t.level != sandbox.Full {
		return nil, fmt.Errorf("the plan asks for a %s box (box.level), and this site runs task code in a %s one; allow it with --box %s", needs.Level, t.level, needs.Level)
	}
	for _, l := range []struct {
		name, flag string
		asked      float64
		allowed    float64
		give       func()
	}{
		{"memory", "--box-memory", float64(needs.Memory), float64(site.Limits.Memory), func() { t.limits.Memory = needs.Memory }},
		{"scratch", "--box-scratch", float64(needs.Scratch), float64(site.Limits.Scratch), func() { t.limits.Scratch = needs.Scratch }},
		{"processes", "--box-processes", float64(needs.Processes), float64(site.Limits.Processes), func() { t.limits.Processes = needs.Processes }},
		{"cpus", "--box-cpus", needs.CPUs, site.Limits.CPUs, func() { t.limits.CPUs = needs.CPUs }},
		{"open_files", "--box-open-files", float64(needs.OpenFiles), float64(site.Limits.OpenFiles), func() { t.limits.OpenFiles = needs.OpenFiles }},
	} {
		switch {
		case l.asked == 0:
		case l.allowed == 0:
			l.give()
		case l.asked > l.allowed:
			return nil, fmt.Errorf("the plan asks for %s of %s (box.%s), and this site allows %s; raise it with %s",
				amount(l.name, l.asked), strings.ReplaceAll(l.name, "_", " "), l.name, amount(l.name, l.allowed), l.flag)
		}
	}
	for _, d := range needs.Devices {
		if !slices.Contains(site.Devices, d) {
			return nil, fmt.Errorf("the plan asks for the device %q (box.devices), which this site does not allow; allow it with --device %s", d, d)
		}
	}
	for _, d := range site.Devices {
		if err := schema.CheckDevice(d); err != nil {
			return nil, err
		}
	}
	t.startTimeout = shorter(site.StartTimeout, needs.StartTimeout, defaultStartTimeout)
	t.taskTimeout = shorter(site.TaskTimeout, needs.TaskTimeout, defaultTaskTimeout)
	t.env = map[string]string{}
	for name, value := range needs.Env {
		if err := schema.CheckVariable(name, value); err != nil {
			return nil, fmt.Errorf("%w (the plan's box.env)", err)
		}
		t.env[name] = value
	}
	for _, v := range site.Env {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, fmt.Errorf("the environment variable %.100q has no value; write NAME=VALUE", v)
		}
		if err := schema.CheckVariable(name, value); err != nil {
			return nil, err
		}
		t.env[name] = value
	}
	return t, nil
}

// environment lists the variables, those of the box first: nothing of the plan's
// or the site's can replace them.
func (t *terms) environment(scratch string, more ...string) []string {
	env := append([]string{"PATH=/usr/bin:/bin", "HOME=" + scratch, "TMPDIR=" + scratch}, more...)
	if _, set := t.env["LANG"]; !set {
		env = append(env, "LANG=C.UTF-8")
	}
	for _, name := range slices.Sorted(maps.Keys(t.env)) {
		env = append(env, name+"="+t.env[name])
	}
	return env
}

// shorter is the shorter of two durations that are set, or else what holds where
// none is.
func shorter(a, b, byDefault time.Duration) time.Duration {
	switch {
	case a > 0 && b > 0:
		return min(a, b)
	case a > 0 || b > 0:
		return max(a, b)
	}
	return byDefault
}

// amount is a limit as a message shows it.
func amount(name string, v float64) string {
	if name == "memory" || name == "scratch" {
		return size(int64(v))
	}
	return fmt.Sprint(v)
}

// size is a number of bytes in the largest unit that gives a whole number.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
