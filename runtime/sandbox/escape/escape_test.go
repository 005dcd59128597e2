//go:build linux && (amd64 || arm64)

// Package escape tries to get out of the box that task code runs in: as a
// program that makes system calls, as Python, and as WebAssembly. Nothing may be
// caught, by a box that root started and by one that an ordinary user did.
package escape

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fx/runtime/sandbox"
	"fx/runtime/wasm"
)

var update = flag.Bool("update", false, "write the table of attempts into docs/infosec.md")

func TestMain(m *testing.M) {
	sandbox.Child()
	wasm.Child()
	if len(os.Args) == 4+len(boxFolders) && os.Args[1] == "attempt" {
		for i, f := range boxFolders {
			folders[f] = os.Args[4+i]
		}
		attempt(os.Args[2], os.Args[3])
		return
	}
	os.Exit(m.Run())
}

// boxFolders are arguments of an attempt, which the box translates.
var boxFolders = []string{sandbox.WorkspaceDir, sandbox.DataDir, sandbox.ScratchDir, sandbox.IODir, "/tmp", "/dev/shm"}

// attempt is task code inside the box.
func attempt(name, text string) {
	var b bait
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		panic(err)
	}
	for _, a := range native {
		if a.name != name {
			continue
		}
		if got, err := a.try(b); err != nil {
			fmt.Println("NOTHING", strings.ReplaceAll(err.Error(), "\n", "; "))
		} else {
			fmt.Println("CAUGHT", got)
		}
		return
	}
	for _, g := range greedy {
		if g.name == name || name == "sleep" && g.name == "ignore all signals" {
			g.do()
			return
		}
	}
	panic("no attempt " + name)
}

// host is what surrounds a box: a site with a key, open doors and a bystander.
type host struct {
	t       *testing.T
	dir     string
	level   sandbox.Level
	bait    bait
	show    []sandbox.Show
	hostDir string // of a confined box
	guest   string // a compiled guest, "" if there is no toolchain
}

const secret = "6f2d-the-site's-secret"

func newHost(t *testing.T, level sandbox.Level) *host {
	t.Helper()
	dir := openDir(t)
	h := &host{t: t, dir: dir, level: level, guest: os.Getenv("FX_ESCAPE_GUEST")}
	t.Setenv("FX_SECRET", secret)
	h.write("cert/client/col_site.key", "-----BEGIN PRIVATE KEY-----\n"+secret+"\n", 0o644) // even where the mode is wrong
	h.write("workspace/src/code.py", "approved\n", 0o644)
	h.write("data/rows.csv", "1,2,3\n", 0o644)
	for _, d := range []string{"", "cert", "cert/client", "workspace", "workspace/src", "data"} {
		if err := os.Chmod(filepath.Join(dir, d), 0o777); err != nil { // the box must hold without the help of modes
			t.Fatal(err)
		}
	}
	h.bait.Key, h.bait.Secret = filepath.Join(dir, "cert/client/col_site.key"), secret
	tcp := h.listen("tcp", "127.0.0.1:0")
	h.bait.TCP = tcp.Addr().String()
	h.bait.Unix = h.listen("unix", filepath.Join(dir, "s")).Addr().String()
	if err := os.Chmod(h.bait.Unix, 0o777); err != nil {
		t.Fatal(err)
	}
	h.bait.Abstract = h.listen("unix", "@"+filepath.Base(dir)).Addr().String()
	h.bait.PID = h.bystander()
	h.bait.Shm = h.sharedMemory()
	self := filepath.Join(dir, "escape.test") // where everybody can read it
	text, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.WriteFile(self, text, 0o755)); err != nil {
		t.Fatal(err)
	}
	h.show = append(systemShow(), []sandbox.Show{ // which a test with cgo needs to run at all
		{Host: filepath.Join(dir, "workspace"), Box: sandbox.WorkspaceDir}, {Host: filepath.Join(dir, "data"), Box: sandbox.DataDir},
		{Host: self, Box: "/fx/attempt"},
	}...)
	return h
}

