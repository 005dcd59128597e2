package content_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"fx/bundle/inspect/content"
	"fx/bundle/inspect/finding"
)

// cleanCorpora are the folders of honest code that FX_CLEAN_CORPUS lists, separated
// as PATH is. scripts/peers/clean-corpus.sh finds scikit-learn's and OpenFL's.
func cleanCorpora(t *testing.T) []string {
	list := os.Getenv("FX_CLEAN_CORPUS")
	if list == "" {
		t.Skip("FX_CLEAN_CORPUS names no folder of honest code; scripts/peers/clean-corpus.sh does")
	}
	return filepath.SplitList(list)
}

// TestCleanCorpus: honest code raises at most one high finding per 1,000 lines.
func TestCleanCorpus(t *testing.T) {
	for _, dir := range cleanCorpora(t) {
		lines, files := 0, 0
		var found []finding.Finding
		err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			switch ext := filepath.Ext(p); ext {
			case ".so", ".pyc": // a distribution's build of it, not its source
				return nil
			}
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(dir, p)
			r, err := content.Scan(filepath.ToSlash(rel), int64(len(data)), bytes.NewReader(data))
			if err != nil {
				return err
			}
			if r.Type == "python" || r.Type == "text" || r.Type == "yaml" || r.Type == "shell" {
				lines += bytes.Count(data, []byte("\n"))
			}
			files++
			found = append(found, r.Findings...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		n := finding.Count(finding.Seal(found))
		rate := float64(n[finding.High]) * 1000 / float64(max(lines, 1))
		t.Logf("%s: %d files, %d lines: %d high (%.3f per 1,000 lines), %d medium, %d low", filepath.Base(dir), files, lines, n[finding.High], rate, n[finding.Medium], n[finding.Low])
		rules := map[string]int{}
		for _, f := range found {
			rules[string(f.Severity)+" "+f.Rule]++
			if f.Severity == finding.High && testing.Verbose() {
				t.Logf("%s:%d %s %s | %s", f.Path, f.Line, f.Rule, f.Message, f.Code)
			}
		}
		var names []string
		for r := range rules {
			names = append(names, r)
		}
		sort.Strings(names)
		for _, r := range names {
			t.Logf("%6d %s", rules[r], r)
		}
		if lines < 1000 {
			t.Errorf("%s has %d lines, too few to say anything", dir, lines)
		}
		if rate > 1 {
			t.Errorf("%s: %.3f high findings per 1,000 lines, allowed is 1", dir, rate)
		}
	}
}
