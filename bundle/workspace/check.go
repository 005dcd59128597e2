package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"fx/schema"
)

// Files of a workspace, by OpenFL's layout.
const (
	planFile         = "plan/plan.yaml"
	rosterFile       = "plan/cols.yaml"
	dataFile         = "plan/data.yaml"
	requirementsFile = "requirements.txt"
)

// Folder is a workspace folder that is checked.
type Folder struct {
	PlanFile string         // name of the plan for messages
	PlanData []byte         // nil if there is no plan
	Roster   []*schema.Node // nil if there is none that can be read

	root  fs.FS
	dir   string
	plan  *schema.Plan // nil if there is none that can be read
	found schema.Findings
}

// OpenFolder reads plan and roster of the workspace root, which messages call
// dir. What is missing or cannot be read is a finding of Check. Nothing outside
// root is read if it comes from os.Root, and nothing at all through a link.
func OpenFolder(root fs.FS, dir string) *Folder {
	f := &Folder{root: root, dir: dir}
	f.PlanFile = f.name(planFile)
	if data, ok := f.document(planFile, schema.MaxPlanBytes, "fxctl workspace create DIR --template digits"); ok {
		f.PlanData = data
		if plan, err := schema.ReadPlan(f.PlanFile, data); err == nil {
			f.plan = plan // else schema/check says what is wrong with it
		}
	}
	if data, ok := f.document(rosterFile, maxList, "write the names of the collaborators below collaborators:"); ok {
		nodes, err := schema.ReadCols(f.name(rosterFile), data)
		if found, is := errors.AsType[schema.Findings](err); is {
			f.found = append(f.found, found...)
		} else if f.Roster = nodes; nodes == nil {
			f.Roster = []*schema.Node{}
		}
	}
	return f
}

// Check returns everything that is wrong with the folder apart from its plan:
// roster, data.yaml, requirements.txt, Python code, initial model, and what does
// not belong into a workspace. portable says whether a path can be in a bundle.
// Nothing of the workspace is run. The findings are not sorted.
func (f *Folder) Check(portable func(path string) error) schema.Findings {
	f.data()
	f.requirements()
	f.code()
	f.model()
	f.walk(portable)
	return f.found
}

// name is how messages call a file of the workspace.
func (f *Folder) name(file string) string { return path.Join(f.dir, file) }

func (f *Folder) add(finding schema.Finding) { f.found = append(f.found, finding) }

// in starts a finding of severity error about a file, at a line or, if that is
// 0, as a whole.
func (f *Folder) in(file, id string, line, column int, format string, a ...any) schema.Finding {
	return schema.Finding{
		ID: id, Severity: schema.SeverityError, File: f.name(file), Line: line, Column: column,
		Message: fmt.Sprintf(format, a...),
	}
}

func (f *Folder) warn(finding schema.Finding) {
	finding.Severity = schema.SeverityWarning
	f.add(finding)
}

// document reads a file that must be there.
func (f *Folder) document(file string, limit int64, hint string) ([]byte, bool) {
	data, err := readLimited(f.root, file, limit)
	if err == nil {
		return data, true
	}
	finding := f.in(file, "missing-file", 0, 0, "the file is not there, and a workspace needs it")
	finding.Hint = hint
	if !errors.Is(err, fs.ErrNotExist) {
		finding = f.in(file, "unreadable", 0, 0, "%s", cause(err))
	}
	f.add(finding)
	return nil, false
}

// cause is an error without what a finding says elsewhere.
func cause(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), schema.ErrInvalid.Error()+": "), "cannot read the workspace: ")
}

// at is the place of a node of the plan, as its author sees it.
func (f *Folder) at(n *schema.Node, id, where, format string, a ...any) schema.Finding {
	return f.plan.Locate(n.Finding(id, where, fmt.Sprintf(format, a...)))
}

// template is the class that a section of the plan names, "" if there is none.
func (f *Folder) template(section string) string {
	if f.plan == nil {
		return ""
	}
	if n := f.plan.Config().At(section, "template"); n != nil && n.Kind == schema.KindString {
		return schema.CanonicalTemplate(n.Text)
	}
	return ""
}