// openDir is a folder that everybody can look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fx-escape-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // scratch
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (h *host) write(name, text string, mode os.FileMode) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		h.t.Fatal(err)
	}
}

// listen is a door of the host. Whoever comes through it has got out.
func (h *host) listen(network, address string) net.Listener {
	h.t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.t.Errorf("somebody connected to %s", l.Addr())
			_ = c.Close()
		}
	}()
	h.t.Cleanup(func() { _ = l.Close(); <-done })
	return l
}

// bystander is a process of the host, of the same user, with the secret in its
// environment.
func (h *host) bystander() int {
	h.t.Helper()
	c := exec.Command("/bin/sleep", "600")
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := c.Process.Signal(syscall.Signal(0)); err != nil {
			h.t.Errorf("the bystander is gone: %v", err)
		}
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c.Process.Pid
}

func (h *host) sharedMemory() int {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o666)
	if err != nil {
		return -1
	}
	h.t.Cleanup(func() {
		if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
			h.t.Error(err)
		}
	})
	return id
}

// unharmed fails if code or data of the host are no longer what they were.
func (h *host) unharmed() {
	h.t.Helper()
	for name, want := range map[string]string{"workspace/src/code.py": "approved\n", "data/rows.csv": "1,2,3\n"} {
		if got, err := os.ReadFile(filepath.Join(h.dir, name)); err != nil || string(got) != want {
			h.t.Errorf("%s is now %q, %v", name, got, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(h.dir, "workspace/src"))
	if err != nil || len(entries) != 1 {
		h.t.Errorf("the code is now %v, %v", entries, err)
	}
}

// run runs a command in a box and returns what it wrote, and how it ended.
func (h *host) run(limits sandbox.Limits, show []sandbox.Show, argv ...string) (string, sandbox.Exit) {
	h.t.Helper()
	p, out := h.start(limits, show, argv...)
	exit := p.Wait()
	text, err := os.ReadFile(out)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text), exit
}

// runWasm runs the guest.
func (h *host) runWasm(show []sandbox.Show) (string, sandbox.Exit) {
	h.t.Helper()
	program := filepath.Join(openDir(h.t), wasm.ChildName)
	if err := os.Symlink(filepath.Join(h.dir, "escape.test"), program); err != nil {
		h.t.Fatal(err)
	}
	show = append(slices.Clone(show), sandbox.Show{Host: program, Box: "/fx/" + wasm.ChildName})
	argv := []string{"/fx/" + wasm.ChildName}
	if h.level == sandbox.Confined {
		for box, place := range map[string]string{
			sandbox.WorkspaceDir: filepath.Join(h.dir, "workspace"), sandbox.DataDir: filepath.Join(h.dir, "data"),
			sandbox.ScratchDir: filepath.Join(h.hostDir, "scratch"), sandbox.IODir: filepath.Join(h.hostDir, "io"),
		} {
			argv = append(argv, "-mount", box+"="+place)
		}
	}
	return h.run(modest, show, append(argv, "/fx/guest.wasm", h.baitText())...)
}

// start starts a command in a box, and names the file that it writes to.
func (h *host) start(limits sandbox.Limits, show []sandbox.Show, argv ...string) (*sandbox.Process, string) {
	h.t.Helper()
	out, err := os.CreateTemp(h.t.TempDir(), "out")
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	leak, err := os.Open(h.bait.Key) // a descriptor that somebody forgot
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = leak.Close() }()
	if _, err := unix.FcntlInt(leak.Fd(), unix.F_SETFD, 0); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	h.t.Cleanup(cancel)
	p, err := sandbox.Start(ctx, sandbox.Box{
		Level: h.level, HostDir: h.hostDir, Argv: argv, Show: append(slices.Clone(h.show), show...), Limits: limits,
		Env: []string{"PATH=/usr/bin:/bin"}, Stdin: null, Stdout: out, Stderr: out,
	})
	if missing, ok := errors.AsType[*sandbox.MissingError](err); ok {
		h.t.Skip(missing)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return p, out.Name()
}

func (h *host) baitText() string {
	b, err := json.Marshal(h.bait)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// verdict is what an attempt caught: nothing, and why, or else the test fails.
func verdict(t *testing.T, out string, exit sandbox.Exit) string {
	t.Helper()
	if strings.Contains(out, "CAUGHT") || strings.Contains(out, secret) {
		t.Errorf("it got out: %s", out)
		return "**got out**"
	}
	if exit.Signal != "" {
		return "ended by " + exit.Signal
	}
	if _, why, ok := strings.Cut(out, "NOTHING "); ok {
		why = strings.TrimSpace(why)
		if i := strings.LastIndex(why, ": "); i >= 0 {
			why = why[i+2:]
		}
		return why
	}
	t.Errorf("the attempt said neither that it caught something nor that it did not (%+v): %.2000s", exit, out)
	return "?"
}

// outcomes are the results by attempt and language.
type outcomes map[string]map[string]string

func (o outcomes) note(name, language, what string) {
	if o[name] == nil {
		o[name] = map[string]string{}
	}
	o[name][language] = what
}

func TestEscapes(t *testing.T) { escapes(t, sandbox.Full) }

// A confined box hides less: that a file exists, and what the processes of the
// host are called, can be found out.
func TestEscapesOfAConfinedBox(t *testing.T) { escapes(t, sandbox.Confined) }

var visibleInAConfinedBox = []string{"find out that the key exists"}

func escapes(t *testing.T, level sandbox.Level) {
	h := newHost(t, level)
	seen := outcomes{}
	skip := func(name string) bool {
		return level == sandbox.Confined && slices.Contains(visibleInAConfinedBox, name)
	}
	t.Run("native", func(t *testing.T) {
		for _, a := range native {
			if skip(a.name) {
				continue
			}
			t.Run(a.name, func(t *testing.T) {
				out, exit := h.in(t).run(modest, nil, h.attempt(a.name)...)
				seen.note(a.name, "native", verdict(t, out, exit))
			})
		}
	})
	t.Run("python", func(t *testing.T) { h.in(t).python(seen, skip) })
	t.Run("wasm", func(t *testing.T) { h.in(t).wasm(seen, skip) })
	t.Run("greedy", func(t *testing.T) {
		for _, g := range greedy {
			t.Run(g.name, func(t *testing.T) { seen.note(g.name, "native", g.check(h.in(t))) })
		}
	})
	h.unharmed()
	if level == sandbox.Full && os.Getuid() == 0 && !t.Failed() {
		checkTable(t, seen)
	}
}

// modest is what an attempt may use that is not after more.
var modest = sandbox.Limits{Memory: 1 << 30, Scratch: 64 << 20, Processes: 128}

// attempt is the command line of one.
func (h *host) attempt(name string) []string {
	return append([]string{"/fx/attempt", "attempt", name, h.baitText()}, boxFolders...)
}

// in is the same host for a subtest.
func (h *host) in(t *testing.T) *host {
	other := *h
	other.t, other.hostDir = t, openDir(t)
	return &other
}

// systemShow is what a program of the host needs.
func systemShow() []sandbox.Show {
	var show []sandbox.Show
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64", "/lib32", "/sbin", "/etc/alternatives", "/etc/ld.so.cache"} {
		show = append(show, sandbox.Show{Host: dir, Box: dir, Optional: true})
	}
	return show
}

func (h *host) python(seen outcomes, skip func(string) bool) {
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		need(h.t, "no "+python)
	}
	script, err := os.ReadFile("testdata/attempts.py")
	if err != nil {
		h.t.Fatal(err)
	}
	h.write("attempts.py", string(script), 0o644)
	show := []sandbox.Show{{Host: filepath.Join(h.dir, "attempts.py"), Box: "/fx/attempts.py"}}
	names := names(string(script), `    "`, `": lambda`, `": environments`, `": any_socket`, `": zip_slip`, `": pickle_bomb`, `": descriptors`)
	if len(names) < 25 {
		h.t.Fatalf("only %d attempts in Python", len(names))
	}
	for _, name := range names {
		if skip(name) {
			continue
		}
		h.t.Run(name, func(t *testing.T) {
			out, exit := h.in(t).run(modest, show, append([]string{python, "/fx/attempts.py", name, h.baitText()}, boxFolders...)...)
			seen.note(name, "Python", verdict(t, out, exit))
		})
	}
}

