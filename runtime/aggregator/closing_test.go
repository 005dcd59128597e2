package aggregator

import (
	"path/filepath"
	"strings"
	"testing"

	"fx/runtime/journal"
)

// slow is a store that takes its time over the next model.
type slow struct {
	journal.Store
	began, goOn chan struct{}
}

func (s *slow) Draft() (journal.Draft, error) {
	d, err := s.Store.Draft()
	return &slowDraft{d, s}, err
}

type slowDraft struct {
	journal.Draft
	s *slow
}

func (d *slowDraft) Commit(name string) error {
	if strings.HasPrefix(name, "models/000001") {
		close(d.s.began)
		<-d.s.goOn
	}
	return d.Draft.Commit(name)
}

// TestAnswersWhileARoundIsClosed: whoever asks for work meanwhile is told to ask
// again soon, and a result that comes too late is dropped.
func TestAnswersWhileARoundIsClosed(t *testing.T) {
	dir := t.TempDir()
	inner, err := journal.OpenDir(filepath.Join(dir, "slow"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	store := &slow{inner, make(chan struct{}), make(chan struct{})}
	b := &testbed{t: t, dir: dir, store: store}
	b.mustStart()
	w := make([]float32, 6)
	sent := make(chan error, 1)
	go func() {
		var err error
		for _, task := range traceTasks {
			for _, name := range []string{"one", "two"} {
				if err == nil {
					err = b.send(name, traceResult(name, task, 0, w))
				}
			}
		}
		sent <- err
	}()
	select {
	case <-store.began:
	case err := <-sent:
		t.Fatalf("all was sent (%v), and no model was made", err)
	}
	resp := b.tasks("one")
	if len(resp.GetTasks()) != 0 || resp.GetQuit() || resp.GetRoundNumber() != 0 || resp.GetSleepTime() != closingSleep {
		t.Errorf("got %v, want nothing to do in round 0 and a pause of %d s", resp, closingSleep)
	}
	b.mustSend("one", traceResult("one", "train", 0, w))
	close(store.goOn)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if resp := b.tasks("one"); resp.GetRoundNumber() != 1 || len(resp.GetTasks()) != len(traceTasks) {
		t.Errorf("got %v, want the tasks of round 1", resp)
	}
}
