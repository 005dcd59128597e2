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
	Needs   []string `json:"needs,omitempty"`  // what must be installed, besides fxrun and Linux
	Build   string   `json:"build,omitempty"`  // a command to type in the new workspace

	rounds int
	data   func(collaborators []string) ([]File, error)
}

const (
	digitsText    = "1,797 handwritten digits, 8×8 pixels, dealt to the sites, some held out"
	digitsLicence = "CC BY 4.0 (UCI, doi:10.24432/C50P49)"
)

// Templates lists what there is.
func Templates() []Template {
	return []Template{
		{
			Name:    "digits",
			Teaches: "learning together: sites with unlike data get a model that none could train alone",
			Data:    digitsText,
			Licence: digitsLicence,
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
		{
			Name:    "digits-numpy",
			Teaches: "a model of your own: classes written for OpenFL, with NumPy",
			Data:    digitsText,
			Licence: digitsLicence,
			Needs:   []string{"python3 with NumPy"},
			rounds:  10,
			data:    digitsData,
		},
		{
			Name:    "digits-torch",
			Teaches: "a PyTorch module and Adam, whose state stays at the site",
			Data:    digitsText,
			Licence: digitsLicence,
			Needs:   []string{"python3 with PyTorch"},
			rounds:  10,
			data:    digitsData,
		},
		{
			Name:    "tabular-sklearn",
			Teaches: "a table and an estimator of scikit-learn",
			Data:    "569 tumours, 30 measurements each, which come with scikit-learn",
			Licence: "CC BY 4.0 (UCI, doi:10.24432/C5DW2B)",
			Needs:   []string{"python3 with scikit-learn"},
			rounds:  10,
		},
		{
			Name:    "histogram",
			Teaches: "federated analytics: a histogram over all sites, by a program without packages",
			Data:    "invented patients: age and days of stay",
			Licence: "none needed",
			Needs:   []string{"/usr/bin/python3"},
			rounds:  1,
			data:    patientsData,
		},
		{
			Name:    "shell",
			Teaches: "any program can be task code: the mean image of all digits, by a shell script",
			Data:    digitsText,
			Licence: digitsLicence,
			Needs:   []string{"/usr/bin/jq"},
			rounds:  2,
			data:    digitsData,
		},
		{
			Name:    "wasm-go",
			Teaches: "a WebAssembly module, built from Go, that needs nothing at a site but fxrun",
			Data:    digitsText,
			Licence: digitsLicence,
			Needs:   []string{"Go 1.24, once, to build the module"},
			Build:   "GOOS=wasip1 GOARCH=wasm go build -C src -trimpath -buildvcs=false -ldflags '-s -w' -o model.wasm .",
			rounds:  10,
			data:    digitsData,
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

// File is one file of a new workspace, by its slash-separated path. Mode 0 is
// that of a file which cannot be executed.
type File struct {
	Path string
	Data []byte
	Mode fs.FileMode
}

// Render makes the files of a new workspace, except the initial model, which
// only a task runner can make. The same options give the same bytes. Errors that
// are the options' fault wrap schema.ErrInvalid.
func Render(o TemplateOptions) ([]File, error) {
	t, err := FindTemplate(o.Template)
	if err != nil {
		return nil, err
	}
	v, err := fill(t, o)
	if err != nil {
		return nil, err
	}
	files := []File{{Path: schemaFile, Data: []byte(schema.PlanSchema())}}
	for _, f := range []struct{ to, from string }{
		{".workspace", "workspace.yaml.tmpl"},
		{"README.md", "README.md.tmpl"},
		{"plan/cols.yaml", "cols.yaml.tmpl"},
		{"plan/data.yaml", "data.yaml.tmpl"},
		{"plan/plan.yaml", "plan.yaml.tmpl"},
	} {
		from := path.Join("templates", t.Name, f.from)
		if _, err := fs.Stat(templateFiles, from); err != nil {
			from = path.Join("templates/common", f.from)
		}
		data, err := execute(from, v)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: f.to, Data: data})
	}
	code, err := templateCode(t.Name)
	if err != nil {
		return nil, err
	}
	files = append(files, code...)
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

// templateCode lists what a template has in src, and its requirements.txt, byte
// for byte. A file whose name ends in .tmpl, which keeps Go's tools from taking it
// for a part of fx, is named without.
func templateCode(name string) ([]File, error) {
	var files []File
	dir := path.Join("templates", name)
	err := fs.WalkDir(templateFiles, dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		to := strings.TrimPrefix(p, dir+"/")
		if !strings.HasPrefix(to, "src/") && to != requirementsFile {
			return nil
		}
		data, err := fs.ReadFile(templateFiles, p)
		if err != nil {
			return err
		}
		f := File{Path: strings.TrimSuffix(to, ".tmpl"), Data: data}
		if strings.HasSuffix(f.Path, ".sh") {
			f.Mode = 0o755
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// FindTemplate returns the template of this name.
func FindTemplate(name string) (Template, error) {
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
	t, err := template.New(path.Base(name)).Option("missingkey=error").ParseFS(templateFiles, name)
	if err != nil {
		return nil, fmt.Errorf("cannot read template %q: %v", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("cannot fill in template %q: %v", name, err)
	}
	return b.Bytes(), nil
}