// names are the quoted words of lines that begin and go on in a certain way.
func names(text, begin string, goOn ...string) []string {
	var list []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, begin)
		for _, g := range goOn {
			if name, _, cut := strings.Cut(rest, g); ok && cut {
				list = append(list, name)
				break
			}
		}
	}
	return list
}

func (h *host) wasm(seen outcomes, skip func(string) bool) {
	guest := h.guest
	if guest == "" {
		guest = buildGuest(h.t, h.dir)
	}
	module, err := os.ReadFile(guest)
	if err != nil {
		h.t.Fatal(err)
	}
	h.write("guest.wasm", string(module), 0o644)
	show := []sandbox.Show{{Host: filepath.Join(h.dir, "guest.wasm"), Box: "/fx/guest.wasm"}}
	source, err := os.ReadFile("testdata/guest/main.go")
	if err != nil {
		h.t.Fatal(err)
	}
	names := names(string(source), "\t\"", `": `)
	if len(names) < 15 {
		h.t.Fatalf("only %d attempts in WebAssembly", len(names))
	}
	out, exit := h.runWasm(show) // all of them in one box: to compile the module takes seconds
	for _, name := range names {
		if skip(name) {
			continue
		}
		h.t.Run(name, func(t *testing.T) {
			_, line, _ := strings.Cut("\n"+out, "\n"+name+"\t")
			line, _, _ = strings.Cut(line, "\n")
			seen.note(name, "WebAssembly", verdict(t, line, sandbox.Exit{}))
		})
	}
	if exit.Code != 0 {
		h.t.Errorf("the guest ended with %+v: %.2000s", exit, out)
	}
}

