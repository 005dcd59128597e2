//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"fx/runtime/sandbox"
)

func TestEverythingDies(t *testing.T) {
	const daemon = "(setsid sh -c 'setsid sleep 1000 & setsid sleep 1000' &) ; echo up; "
	for _, level := range levels {
		for name, c := range map[string]struct {
			script string
			end    func(*sandbox.Process)
		}{
			"after the program": {daemon + "exit 0", func(*sandbox.Process) {}},
			"after Kill":        {daemon + "sleep 1000", (*sandbox.Process).Kill},
		} {
			t.Run(fmt.Sprintf("%s/%s", level, name), func(t *testing.T) {
				p, out := startShell(t, level, c.script, nil)
				head := make([]byte, 3)
				if _, err := io.ReadFull(out, head); err != nil {
					t.Fatal(err)
				}
				c.end(p)
				p.Wait()
				// Whoever lives holds the other end.
				if err := out.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(out); err != nil {
					t.Errorf("somebody is left: %v", err)
				}
			})
		}
	}
}

func TestParentKilled(t *testing.T) {
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/proc/self/exe", "parent", string(level), hostDir(t))
			cmd.Stdout, cmd.Stderr = w, os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = w.Close()
			head := make([]byte, 3)
			if _, err := io.ReadFull(r, head); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); err != nil {
				t.Errorf("somebody is left: %v", err)
			}
		})
	}
}

// parent starts a box and is killed.
func parent(level sandbox.Level, dir string) int {
	b := sandbox.Box{Level: level, HostDir: dir, Show: system(), Stdout: os.Stdout,
		Argv: []string{"sh", "-c", "setsid sleep 1000 & echo up; sleep 1000"}}
	p, err := sandbox.Start(context.Background(), b)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return p.Wait().Code
}

func TestStartIsBoundedByContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sandbox.Start(ctx, sandbox.Box{Argv: []string{"true"}, Show: system()}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	ctx, cancel = context.WithCancel(t.Context())
	p, err := sandbox.Start(ctx, sandbox.Box{Argv: []string{"sleep", "0.05"}, Show: system()})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // too late to matter
	if exit := p.Wait(); exit.Code != 0 {
		t.Errorf("exit %+v, want success", exit)
	}
}
