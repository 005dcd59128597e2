package wasm_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fx/runtime/wasm"
)

// childCommand is this program, started as a module's host.
func childCommand(ctx context.Context, t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Args[0] = "/somewhere/" + wasm.ChildName
	cmd.Env = []string{"A=1"}
	return cmd
}

func TestChild(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want int
		text string // standard error
	}{
		{"ends well", program(), 0, ""},
		{"its own code", exiting(7), 7, ""},
		{"a code that 8 bits would make 0", exiting(0x80, 2), 1, ""},
		{"a trap", program(unreachable), wasm.ExitTrapped, "wasm error: unreachable; wasm stack trace"},
		{"not a module", []byte("\x1b[2J"), wasm.ExitInvalid, `it begins with "\x1b[2J"`},
		{"a foreign import", importing(join("env", "a\nb", 0, 0)), wasm.ExitInvalid, `function "a\nb" of "env"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			cmd := childCommand(t.Context(), t, moduleFile(t, tt.data))
			cmd.Stderr = &stderr
			err := cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != tt.want {
				t.Errorf("got code %d (%v), want %d", got, err, tt.want)
			}
			text := stderr.String()
			if (text == "") != (tt.text == "") || !strings.Contains(text, tt.text) {
				t.Errorf("standard error is %q, want %q", text, tt.text)
			}
			if strings.Count(text, "\n") > 1 || strings.ContainsRune(text, '\x1b') {
				t.Errorf("standard error is not one line of printable text: %q", text)
			}
		})
	}
}

func TestChildUsage(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "no module is named"},
		{"an unknown flag", []string{"-network", "m.wasm"}, "-network"},
		{"memory that is no number", []string{"-memory", "much", "m.wasm"}, `"much"`},
		{"a folder without a place", []string{"-mount", "/data", "m.wasm"}, "GUEST=HOST"},
		{"a relative place", []string{"-mount", "data=/srv", "m.wasm"}, "GUEST=HOST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := childCommand(t.Context(), t, tt.args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != wasm.ExitUsage || !strings.Contains(string(out), tt.want) {
				t.Errorf("got %v, %q, want code %d and %q", err, out, wasm.ExitUsage, tt.want)
			}
		})
	}
}

// The child hands its arguments, environment, folders and streams to the module.
func TestChildSession(t *testing.T) {
	dir, _ := outside(t)
	module := guest(t)
	cmd := childCommand(t.Context(), t, "-memory", "268435456",
		"-mount", "/data="+filepath.Join(dir, "data"), "-mount", "/io="+filepath.Join(dir, "io"),
		"-mount", "/more="+filepath.Join(dir, "data/sub"), "-mount", "/workspace=", module, "-x", "y")
	orders, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, orders: orders, answers: bufio.NewScanner(answers)}
	s.exchange([]exchange{
		{"arguments", "args", "guest.wasm -x y"},
		{"environment", "env", "A=1 PWD=/workspace"},
		{"data", "read /data/rows", "12345678"},
		{"read-only data", "write /data/rows x", "error"},
		{"another folder", "read /more/rows", "9"},
		{"it is read-only", "create /more/new", "error"},
		{"output", "write /io/out x", "written"},
		{"no workspace", "list /workspace", "error"},
		{"the host's files", "read " + filepath.Join(dir, "secret"), "error"},
	})
	if err := orders.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child ended with %v", err)
	}
}

// A module that never ends is ended with its process.
func TestChildIsKilled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := childCommand(ctx, t, guest(t))
	orders, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, orders: orders, answers: bufio.NewScanner(answers)}
	if got := s.ask("args"); got != "guest.wasm" {
		t.Errorf("got %q", got)
	}
	if _, err := orders.Write([]byte("spin\n")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("the module ended by itself")
	}
	if s.answers.Scan() {
		t.Errorf("the module answered %q", s.answers.Text())
	}
}
