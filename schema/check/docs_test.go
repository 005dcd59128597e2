package check

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var findingID = regexp.MustCompile(`(?:[fF]inding\(|ID: |ID, (?:f|whole)\.\w+ = |complain\(\w+, |ID = |id, message := |id, message = |id := |node, id := [^,]+, |\bid = |problem\([^"]*)"([a-z]+(?:-[a-z]+)*)"`)

// docs/plan.md lists every id that a finding can have, and every key.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := func(word string) bool { return strings.Contains(string(text), "`"+word+"`") }
	sources, err := filepath.Glob("../*.go")
	more, err2 := filepath.Glob("*.go")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	ids := map[string]bool{}
	for _, file := range append(sources, more...) {
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
	if len(ids) < 35 {
		t.Errorf("only %d ids were found in the sources", len(ids))
	}
	for id := range ids {
		if !documented(id) {
			t.Errorf("docs/plan.md does not explain the finding %q", id)
		}
	}
	defs := loadSchema().document.(map[string]any)["$defs"].(map[string]any)
	for _, def := range []string{"aggregatorSettings", "collaboratorSettings", "networkSettings", "task", "csvDataLoader", "mlp"} {
		for _, key := range keysOf(defs[def].(map[string]any)["properties"]) {
			if !documented(key) {
				t.Errorf("docs/plan.md does not explain the key %q of %s", key, def)
			}
		}
	}
}
