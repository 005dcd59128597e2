//go:build linux

package aggregator

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fx/bundle"
	"fx/runtime/journal"
	"fx/schema"
)

// Where a child of this test works, in its environment, and before which durable
// step it is to be killed; 0 writes them all down.
const (
	durableDir  = "FX_TEST_DURABLE_DIR"
	durableKill = "FX_TEST_DURABLE_KILL"
)

// TestKilledAtEveryDurableStep runs a federation of two rounds, with a pipeline
// that loses values and an optimizer with a memory, in a process that kills itself
// right before a durable step of the journal, which is right after the one before.
// Started again it must come to the same final model, and must have every result
// that was acknowledged. Every sixteenth step is tried, each with FX_EVERY_STEP=1.
func TestKilledAtEveryDurableStep(t *testing.T) {
	calm := t.TempDir()
	all, steps, err := durableRun(t, calm, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := finalModel(t, calm)
	for _, what := range []string{
		"link rounds/000001/results/_train/_one.pb", "sync folder rounds/000001/results/_train", "link rounds/000000/closing.json",
		"sync rounds/000000/outcome.json", "link models/000001.safetensors", "link state/000001.safetensors", "link steps/000001.pbuf",
		"link quit/_two", "mkdir peers/_one",
	} {
		if !slices.Contains(steps, what) {
			t.Errorf("no durable step is %q", what)
		}
	}
	every := 16
	if os.Getenv("FX_EVERY_STEP") != "" {
		every = 1
	}
	for k := 1; k <= len(steps); k += every {
		dir := t.TempDir()
		acked, _, err := durableRun(t, dir, k)
		if err == nil {
			t.Fatalf("nothing was killed before step %d of %d", k, len(steps))
		}
		again, _, err := durableRun(t, dir, 0)
		if err != nil {
			t.Fatalf("killed before step %d, %q, it does not end well: %v", k, steps[k-1], err)
		}
		if got := finalModel(t, dir); got != want {
			t.Errorf("killed before step %d, %q, the final model is %s, undisturbed it is %s", k, steps[k-1], got, want)
		}
		if !slices.Equal(again, all) {
			t.Errorf("killed before step %d, %q, it acknowledges %q, undisturbed %q", k, steps[k-1], again, all)
		}
		lost(t, dir, acked)
	}
	t.Logf("%d durable steps", len(steps))
}

// killBefore kills this process before the nth durable step, or writes down all.
func killBefore(n int) func(step, name string) {
	var mu sync.Mutex
	count := 0
	return func(step, name string) {
		mu.Lock()
		defer mu.Unlock()
		if count++; count == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal comes before anything else does
		}
		if n == 0 {
			fmt.Printf("step %s %s\n", step, name)
		}
	}
}

// durableRun runs the child in a folder and returns what it acknowledged and, unless
// it is killed, its durable steps.
func durableRun(t *testing.T, dir string, kill int) (acked, steps []string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestDurableChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), durableDir+"="+dir, durableKill+"="+strconv.Itoa(kill))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if ack, ok := strings.CutPrefix(line, "ack "); ok {
			acked = append(acked, ack)
		}
		if step, ok := strings.CutPrefix(line, "step "); ok {
			steps = append(steps, step)
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("the child fails by itself: %v: %s", err, out.String())
	}
	return acked, steps, err
}

func finalModel(t *testing.T, dir string) string {
	t.Helper()
	s, err := journal.OpenReadOnly(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	j, _, err := journal.Read(s)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := j.ModelSHA256(2)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// lost requires every acknowledged result in its round's decision.
func lost(t *testing.T, dir string, acked []string) {
	t.Helper()
	s, err := journal.OpenReadOnly(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	j, _, err := journal.Read(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, ack := range acked {
		parts := strings.Fields(ack)
		round, err := strconv.Atoi(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := j.Closing(round)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(c.Results, func(e journal.ResultEntry) bool { return e.Task == parts[1] && e.Collaborator == parts[2] }) {
			t.Errorf("the acknowledged result %q is in no decision", ack)
		}
	}
}

// TestDurableChild is the process that TestKilledAtEveryDurableStep kills: it
// starts from what is in its folder, and plays all collaborators. What it sends
// again is dropped.
func TestDurableChild(t *testing.T) {
	dir := os.Getenv(durableDir)
	if dir == "" {
		t.Skip("it is a part of TestKilledAtEveryDurableStep")
	}
	kill, err := strconv.Atoi(os.Getenv(durableKill))
	if err != nil {
		t.Fatal(err)
	}
	b := &testbed{t: t, dir: dir, before: killBefore(kill), edit: func(f *bundle.Federation) {
		with("EdenPipeline", nil, true)(f)
		f.Plan.Tasks[1].Aggregation = schema.Component{Template: "fx.aggregation.FedAvgM"}
	}}
	b.mustStart()
	for round := range int32(2) {
		for _, name := range []string{"one", "two"} {
			for _, task := range traceTasks {
				r := traceResult(name, task, round, []float32{0, 1, 2, 3, 4, float32(round)})
				if err := b.send(name, r); err != nil {
					t.Fatal(err)
				}
				fmt.Printf("ack %d %s %s\n", round, task, name)
			}
		}
	}
	for _, name := range []string{"one", "two"} {
		if !b.tasks(name).GetQuit() {
			t.Errorf("%s is not told to leave", name)
		}
	}
}
