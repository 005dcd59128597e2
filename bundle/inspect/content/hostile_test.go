package content_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"fx/bundle/inspect/content"
)

// sample is one hostile file and the rule that has to fire.
type sample struct {
	category, rule, path string
	data                 []byte
}

// hostile is the whole corpus: texts from testdata, and binary files that are
// built here.
func hostile(t testing.TB) []sample {
	files, err := filepath.Glob("testdata/hostile/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hostile corpus: %v", err)
	}
	var list []sample
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			rule, path, _ := strings.Cut(f.Name, "/")
			list = append(list, sample{strings.TrimSuffix(filepath.Base(file), ".txtar"), rule, path, f.Data})
		}
	}
	return append(append(list, secretSamples()...), binarySamples(t)...)
}

// TestHostileCorpus: of files that are written to do harm or to hide it, at least
// 95 of 100 raise the finding that says so.
func TestHostileCorpus(t *testing.T) {
	total, caught := map[string]int{}, map[string]int{}
	all, found := 0, 0
	for _, s := range hostile(t) {
		r, err := content.Scan(s.path, int64(len(s.data)), bytes.NewReader(s.data))
		if err != nil {
			t.Fatal(err)
		}
		var rules []string
		for _, f := range r.Findings {
			rules = append(rules, f.Rule)
		}
		all++
		total[s.category]++
		if slices.Contains(rules, s.rule) {
			found++
			caught[s.category]++
		} else {
			t.Logf("missed: %s %s/%s (type %s) raised %v", s.category, s.rule, s.path, r.Type, rules)
		}
	}
	var words []string
	for c, n := range total {
		words = append(words, fmt.Sprintf("%s %d/%d", c, caught[c], n))
	}
	slices.Sort(words)
	recall := float64(found) / float64(all)
	t.Logf("%d files, recall %.3f: %s", all, recall, strings.Join(words, ", "))
	if all < 120 {
		t.Errorf("the corpus has %d files, want at least 120", all)
	}
	if recall < 0.95 {
		t.Errorf("recall %.3f, want at least 0.95", recall)
	}
}
