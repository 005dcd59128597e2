package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/cli/ui"
	"fx/runtime/sandbox"
	"fx/runtime/taskrunner"
	"fx/schema"
)

// boxFlags are the site's choices about the box that task code runs in.
func boxFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data-text", Usage: "what the data loader is told instead of a folder, such as a shard number, is `TEXT` (default: this collaborator's line in plan/data.yaml)"},
		&cli.StringFlag{Name: "python", Usage: "Python task code runs with the interpreter `FILE` (default: python3)"},
		&cli.StringFlag{Name: "box", Value: string(sandbox.Full), Usage: "the least `LEVEL` of the box: full, or confined for hosts without namespaces; see fxrun doctor"},
		&cli.BoolFlag{Name: "box-cgroup", Usage: "insist on a cgroup for memory and processes"},
		&cli.StringFlag{Name: "box-user", Usage: "started by root, task code runs as `UID[:GID]` (default 65534)"},
		&cli.StringSliceFlag{Name: "box-env", Usage: "task code sees the environment variable `NAME=VALUE` (may be repeated)"},
		&cli.StringFlag{Name: "box-memory", Usage: "task code may use `SIZE` of memory, such as 4GiB (default: three quarters of the machine's)"},
		&cli.StringFlag{Name: "box-scratch", Usage: "task code may write `SIZE` of files"},
		&cli.IntFlag{Name: "box-processes", Usage: "task code may have `N` processes and threads"},
		&cli.IntFlag{Name: "box-open-files", Usage: "each process of the task code may have `N` files open"},
		&cli.Float64Flag{Name: "box-cpus", Usage: "task code may use `N` processors"},
		&cli.DurationFlag{Name: "start-timeout", Usage: "task code must be loaded within `TIME` (default: the plan's, 5m)"},
		&cli.DurationFlag{Name: "task-timeout", Usage: "a task must be done within `TIME` (default: the plan's, 24h)"},
		&cli.StringSliceFlag{Name: "show", Usage: "with `HOST=BOX`, task code sees the file or folder HOST, read-only, at BOX (may be repeated)"},
		&cli.StringSliceFlag{Name: "device", Usage: "task code may use the device `NODE`, such as /dev/nvidia0 (may be repeated); the box is weaker then"},
	}
}

// boxOptions reads the site's choices.
func boxOptions(c *cli.Context) (taskrunner.BoxOptions, error) {
	b := taskrunner.BoxOptions{
		Level: sandbox.Level(c.String("box")), Cgroup: c.Bool("box-cgroup"),
		Python: c.String("python"), Env: c.StringSlice("box-env"), Devices: c.StringSlice("device"),
		StartTimeout: c.Duration("start-timeout"), TaskTimeout: c.Duration("task-timeout"),
	}
	if b.Level != sandbox.Full && b.Level != sandbox.Confined {
		return b, ui.Usagef("--box is %q; it is %s or %s", c.String("box"), sandbox.Full, sandbox.Confined)
	}
	for _, d := range []string{"start-timeout", "task-timeout"} {
		if c.Duration(d) < 0 {
			return b, ui.Usagef("--%s is %v; it must not be negative", d, c.Duration(d))
		}
	}
	for _, v := range b.Env {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return b, ui.Usagef("--box-env is %q; NAME=VALUE was expected", v)
		}
		if err := schema.CheckVariable(name, value); err != nil {
			return b, usage("--box-env", err)
		}
	}
	for _, d := range b.Devices {
		if err := schema.CheckDevice(d); err != nil {
			return b, usage("--device", err)
		}
	}
	var err error
	if b.User, err = boxUser(c.String("box-user")); err != nil {
		return b, err
	}
	if b.Show, err = shows(c.StringSlice("show")); err != nil {
		return b, err
	}
	b.Limits, err = boxLimits(c)
	return b, err
}

// usage says that a flag has a value that a document must not have, either.
func usage(flag string, err error) error {
	return ui.Usagef("%s: %s", flag, strings.TrimPrefix(err.Error(), schema.ErrInvalid.Error()+": "))
}

// boxLimits reads the limits that the site sets; zero where it sets none.
func boxLimits(c *cli.Context) (sandbox.Limits, error) {
	l := sandbox.Limits{Processes: c.Int("box-processes"), OpenFiles: c.Int("box-open-files"), CPUs: c.Float64("box-cpus")}
	for flag, n := range map[string]float64{"box-processes": float64(l.Processes), "box-open-files": float64(l.OpenFiles), "box-cpus": l.CPUs} {
		if c.IsSet(flag) && !(n > 0 && !math.IsInf(n, 0)) {
			return l, ui.Usagef("--%s is %v; a number above 0 was expected", flag, n)
		}
	}
	var err error
	if l.Memory, err = size(c, "box-memory"); err != nil {
		return l, err
	}
	l.Scratch, err = size(c, "box-scratch")
	return l, err
}

