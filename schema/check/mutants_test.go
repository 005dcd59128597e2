package check_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/bundle/workspace"
	"fx/schema"
	"fx/schema/check"
)

// mutant is a plan with one mistake.
type mutant struct {
	text  string
	lines []int  // where the mistake may be reported
	says  string // what the report must hold; "" where there is no single fix
}

// kind is one way to be wrong.
type kind struct {
	name  string
	ids   []string // findings that name this mistake
	apply func(s *subject, emit func(mutant))
}

// Every kind of mistake, at every place of every template plan where it can be
// made, is found, on its line, and the fix is named where there is one. The plans
// are our templates, those of the folder FX_OPENFL_PLANS if it is set, and those
// that name defaults files once more with the defaults written out.
func TestMutants(t *testing.T) {
	subjects := templatePlans(t)
	if len(mutantKinds) < 25 {
		t.Fatalf("only %d kinds of mistakes", len(mutantKinds))
	}
	total, caught, whole := 0, 0, 0
	for _, k := range mutantKinds {
		made, found := 0, 0
		for _, s := range subjects {
			k.apply(s, func(m mutant) {
				if text := canonicalOf(m.text); text != "" && text == s.canonical {
					return // another way to write the same plan
				}
				made++
				if why := missed(s, k, m); why == "" {
					found++
				} else if made-found <= 3 {
					t.Logf("escaped: %s: %s: %s", k.name, s.name, why)
				}
			})
		}
		t.Logf("%-36s %6d of %6d caught", k.name, found, made)
		if made == 0 {
			t.Errorf("%s: there is no place for this mistake", k.name)
		}
		if made > 0 && found == 0 {
			t.Errorf("%s: never caught", k.name)
		}
		if found == made {
			whole++
		}
		total, caught = total+made, caught+found
	}
	share := float64(caught) / float64(total)
	t.Logf("%d plans, %d kinds of mistakes, %d of them caught everywhere; %d of %d mutants caught, %.2f %%",
		len(subjects), len(mutantKinds), whole, caught, total, 100*share)
	if share < 0.98 {
		t.Errorf("%.2f %% of the mutants were caught; at least 98 are wanted", 100*share)
	}
}

// missed says why a mutant counts as not caught, or "".
func missed(s *subject, k kind, m mutant) string {
	found := check.Plan("plan.yaml", []byte(m.text), nil)
	for _, f := range found {
		if slices.Contains(k.ids, f.ID) && slices.Contains(m.lines, f.Line) && strings.Contains(f.String(), m.says) && !s.base[signature(f)] {
			return ""
		}
	}
	var fresh schema.Findings
	for _, f := range found {
		if !s.base[signature(f)] {
			fresh = append(fresh, f)
		}
	}
	line := ""
	if lines := strings.Split(m.text, "\n"); m.lines[0] > 0 {
		line = lines[m.lines[0]-1]
	}
	return fmt.Sprintf("want %s at %v %q saying %q, got:\n%v", strings.Join(k.ids, " or "), m.lines, line, m.says, fresh)
}

func templatePlans(t *testing.T) []*subject {
	t.Helper()
	var out []*subject
	add := func(name string, text []byte) {
		out = append(out, newSubject(t, name, string(text)))
		p, err := schema.ReadPlan("plan.yaml", text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.ContainsFunc(out[len(out)-1].root.Pairs, func(p schema.Pair) bool { return p.Value.Lookup("defaults") != nil }) {
			return
		}
		out = append(out, newSubject(t, name+", defaults written out", string(schema.Dump(p.Config()))))
	}
	for _, template := range workspace.Templates() {
		files, err := workspace.Render(workspace.TemplateOptions{Template: template.Name})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Path == "plan/plan.yaml" {
				add(template.Name, f.Data)
			}
		}
	}
	text, err := os.ReadFile("testdata/digits.yaml") // it has defaults
	if err != nil {
		t.Fatal(err)
	}
	add("testdata/digits.yaml", text)
	folder := os.Getenv("FX_OPENFL_PLANS")
	if folder == "" {
		t.Log("FX_OPENFL_PLANS is not set: only our own templates are used")
		return out
	}
	before := len(out)
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "plan.yaml" && d.Name() != "base_plan_interactive_api.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			add(strings.TrimPrefix(path, folder+"/"), text)
		}
		return err
	})
	if err != nil || len(out) == before {
		t.Fatalf("no plan in %s: %v", folder, err)
	}
	return out
}
