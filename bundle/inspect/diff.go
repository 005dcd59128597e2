package inspect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect/finding"
	"fx/bundle/inspect/textdiff"
	"fx/cli/ui"
)

// Diff is what differs between two bundles.
type Diff struct {
	Old          Side           `json:"old"`
	New          Side           `json:"new"`
	Files        []FileChange   `json:"files"`
	Plan         []Change       `json:"plan"`         // facts of the plan, by JSON path
	Dependencies []Change       `json:"dependencies"` // by package and file
	Tensors      []TensorChange `json:"tensors"`      // of the initial model
	TensorsError string         `json:"tensors_error,omitempty"`
	Findings     FindingChanges `json:"findings"`
}

// Side names one of two bundles.
type Side struct {
	BundleID   string `json:"bundle_id"`
	Name       string `json:"name"`
	Version    string `json:"version"`
	TreeSHA256 string `json:"tree_sha256"`
	Verdict    string `json:"verdict"`
}

// FileChange is one file that was added, removed, renamed, or has another mode or
// content.
type FileChange struct {
	Path    string          `json:"path"`
	Kinds   []string        `json:"kinds"` // of added, removed, renamed, mode, content
	OldPath string          `json:"old_path,omitempty"`
	OldMode string          `json:"old_mode,omitempty"`
	NewMode string          `json:"new_mode,omitempty"`
	OldSize int64           `json:"old_size"`
	NewSize int64           `json:"new_size"`
	Added   int             `json:"lines_added"`
	Removed int             `json:"lines_removed"`
	Hunks   []textdiff.Hunk `json:"hunks,omitempty"`
	Reason  string          `json:"reason,omitempty"` // why there is no text to show
}

