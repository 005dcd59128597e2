package workspace

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
	"text/template"

	"fx/ca/identity"
	"fx/schema"
)

//go:embed templates
var templateFiles embed.FS

// Template is a kind of workspace to start from.
type Template struct {
	Name    string   `json:"name"`
	Teaches string   `json:"teaches"`
	Data    string   `json:"data"`
	Licence string   `json:"licence"`          // of the data
	Models  []string `json:"models,omitempty"` // to choose from, the default first

	rounds int
	data   func(collaborators []string) ([]File, error)
}

// Templates lists what there is.
func Templates() []Template {
	return []Template{
		{
			Name:    "digits",
			Teaches: "learning together: sites with unlike data get a model that none could train alone",
			Data:    "1,797 handwritten digits, 8×8 pixels, dealt to the sites, some held out",
			Licence: "CC BY 4.0 (UCI, doi:10.24432/C50P49)",
			Models:  []string{"mlp", "softmax"},
			rounds:  10,
			data:    digitsData,
		},
		{
			Name:    "no-op",
			Teaches: "connecting: proves certificates, approvals and network without data or task code",
			Data:    "none",
			Licence: "none needed",
			rounds:  1,
		},
	}
}

// TemplateOptions say how to fill in a template. Zero values mean its defaults.
type TemplateOptions struct {
	Template      string
	Model         string   // one of the template's models
	Collaborators []string // three hospitals
	Host          string   // the aggregator's name or address; localhost
	Port          int      // the aggregator's port; 50051
	Rounds        int
}

// MaxCollaborators is how many a template serves.
const MaxCollaborators = 64

// File is one file of a new workspace, by its slash-separated path.
type File struct {
	Path string
	Data []byte
}

// Render makes the files of a new workspace, except the initial model, which
// only a task runner can make. The same options give the same bytes. Errors that
// are the options' fault wrap schema.ErrInvalid.
func Render(o TemplateOptions) ([]File, error) {
	t, err := find(o.Template)
	if err != nil {
		return nil, err
	}
	v, err := fill(t, o)
	if err != nil {
		return nil, err
	}
	files := []File{{Path: ".workspace"}}
	if files[0].Data, err = fs.ReadFile(templateFiles, "templates/common/workspace.yaml"); err != nil {
		return nil, err
	}
	for _, f := range []struct{ to, from string }{
		{"README.md", t.Name + "/README.md.tmpl"},
		{"plan/cols.yaml", "common/cols.yaml.tmpl"},
		{"plan/data.yaml", t.Name + "/data.yaml.tmpl"},
		{"plan/plan.yaml", t.Name + "/plan.yaml.tmpl"},
	} {
		data, err := execute(f.from, v)
		if err != nil {
			return nil, err
		}
		files = append(files, File{f.to, data})
	}
	files = append(files, File{schemaFile, []byte(schema.PlanSchema())})
	if t.data != nil {
		data, err := t.data(v.Collaborators)
		if err != nil {
			return nil, err
		}
		files = append(files, data...)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

func find(name string) (Template, error) {
	var names []string
	for _, t := range Templates() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	hint := ""
	if s := schema.DidYouMean(name, names); s != "" {
		hint = "; " + s
	}
	return Template{}, fmt.Errorf("%w: there is no workspace template %q; allowed: %s%s", schema.ErrInvalid, name, strings.Join(names, ", "), hint)
}

// values is what templates may use.
type values struct {
	Collaborators []string
	Host          string
	Port, Rounds  int
	TaskRunner    string
}

func fill(t Template, o TemplateOptions) (values, error) {
	v := values{Collaborators: o.Collaborators, Host: o.Host, Port: o.Port, Rounds: o.Rounds}
	if len(v.Collaborators) == 0 {
		v.Collaborators = []string{"hospital-a", "hospital-b", "hospital-c"}
	}
	if v.Host == "" {
		v.Host = "localhost"
	}
	if v.Port == 0 {
		v.Port = 50051
	}
	if v.Rounds == 0 {
		v.Rounds = t.rounds
	}
	if err := v.check(); err != nil {
		return v, fmt.Errorf("%w: %v", schema.ErrInvalid, err)
	}
	switch {
	case len(t.Models) == 0 && o.Model != "":
		return v, fmt.Errorf("%w: template %q has no choice of models, found %q", schema.ErrInvalid, t.Name, o.Model)
	case len(t.Models) == 0:
		return v, nil
	case o.Model == "":
		o.Model = t.Models[0]
	case !slices.Contains(t.Models, o.Model):
		return v, fmt.Errorf("%w: template %q has no model %q; allowed: %s", schema.ErrInvalid, t.Name, o.Model, strings.Join(t.Models, ", "))
	}
	section, err := fs.ReadFile(templateFiles, path.Join("templates", t.Name, "model-"+o.Model+".yaml"))
	v.TaskRunner = string(section)
	return v, err
}

func (v values) check() error {
	var errs []error
	if len(v.Collaborators) > MaxCollaborators {
		errs = append(errs, fmt.Errorf("there are %d collaborators; a template serves up to %d", len(v.Collaborators), MaxCollaborators))
	}
	for i, name := range v.Collaborators {
		if err := identity.CheckName(identity.Collaborator, name); err != nil {
			errs = append(errs, err)
		}
		if slices.Contains(v.Collaborators[:i], name) {
			errs = append(errs, fmt.Errorf("collaborator %q is there twice", name))
		}
		if name == holdout {
			errs = append(errs, fmt.Errorf("the name %q is that of the test data; choose another", name))
		}
	}
	if err := identity.CheckName(identity.Aggregator, v.Host); err != nil {
		errs = append(errs, err)
	}
	if ip, err := netip.ParseAddr(v.Host); err == nil && ip.IsUnspecified() {
		errs = append(errs, fmt.Errorf("nobody can connect to the address %s", v.Host))
	}
	if v.Port < 1 || v.Port > 65535 {
		errs = append(errs, fmt.Errorf("the port is %d; allowed are 1 to 65535", v.Port))
	}
	if v.Rounds < 1 || v.Rounds > 1_000_000 {
		errs = append(errs, fmt.Errorf("there are %d rounds; allowed are 1 to 1000000", v.Rounds))
	}
	return errors.Join(errs...)
}

func execute(name string, v values) ([]byte, error) {
	t, err := template.New(path.Base(name)).Option("missingkey=error").ParseFS(templateFiles, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("cannot read template %q: %v", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("cannot fill in template %q: %v", name, err)
	}
	return b.Bytes(), nil
}
