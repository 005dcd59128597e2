package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testdata/vectors holds documents and what PyYAML 6.0.3 makes of them.
func TestDumpVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".dump")
			if err != nil {
				t.Fatal(err)
			}
			root, err := ReadYAML(file, source, MaxPlanBytes)
			if err != nil {
				t.Fatal(err)
			}
			if got := Dump(root); string(got) != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
