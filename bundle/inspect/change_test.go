package inspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"fx/bundle"
	"fx/bundle/approval"
	"fx/bundle/inspect"
)

// checked packs a workspace and reports on it.
func checked(t *testing.T, tree fs.FS) (*bundle.Checked, *inspect.Report) {
	t.Helper()
	var m memory
	ctx := context.Background()
	if _, err := bundle.Create(ctx, &m, tree, bundle.Options{Name: "ward", Version: "1.0"}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(bytes.NewReader(m), int64(len(m)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Check(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := inspect.New(context.Background(), c, b.Judge(nil, approval.Policy{}, nil, time.Unix(1, 0)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

const runner = `import numpy as np


class Runner:
    def train_task(self, model, data):
        loss = np.mean(data)
        return model, {"loss": loss}

    def validate_task(self, model, data):
        return {"accuracy": 1.0}
`

func compare(t *testing.T, old, now fs.FS) (*inspect.Diff, *inspect.Report) {
	t.Helper()
	a, before := checked(t, old)
	b, after := checked(t, now)
	d, err := inspect.Compare(a, b, before, after)
	if err != nil {
		t.Fatal(err)
	}
	after.Changes = d
	return d, after
}

// TestOneLine: a change of one line in a task shows as exactly that line in the
// comparison, on the page, and in the numbers of findings.
func TestOneLine(t *testing.T) {
	old, now := tree(t), tree(t)
	old["src/run.py"].Data = []byte(runner)
	const before, after = "        loss = np.mean(data)", "        loss = np.mean(data); __import__(\"os\").system(\"<id>\")"
	now["src/run.py"].Data = []byte(strings.Replace(runner, before, after, 1))
	d, r := compare(t, old, now)

	if len(d.Files) != 1 || d.Files[0].Path != "src/run.py" || d.Files[0].Added != 1 || d.Files[0].Removed != 1 {
		t.Fatalf("files: %+v", d.Files)
	}
	if len(d.Plan) != 0 || len(d.Dependencies) != 0 || len(d.Tensors) != 0 || d.TensorsError != "" {
		t.Errorf("what did not change is listed: %+v", d)
	}
	for _, f := range d.Findings.New {
		if f.Path != "src/run.py" || f.Line != 6 {
			t.Errorf("a new finding elsewhere: %+v", f)
		}
	}
	if len(d.Findings.Fixed) != 0 || len(d.Findings.New) != 2 { // B605 and hidden-name
		t.Errorf("findings: %d new, %d gone: %+v", len(d.Findings.New), len(d.Findings.Fixed), d.Findings)
	}
	var text bytes.Buffer
	if err := d.Text(&text); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "---") || strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "+++") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(lines) != 2 || lines[0] != "-"+before || lines[1] != "+"+after {
		t.Errorf("lines that differ: %q", lines)
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile(`<span class="(add|del)">([^<]*)</span>`).FindAllStringSubmatch(page.String(), -1)
	if len(marked) != 2 || marked[0][1] != "del" || marked[1][1] != "add" || !strings.Contains(marked[1][2], "&lt;id&gt;") {
		t.Errorf("lines marked on the page: %q", marked)
	}
}

// TestWhatChanged: files, modes, plan, dependencies and tensors.
func TestWhatChanged(t *testing.T) {
	old, now := tree(t), tree(t)
	old["requirements.txt"] = cloned(old[".hidden"], "numpy==1.0\n")
	now["requirements.txt"] = cloned(old[".hidden"], "numpy==2.0\n")
	old["notes/a.txt"] = cloned(old[".hidden"], "the same text in both\n")
	now["notes/b.txt"] = old["notes/a.txt"]
	now["src/run.py"].Mode = 0o644
	delete(now, "-rf")
	now["plan/plan.yaml"].Data = []byte(strings.Replace(plan, "rounds_to_train: 7", "rounds_to_train: 70", 1))
	model := now["save/init.pbuf"].Data
	at := bytes.Index(model, make([]byte, 12))
	if at < 0 {
		t.Fatal("the model has no zeros")
	}
	copy(model[at:], []byte{0, 0, 0, 0x3f, 0, 0, 0, 0x3f, 0, 0, 0, 0x3f}) // 0.5
	d, _ := compare(t, old, now)
	kinds := map[string]string{}
	for _, f := range d.Files {
		kinds[f.Path] = strings.Join(f.Kinds, " ")
	}
	for path, want := range map[string]string{"requirements.txt": "content", "notes/b.txt": "renamed", "src/run.py": "mode", "-rf": "removed", "plan/plan.yaml": "content", "save/init.pbuf": "content"} {
		if kinds[path] != want {
			t.Errorf("%s is %q, want %q", path, kinds[path], want)
		}
	}
	var text bytes.Buffer
	if err := d.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"plan           rounds: 7 -> 70", "dependency     numpy in requirements.txt: ==1.0 pinned -> ==2.0 pinned", "values changed, the largest change is 0.5",
		"notes/b.txt: renamed from notes/a.txt", "gone           MEDIUM -rf (leading-hyphen@", "mode 0755 -> 0644", "-    rounds_to_train: 7\n", "+    rounds_to_train: 70\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, text.String())
		}
	}
}

// cloned is a file as another, with other text.
func cloned(f *fstest.MapFile, text string) *fstest.MapFile {
	return &fstest.MapFile{Mode: f.Mode, Data: []byte(text)}
}

// TestSARIF: the log has what the standard requires.
func TestSARIF(t *testing.T) {
	w := tree(t)
	w["src/run.py"].Data = []byte("import os\nos.system('\\x1b')\n")
	_, r := checked(t, w)
	var b bytes.Buffer
	if err := r.SARIF(&b); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct{ ID string }
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex *int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 || log.Runs[0].Tool.Driver.Name == "" || len(log.Runs[0].Results) < 3 {
		t.Fatalf("log: %+v", log)
	}
	run := log.Runs[0]
	found := false
	for _, res := range run.Results {
		if res.Message.Text == "" || !slices.Contains([]string{"error", "warning", "note"}, res.Level) {
			t.Errorf("result %+v", res)
		}
		if res.RuleIndex != nil && run.Tool.Driver.Rules[*res.RuleIndex].ID != res.RuleID {
			t.Errorf("rule %s has the index of %s", res.RuleID, run.Tool.Driver.Rules[*res.RuleIndex].ID)
		}
		if res.RuleID == "B605" {
			at := res.Locations[0].PhysicalLocation
			found = at.ArtifactLocation.URI == "src/run.py" && at.Region.StartLine == 2 && res.Level == "error"
		}
	}
	if !found {
		t.Error("no result B605 at src/run.py:2")
	}
}

// TestPage: the page loads nothing, says that the bundle is not approved, and
// shows nothing of a bundle as markup.
func TestPage(t *testing.T) {
	w := tree(t)
	w["src/run.py"].Data = []byte("import os\nos.system('<script>alert(1)</script>\u202e')\n")
	_, r := checked(t, w)
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "<img", "<link", "<iframe", "http://", "https://", "\u202e", "\x1b", "@import", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, want := range []string{"NOT APPROVED", "Content-Security-Policy", "default-src &#39;none&#39;", "What runs", "What leaves", "To where, and how often", "Who signed", "What changed", "agg.example.org:50123"} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
