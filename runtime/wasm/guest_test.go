package wasm_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fx/runtime/wasm"
)

func TestMain(m *testing.M) {
	wasm.Child()
	code := m.Run()
	if dir := built.dir; dir != "" {
		_ = os.RemoveAll(dir) // the operating system's temporary folder
	}
	os.Exit(code)
}

var built struct {
	sync.Once
	dir, path string
	err       error
	output    []byte
}

// guest builds testdata/guest once and gives the path of the module.
func guest(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("the guest is built by the go command: %v", err)
	}
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "fx-guest-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "guest.wasm")
		built.output, built.err = buildModule("testdata/guest", built.path)
	})
	if built.err != nil {
		t.Fatalf("cannot build the guest: %v\n%s", built.err, built.output)
	}
	return built.path
}

func buildModule(source, target string) ([]byte, error) {
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, ".")
	build.Dir = source
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	return build.CombinedOutput()
}

// session is a guest that waits for orders.
type session struct {
	t       *testing.T
	orders  io.WriteCloser
	answers *bufio.Scanner
	stderr  bytes.Buffer
	ended   chan struct{}
	code    int
	err     error
}

// start runs the guest in this process.
func start(t *testing.T, c wasm.Config) *session {
	t.Helper()
	c.Module = guest(t)
	orders, toGuest := io.Pipe()
	fromGuest, answers := io.Pipe()
	s := &session{t: t, orders: toGuest, answers: bufio.NewScanner(fromGuest), ended: make(chan struct{})}
	c.Stdin, c.Stdout, c.Stderr = orders, answers, &s.stderr
	go func() {
		defer close(s.ended)
		s.code, s.err = wasm.Run(context.Background(), c)
		_ = answers.Close()
	}()
	t.Cleanup(func() {
		_ = toGuest.Close()
		<-s.ended
	})
	return s
}

// ask gives one order and returns the answer, "" if the guest ended instead.
func (s *session) ask(order string) string {
	s.t.Helper()
	if _, err := io.WriteString(s.orders, order+"\n"); err != nil {
		s.t.Fatal(err)
	}
	if !s.answers.Scan() {
		<-s.ended
		return ""
	}
	return s.answers.Text()
}

// exchange is an order and what its answer must contain.
type exchange struct{ name, order, want string }

func (s *session) exchange(list []exchange) {
	s.t.Helper()
	for _, x := range list {
		if got := s.ask(x.order); !strings.Contains(got, x.want) {
			s.t.Errorf("%s: %s: got %q, want %q", x.name, x.order, got, x.want)
		}
	}
}
