// Package sandbox runs task code in a box: a process that has no network, no
// keys, no environment but what it is given, a read-only view of its code and
// data, and bounded memory, processes, files and time.
package sandbox

import (
	"fmt"
	"os"
	"time"
)

// Level is how much of the box a site insists on.
type Level string

// Levels, the strongest first.
const (
	// Full is the whole box: namespaces, a private root, Landlock and seccomp.
	Full Level = "full"
	// Confined is Landlock and seccomp without namespaces, for hosts whose kernel
	// refuses them: task code cannot open what it is not shown, but can find out
	// that it exists.
	Confined Level = "confined"
)

// Paths in a full box. In a confined one the same things are at other paths;
// [Process.Path] translates.
const (
	WorkspaceDir = "/workspace" // the verified bundle's files, read-only
	DataDir      = "/data"      // the site's data, read-only
	InputsDir    = "/inputs"    // what the runtime hands in, read-only
	IODir        = "/io"        // what the task hands out: [Process.Open]
	ScratchDir   = "/scratch"   // the task's own; also its home and temporary folder
)

// Box says what a boxed process is, sees and may use.
type Box struct {
	Level   Level  // "" is Full
	Cgroup  bool   // memory and processes must be held by a cgroup, or Start refuses
	HostDir string // an empty folder of the caller for what a confined box writes; a full one has no use for it

	// Argv is the program and its arguments. The program is a path in the box, or
	// a bare name that is looked up in /usr/bin and /bin of the box. In a confined
	// box, arguments and variables that are paths of the box, or lists of such
	// paths with colons, are translated as by [Process.Path].
	Argv []string
	Dir  string   // working directory in the box; "" is WorkspaceDir if that is shown, else ScratchDir
	Env  []string // all of the environment, NAME=VALUE

	Show  []Show // what it sees of the host, read-only; one may lie inside another
	Files []File // small files that are written into it, read-only
	// Writable lists folders of the box that are scratch too, such as
	// /workspace/logs. Each must be there: as an empty folder of what is shown.
	Writable []string
	Devices  []string // host device nodes, such as /dev/nvidia0; none by default

	Limits Limits
	User   User // whom it becomes where the caller is root

	Stdin, Stdout, Stderr *os.File // the child's ends; the caller closes its copies after Start

	oldLandlock int // tests: the newest version of Landlock to make use of
}

// Show is a file or folder of the host that the box sees, read-only.
type Show struct {
	Host, Box string
	Optional  bool // absent on the host is no error
}

// File is a small file that is written into the box, read-only.
type File struct {
	Path string // in the box
	Data []byte
	Mode os.FileMode // 0 is 0444
}

// User is an unprivileged user of the host.
type User struct{ UID, GID int }

// Limits bounds a box. Zero values are the defaults: see [DefaultLimits].
type Limits struct {
	Memory    int64   // bytes, of all its processes, with what it writes to /io and /scratch
	Scratch   int64   // bytes of /io and /scratch together
	Processes int     // processes and threads
	OpenFiles int     // per process
	CPUs      float64 // processors; 0 is all
}

// Exit is how a boxed process ended.
type Exit struct {
	Code        int    // exit code, -1 if a signal ended it
	Signal      string // its name, such as "SIGKILL"
	OutOfMemory bool   // the kernel ended it for its memory
	// OutOfScratch is set where a confined box was ended for what it wrote. In a
	// full one the program gets the error that the disk is full instead.
	OutOfScratch bool
	Wall         time.Duration
}

// MissingError says that this host lacks a layer of the box that was asked for.
type MissingError struct {
	Layer string `json:"layer"` // such as "user namespaces"
	Why   string `json:"why"`   // what the kernel said
	Fix   string `json:"fix"`   // what to change
}

// Error implements error.
func (e *MissingError) Error() string {
	return fmt.Sprintf("the box needs %s, which this host refuses (%s): %s", e.Layer, e.Why, e.Fix)
}

// Finding is one line of [Probe]: a layer of the box, tried for real.
type Finding struct {
	Layer  string `json:"layer"`            // such as "landlock", or "full" for the whole box of that level
	OK     bool   `json:"ok"`               // it works here
	Detail string `json:"detail,omitempty"` // what was found
	Fix    string `json:"fix,omitempty"`    // what to change where it does not work
	Whole  bool   `json:"-"`                // Layer is a level, not a layer
}
