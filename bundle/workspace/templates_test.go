package workspace

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"fx/schema"
)

func render(t testing.TB, o TemplateOptions) map[string]string {
	t.Helper()
	files, err := Render(o)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, f := range files {
		if _, twice := m[f.Path]; twice {
			t.Errorf("%q is there twice", f.Path)
		}
		m[f.Path] = string(f.Data)
	}
	return m
}

// Every template, with each of its models, must give a workspace whose documents
// parse, and mean what the options say.
func TestTemplates(t *testing.T) {
	for _, tmpl := range Templates() {
		models := tmpl.Models
		if len(models) == 0 {
			models = []string{""}
		}
		for _, model := range models {
			t.Run(tmpl.Name+"/"+model, func(t *testing.T) {
				if tmpl.Teaches == "" || tmpl.Data == "" || tmpl.Licence == "" {
					t.Errorf("the template says too little about itself: %+v", tmpl)
				}
				names := []string{"north", "south", "y", "1e3"}
				files := render(t, TemplateOptions{Template: tmpl.Name, Model: model, Collaborators: names, Host: "agg.example.org", Port: 4321, Rounds: 6})
				for _, path := range []string{".workspace", "README.md", "plan/plan.yaml", "plan/cols.yaml", "plan/data.yaml"} {
					if files[path] == "" {
						t.Errorf("there is no %s", path)
					}
				}
				text := files["plan/plan.yaml"]
				line, rest, _ := strings.Cut(text, "\n")
				if line != "# yaml-language-server: $schema=plan.schema.json" || files["plan/plan.schema.json"] != schema.PlanSchema() {
					t.Errorf("an editor does not find the schema: the plan begins %q", line)
				}
				p, err := schema.ParsePlan("plan.yaml", []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				bare, err := schema.ParsePlan("plan.yaml", []byte(rest))
				if err != nil {
					t.Fatal(err)
				}
				ids, _, err := p.Identify(schema.ResolveOptions{})
				same, _, err2 := bare.Identify(schema.ResolveOptions{})
				if err != nil || err2 != nil || ids != same {
					t.Errorf("the line for editors changes the ids: %+v, %+v, %v, %v", ids, same, err, err2)
				}
				r, err := p.Resolve(schema.ResolveOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if r.Network.Host != "agg.example.org" || r.Network.Port != 4321 || r.Aggregator.Rounds != 6 || !r.Network.TLS || !r.Network.RequireClientAuth || !r.Network.NewConnectionPerRequest {
					t.Errorf("got %+v, %+v", r.Network, r.Aggregator)
				}
				if got, err := schema.ParseCols("cols.yaml", []byte(files["plan/cols.yaml"])); err != nil || !slices.Equal(got, names) {
					t.Errorf("collaborators are %q, %v, want %q", got, err, names)
				}
				paths, err := schema.ParseData("data.yaml", []byte(files["plan/data.yaml"]))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range paths {
					if there := hasBelow(files, p.Path+"/"); there != (tmpl.data != nil) {
						t.Errorf("data for %s in %s: %v, want %v", p.Name, p.Path, there, tmpl.data != nil)
					}
				}
				if r.DataLoader.Template != "fx.builtin.NoData" && len(paths) != len(names) {
					t.Errorf("data.yaml has %d lines, want %d", len(paths), len(names))
				}
				builtin := strings.HasPrefix(r.TaskRunner.Template, "fx.builtin.")
				if hasBelow(files, "src/") == builtin || len(tmpl.Needs) == 0 != builtin {
					t.Errorf("task runner %s, code in src: %v, needs: %q", r.TaskRunner.Template, hasBelow(files, "src/"), tmpl.Needs)
				}
				for path, data := range files {
					if !strings.HasPrefix(path, "src/") && strings.Contains(data, "{{") || strings.Contains(data, "<no value>") {
						t.Errorf("%s is not filled in", path)
					}
				}
			})
		}
	}
}

// hasBelow tells whether one of the files is below a folder.
func hasBelow(files map[string]string, folder string) bool {
	for path := range files {
		if strings.HasPrefix(path, folder) {
			return true
		}
	}
	return false
}

// A new workspace of every template is sound: the initial model, which needs a
// task runner, is all that it lacks.
func TestTemplatesAreSound(t *testing.T) {
	for _, tmpl := range Templates() {
		t.Run(tmpl.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ward")
			files, err := Render(TemplateOptions{Template: tmpl.Name})
			if err != nil {
				t.Fatal(err)
			}
			if err := Write(dir, files, func(string) error { return nil }); err != nil {
				t.Fatal(err)
			}
			for _, f := range checkTree(os.DirFS(dir)) {
				built := f.ID == "missing-module" && tmpl.Build != "" // the command makes the module
				if f.ID != "missing-model" && !built {
					t.Errorf("%s", f)
				}
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	for _, tt := range []struct {
		o    TemplateOptions
		want string
	}{
		{TemplateOptions{Template: "digit"}, `did you mean "digits"`},
		{TemplateOptions{Template: "digits", Model: "cnn"}, "allowed: mlp, softmax"},
		{TemplateOptions{Template: "no-op", Model: "mlp"}, "no choice of models"},
		{TemplateOptions{Template: "digits-numpy", Model: "mlp"}, "no choice of models"},
		{TemplateOptions{Template: "no-op", Collaborators: []string{"a", "a"}}, "twice"},
		{TemplateOptions{Template: "no-op", Collaborators: []string{"Hospital A"}}, "Hospital A"},
		{TemplateOptions{Template: "no-op", Collaborators: []string{"model"}}, "model"},
		{TemplateOptions{Template: "digits", Collaborators: []string{"holdout"}}, "test data"},
		{TemplateOptions{Template: "no-op", Collaborators: make([]string, 65)}, "up to 64"},
		{TemplateOptions{Template: "no-op", Host: "a b"}, "a b"},
		{TemplateOptions{Template: "no-op", Port: 70000}, "70000"},
		{TemplateOptions{Template: "no-op", Port: -1}, "-1"},
		{TemplateOptions{Template: "no-op", Rounds: -1}, "-1 rounds"},
	} {
		if _, err := Render(tt.o); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want an ErrInvalid with %q", tt.o, err, tt.want)
		}
	}
}

// The shipped data is the file that SOURCE.md says it is.
func TestDigitsSource(t *testing.T) {
	packed, err := templateFiles.ReadFile("templates/digits/digits.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	source, err := templateFiles.ReadFile("templates/digits/SOURCE.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(packed)
	if !strings.Contains(string(source), hex.EncodeToString(sum[:])) {
		t.Errorf("SOURCE.md does not have the digest %x", sum)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(text, []byte("\n")); got != 1797 {
		t.Errorf("the file has %d rows, want 1797", got)
	}
}

// Whatever the number of sites, every image is dealt exactly once, every site
// has training and validation data, and two deals are equal.
func TestDigitsDeal(t *testing.T) {
	rows, err := readDigits()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{} // some images might be equal: count them
	for _, r := range rows {
		all[string(r.line)]++
	}
	for _, n := range []int{1, 2, 3, 4, 7, 10, 11, 25, MaxCollaborators} {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("site-%d", i))
		}
		files, err := digitsData(names)
		if err != nil {
			t.Fatal(err)
		}
		dealt := map[string]int{}
		for _, f := range files {
			if !strings.HasSuffix(f.Path, ".csv") {
				continue
			}
			if len(f.Data) == 0 {
				t.Errorf("%d sites: %s is empty", n, f.Path)
			}
			for _, line := range strings.Fields(string(f.Data)) {
				dealt[line]++
			}
		}
		if !reflect.DeepEqual(dealt, all) {
			t.Errorf("%d sites: the files do not hold every image exactly once", n)
		}
		again, err := digitsData(names)
		if err != nil || !reflect.DeepEqual(again, files) {
			t.Errorf("%d sites: a second deal differs", n)
		}
	}
}

func TestWrite(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "deep", "ward")
	files := []File{{Path: "a.txt", Data: []byte("A")}, {Path: "plan/b.sh", Data: []byte("B"), Mode: 0o755}}
	err := Write(dir, files, func(folder string) error {
		if _, err := os.Stat(dir); err == nil {
			t.Error("the workspace is there before it is whole")
		}
		return os.WriteFile(filepath.Join(folder, "c.txt"), []byte("C"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.txt": "A", "plan/b.sh": "B", "c.txt": "C"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]bool{"a.txt": false, "plan/b.sh": true} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || runtime.GOOS != "windows" && info.Mode()&0o100 != 0 != want {
			t.Errorf("%s has the mode %v, %v", name, info.Mode(), err)
		}
	}
	never := func(string) error { t.Error("finish was called"); return nil }
	if err := Write(dir, files, never); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder that is not empty: got %v", err)
	}
	if err := Write(filepath.Join(dir, "a.txt"), files, never); err == nil {
		t.Error("a file is taken for a folder")
	}
	empty := filepath.Join(parent, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(empty, files, func(string) error { return nil }); err != nil {
		t.Errorf("an empty folder: got %v", err)
	}
	cause := errors.New("finish failed")
	if err := Write(filepath.Join(parent, "bad"), files, func(string) error { return cause }); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	left, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() != "deep" && e.Name() != "empty" {
			t.Errorf("%q is left behind", e.Name())
		}
	}
	t.Chdir(empty)
	if err := Write(".", files, never); err == nil {
		t.Error("the current folder is replaced")
	}
}