// size reads a flag with a number of bytes, which may have a unit.
func size(c *cli.Context, flag string) (int64, error) {
	text := c.String(flag)
	if text == "" {
		return 0, nil
	}
	number, unit := text, int64(1)
	for suffix, n := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = rest, n
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, ui.Usagef("--%s is %q; a number of bytes was expected, such as 4294967296, 512MiB or 4GiB", flag, text)
	}
	return n * unit, nil
}

// boxUser reads UID[:GID].
func boxUser(text string) (sandbox.User, error) {
	if text == "" {
		return sandbox.User{}, nil
	}
	uid, gid, both := strings.Cut(text, ":")
	if !both {
		gid = uid
	}
	u, err1 := strconv.ParseUint(uid, 10, 31)
	g, err2 := strconv.ParseUint(gid, 10, 31)
	if err1 != nil || err2 != nil || u == 0 || g == 0 {
		return sandbox.User{}, ui.Usagef("--box-user is %q; UID or UID:GID was expected, neither of them 0", text)
	}
	return sandbox.User{UID: int(u), GID: int(g)}, nil
}

// shows reads HOST=BOX.
func shows(list []string) ([]sandbox.Show, error) {
	var out []sandbox.Show
	for _, text := range list {
		host, box, ok := strings.Cut(text, "=")
		if !ok || host == "" || !path.IsAbs(box) || path.Clean(box) != box || box == "/" {
			return nil, ui.Usagef("--show is %q; HOST=BOX was expected, BOX being an absolute path, such as /srv/images=/workspace/data", text)
		}
		host, err := filepath.Abs(host)
		if err != nil {
			return nil, fmt.Errorf("cannot show %q: %v", text, err)
		}
		out = append(out, sandbox.Show{Host: host, Box: box})
	}
	return out, nil
}

// runner makes the plan's task runner for a collaborator, "" for nobody in
// particular.
func (p *participant) runner(c *cli.Context, name, scratch string, log *slog.Logger) (taskrunner.Runner, error) {
	return newRunner(c, runnerOptions{
		plan: p.Plan, files: p.verified.Workspace(), name: name, scratch: scratch, log: log, private: p.private(c, name),
	})
}

// private are the places of this site that task code must not see, whatever
// else is shown to it: keys, which may be links to elsewhere, and state.
func (p *participant) private(c *cli.Context, name string) []string {
	_, key, _ := identity.Files(p.certDir, identity.Collaborator, name)
	return []string{p.certDir, key, p.stateDir(c, name)}
}

type runnerOptions struct {
	plan          *schema.Resolved
	files         fs.FS
	name, scratch string
	log           *slog.Logger
	private       []string // see taskrunner.BoxOptions
}

func newRunner(c *cli.Context, o runnerOptions) (taskrunner.Runner, error) {
	data, err := dataPath(c)
	if err != nil {
		return nil, err
	}
	box, err := boxOptions(c)
	if err != nil {
		return nil, err
	}
	box.Private = o.private
	text := c.String("data-text")
	if text != "" && data != "" {
		return nil, ui.Usagef("--data and --data-text are both given; the data loader is told one of them")
	}
	if text == "" && data == "" {
		if text, err = dataLine(o.files, o.name); err != nil {
			return nil, err
		}
	}
	return taskrunner.New(taskrunner.Options{
		Workspace: o.files, DataPath: data, DataText: text, Name: o.name, Opt: o.plan.Collaborator.OptTreatment,
		TaskRunner: o.plan.TaskRunner, DataLoader: o.plan.DataLoader, Tasks: o.plan.Tasks,
		Needs: o.plan.Box, Box: box, Scratch: o.scratch, Log: o.log,
	})
}

// maxDataList is more than schema.ParseData takes, so that it says so.
const maxDataList = 2 << 20

// dataLine is what plan/data.yaml of the bundle says about a collaborator; for
// nobody in particular its first line, as OpenFL's "plan initialize" takes it.
func dataLine(files fs.FS, name string) (string, error) {
	const list = "plan/data.yaml"
	f, err := files.Open(list)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // the list is optional
	}
	if err != nil {
		return "", fmt.Errorf("cannot read %q of the workspace: %v", list, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxDataList))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("cannot read %q of the workspace: %v", list, err)
	}
	lines, err := schema.ParseData(list, b)
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		if l.Name == name || name == "" {
			return l.Path, nil
		}
	}
	return "", nil
}
