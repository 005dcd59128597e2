package collaborator

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	openflpb "fx/proto"
)

// A finished task that a disk has damaged is done again, and the aggregator gets
// what it would have got.
func TestDamagedWorkIsDoneAgain(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, record, output string){
		"a record that is cut off":  func(t *testing.T, record, _ string) { cut(t, record) },
		"an output that is cut off": func(t *testing.T, _, output string) { cut(t, output) },
		"an output that is gone": func(t *testing.T, _, output string) {
			if err := os.Remove(output); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			first := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
			if _, err := s.run(first); err != nil {
				t.Fatal(err)
			}
			damage(t, only(t, s, "*.json"), only(t, s, "*.safetensors"))
			s.runner.ran = nil
			again := &script{answers: []*openflpb.GetTasksResponse{work("train")}}
			if _, err := s.run(again); err != nil {
				t.Fatal(err)
			}
			if want := []string{"train[1 2]"}; !slices.Equal(s.runner.ran, want) {
				t.Errorf("it ran %q, want %q", s.runner.ran, want)
			}
			if got, want := again.received[0].String(), first.received[0].String(); got != want {
				t.Errorf("it sent %s, want %s", got, want)
			}
		})
	}
}

// only is the one file of a pattern among a site's finished tasks.
func only(t *testing.T, s *site, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, "journal", "rounds", "000000", pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("finished tasks %q, %v; want one", found, err)
	}
	return found[0]
}

func cut(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
}
