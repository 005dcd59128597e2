package workspace

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var findingID = regexp.MustCompile(`(?:f\.in\([^"]*|f\.at\([^"]*|note\(|complain\(|n\.Finding\()"([a-z]+(?:-[a-z]+)*)"`)

// docs/workspace.md lists every id that a finding of Check can have.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/workspace.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("check*.go")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, file := range sources {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range findingID.FindAllStringSubmatch(string(source), -1) {
			ids[m[1]] = true
		}
	}
	if len(ids) < 24 {
		t.Errorf("only %d ids were found in the sources", len(ids))
	}
	for id := range ids {
		if !strings.Contains(string(text), "`"+id+"`") {
			t.Errorf("docs/workspace.md does not explain the finding %q", id)
		}
	}
}