// Change is a fact that is another one now; "" is none.
type Change struct {
	What string `json:"what"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// FindingChanges compares findings by fingerprint.
type FindingChanges struct {
	New       []finding.Finding `json:"new"`
	Fixed     []finding.Finding `json:"fixed"`
	Unchanged int               `json:"unchanged"`
}

// Compare says what differs between two checked bundles, with their reports.
func Compare(oldBundle, newBundle *bundle.Checked, old, now *Report) (*Diff, error) {
	d := &Diff{Old: old.side(), New: now.side(), Files: []FileChange{}}
	d.files(old.Files, now.Files)
	for i := range d.Files {
		if err := d.Files[i].compareText(oldBundle.Workspace(), newBundle.Workspace()); err != nil {
			return nil, err
		}
	}
	d.Plan = changes(planFacts(&old.Facts), planFacts(&now.Facts))
	d.Dependencies = changes(dependencyFacts(old.Dependencies), dependencyFacts(now.Dependencies))
	var err error
	if d.Tensors, err = compareModels(oldBundle, newBundle); err != nil {
		d.Tensors, d.TensorsError = []TensorChange{}, err.Error()
	}
	d.Findings = compareFindings(old.All(), now.All())
	return d, nil
}

func (r *Report) side() Side {
	return Side{BundleID: r.BundleID, Name: r.Name, Version: r.Version, TreeSHA256: r.TreeSHA256, Verdict: Verdict(r.Decision)}
}

// files pairs files by path, and then what is left by digest.
func (d *Diff) files(old, now []File) {
	byPath, gone := map[string]File{}, map[string][]File{}
	for _, f := range old {
		byPath[f.Path] = f
	}
	there := map[string]bool{}
	for _, f := range now {
		there[f.Path] = true
	}
	for _, f := range old {
		if !there[f.Path] {
			gone[f.SHA256] = append(gone[f.SHA256], f)
		}
	}
	add := func(c FileChange) { d.Files = append(d.Files, c) }
	for _, f := range now {
		c := FileChange{Path: f.Path, NewMode: f.Mode, NewSize: f.Size}
		o, same := byPath[f.Path]
		if list := gone[f.SHA256]; !same && len(list) > 0 && f.Size > 0 {
			o, gone[f.SHA256] = list[0], list[1:]
			c.OldPath, c.Kinds = o.Path, []string{"renamed"}
		} else if !same {
			c.Kinds = []string{"added"}
			add(c)
			continue
		}
		c.OldMode, c.OldSize = o.Mode, o.Size
		if o.Mode != f.Mode {
			c.Kinds = append(c.Kinds, "mode")
		}
		if o.SHA256 != f.SHA256 {
			c.Kinds = append(c.Kinds, "content")
		}
		if len(c.Kinds) > 0 {
			add(c)
		}
	}
	for _, list := range gone {
		for _, f := range list {
			add(FileChange{Path: f.Path, Kinds: []string{"removed"}, OldMode: f.Mode, OldSize: f.Size})
		}
	}
	slices.SortFunc(d.Files, func(a, b FileChange) int { return cmp.Compare(a.Path, b.Path) })
}

const (
	maxDiffText = 2 << 20 // bytes of a text that is compared line by line
	diffContext = 3
)

// compareText shows the lines that differ.
func (c *FileChange) compareText(old, now fs.FS) error {
	if !slices.ContainsFunc(c.Kinds, func(k string) bool { return k == "content" || k == "added" || k == "removed" }) {
		return nil
	}
	if max(c.OldSize, c.NewSize) > maxDiffText {
		c.Reason = fmt.Sprintf("larger than %d bytes", maxDiffText)
		return nil
	}
	var texts [2]string
	for i, tree := range []fs.FS{old, now} {
		if i == 0 && c.OldMode == "" || i == 1 && c.NewMode == "" {
			continue
		}
		data, err := fs.ReadFile(tree, c.Path)
		if err != nil {
			return fmt.Errorf("cannot read %q of the bundle: %w", c.Path, err)
		}
		if !readable(data) {
			c.Reason = "not text"
			return nil
		}
		texts[i] = string(data)
	}
	c.Hunks = textdiff.Compare(texts[0], texts[1], diffContext)
	for h := range c.Hunks {
		for l := range c.Hunks[h].Lines {
			line := &c.Hunks[h].Lines[l]
			line.Text = longLine(line.Text)
			switch line.Kind {
			case textdiff.Added:
				c.Added++
			case textdiff.Removed:
				c.Removed++
			}
		}
	}
	return nil
}

// longLine cleans a line of a diff. It shows much more of it than a finding does,
// and says so where it does not show all.
func longLine(s string) string {
	const most = 4000
	more := ""
	if len(s) > most {
		s, more = strings.ToValidUTF8(s[:most], ""), fmt.Sprintf(" [%d more bytes]", len(s)-most)
	}
	return finding.Clean(s) + more
}

func readable(data []byte) bool {
	for _, b := range data {
		if b == 0 {
			return false
		}
	}
	return true
}

// planFacts flattens what the plan says, without the model, which is compared by
// itself.
func planFacts(f *Facts) map[string]string {
	if f.Plan == nil {
		return map[string]string{"plan": "cannot be used: " + finding.Clean(f.PlanError)}
	}
	p := *f.Plan
	p.Tensors, p.Hash, p.FederationID = nil, "", ""
	for i, t := range slices.Clone(p.Tasks) { // where a function stands is no fact of the plan
		if i == 0 {
			p.Tasks = slices.Clone(p.Tasks)
		}
		t.Line = 0
		p.Tasks[i] = t
	}
	data, err := json.Marshal(p)
	var tree any
	if err == nil {
		err = json.Unmarshal(data, &tree)
	}
	if err != nil {
		return map[string]string{"plan": err.Error()}
	}
	out := map[string]string{}
	flatten(tree, "", out)
	return out
}

func flatten(v any, where string, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			flatten(item, strings.TrimPrefix(where+"."+k, "."), out)
		}
	case []any:
		plain := true
		for _, item := range v {
			switch item.(type) {
			case map[string]any, []any:
				plain = false
			}
		}
		if plain {
			out[where] = finding.Clean(fmt.Sprint(v...))
			return
		}
		for i, item := range v {
			name := fmt.Sprint(i)
			if m, ok := item.(map[string]any); ok {
				if n, ok := m["name"].(string); ok {
					name = n
				}
			}
			flatten(item, where+"["+finding.Clean(name)+"]", out)
		}
	default:
		out[where] = finding.Clean(fmt.Sprint(v))
	}
}

func dependencyFacts(list []Dependency) map[string]string {
	out := map[string]string{}
	for _, d := range list {
		out[d.Name+" in "+d.File] = strings.TrimSpace(d.Version + " " + d.state())
	}
	return out
}

func changes(old, now map[string]string) []Change {
	out := []Change{}
	for k, v := range old {
		if w, ok := now[k]; !ok || v != w {
			out = append(out, Change{k, v, w})
		}
	}
	for k, w := range now {
		if _, ok := old[k]; !ok {
			out = append(out, Change{k, "", w})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.What, b.What) })
	return out
}

func compareFindings(old, now []finding.Finding) FindingChanges {
	c := FindingChanges{New: []finding.Finding{}, Fixed: []finding.Finding{}}
	before := map[string]bool{}
	for _, f := range old {
		before[f.Fingerprint] = true
	}
	after := map[string]bool{}
	for _, f := range now {
		after[f.Fingerprint] = true
		if before[f.Fingerprint] {
			c.Unchanged++
		} else {
			c.New = append(c.New, f)
		}
	}
	for _, f := range old {
		if !after[f.Fingerprint] {
			c.Fixed = append(c.Fixed, f)
		}
	}
	urgent := func(a, b finding.Finding) int { return a.Severity.Rank() - b.Severity.Rank() }
	slices.SortStableFunc(c.New, urgent)
	slices.SortStableFunc(c.Fixed, urgent)
	return c
}

// Same reports whether nothing differs but the signatures.
func (d *Diff) Same() bool { return d.Old.TreeSHA256 == d.New.TreeSHA256 }

// Baseline says when an approval of this decision was signed, the latest that
// counts; "" if none does.
func Baseline(d *approval.Decision) string {
	latest := ""
	for _, s := range d.Counted(approval.ReviewType) {
		latest = max(latest, s.SignedAt)
	}
	if !d.Approved {
		return ""
	}
	return latest
}

// sizes spells what became of a file's size.
func (c FileChange) sizes() string {
	return ui.Bytes(c.OldSize) + " -> " + ui.Bytes(c.NewSize)
}