// need skips where something is missing, but not in CI.
func need(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func buildGuest(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(dir, "built.wasm")
	c := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/guest")
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		need(t, fmt.Sprintf("cannot build the guest: %v: %s", err, text))
	}
	return out
}

// TestEscapesOfAnOrdinaryUser runs all of it again as a user without rights.
func TestEscapesOfAnOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the tests are run by an ordinary user anyway")
	}
	dir, err := os.MkdirTemp("/tmp", "fx-escape-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	guest := buildGuest(t, t.TempDir())
	module, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "escape.test")
	err = errors.Join(os.WriteFile(binary, self, 0o755), os.WriteFile(filepath.Join(dir, "guest.wasm"), module, 0o644),
		os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS("testdata")), os.Mkdir(filepath.Join(dir, "tmp"), 0o777),
		os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "tmp"), 0o777))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := exec.Command(binary, "-test.run=^TestEscapes(OfAConfinedBox)?$", "-test.v")
	c.Dir, c.Stdout, c.Stderr = dir, &out, &out
	c.Env = append(os.Environ(), "FX_ESCAPE_GUEST="+filepath.Join(dir, "guest.wasm"), "TMPDIR="+filepath.Join(dir, "tmp"), "HOME=/nonexistent")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	err = c.Run()
	ran := strings.Count(out.String(), "--- PASS: TestEscapes/native/")
	if err != nil {
		t.Errorf("%v\n%s", err, failures(out.String()))
	} else if ran < 40 {
		need(t, fmt.Sprintf("only %d attempts were made:\n%s", ran, out.String()))
	}
}

// failures leaves out of a test's output what passed.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "=== ") && !strings.Contains(line, "--- PASS") {
			b.WriteString(line)
		}
	}
	return b.String()
}
