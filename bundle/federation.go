package bundle

import (
	"fmt"
	"io"
	"io/fs"
	"path"

	"fx/runtime/codec"
	"fx/runtime/tensor"
	"fx/schema"
)

// Where OpenFL keeps a workspace's plan and roster.
const (
	PlanPath   = "plan/plan.yaml"
	RosterPath = "plan/cols.yaml"
)

// maxDocument bounds the plan and the roster.
const maxDocument = 4 << 20

// Federation is what a bundle says about the federation that it is for.
type Federation struct {
	Plan   *schema.Resolved
	Roster []string // collaborators, in the order of plan/cols.yaml
	Model  *Model   // the initial model
}

// Model is the initial model of a bundle, a .pbuf file that stays where it is.
type Model struct {
	Tensors  []tensor.Named
	Data     io.ReaderAt    // what the tensors' offsets are into
	Pipeline codec.Pipeline // the plan's, which made the file
}

// Infos describes the model's tensors as float32 arrays. A model that another
// pipeline made is refused.
func (m *Model) Infos() ([]tensor.Info, error) {
	infos, err := codec.ModelInfos(m.Pipeline, m.Tensors)
	if err != nil {
		return nil, fmt.Errorf("cannot read the initial model: %w", err)
	}
	return infos, nil
}

// WriteSafetensors streams the model's values as a safetensors file.
func (m *Model) WriteSafetensors(w io.Writer) error {
	return codec.ReadModel(w, m.Pipeline, m.Data, m.Tensors)
}

// Federation reads plan, roster and initial model. fqdn is this host's name,
// for a plan that leaves the aggregator's address open ("auto"); "" refuses such
// a plan. Errors wrap schema.ErrInvalid or tensor.ErrInvalid.
func (c *Checked) Federation(fqdn string) (*Federation, error) {
	text, err := c.document(PlanPath)
	if err != nil {
		return nil, err
	}
	plan, err := schema.ParsePlan(PlanPath, text)
	if err != nil {
		return nil, err
	}
	f := &Federation{}
	if f.Plan, err = plan.Resolve(schema.ResolveOptions{FQDN: fqdn}); err != nil {
		return nil, err
	}
	if text, err = c.document(RosterPath); err != nil {
		return nil, err
	}
	if f.Roster, err = schema.ParseCols(RosterPath, text); err != nil {
		return nil, err
	}
	if f.Model, err = c.model(path.Clean(f.Plan.Aggregator.InitStatePath)); err != nil {
		return nil, err
	}
	f.Model.Pipeline, err = codec.New(f.Plan.Compression)
	return f, err
}

func (c *Checked) document(name string) ([]byte, error) {
	info, err := fs.Stat(c.tree, name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q of the bundle: %v: %w", name, err, schema.ErrInvalid)
	}
	if info.Size() > maxDocument {
		return nil, fmt.Errorf("%q of the bundle has %d bytes, allowed are %d: %w", name, info.Size(), maxDocument, schema.ErrInvalid)
	}
	return fs.ReadFile(c.tree, name)
}

func (c *Checked) model(name string) (*Model, error) {
	f, err := c.tree.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the initial model %q of the bundle: %v: %w", name, err, schema.ErrInvalid)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data, ok := f.(io.ReaderAt) // Close of these files does nothing
	if !ok {
		return nil, fmt.Errorf("the initial model %q of the bundle is no regular file: %w", name, schema.ErrInvalid)
	}
	tensors, err := tensor.ScanModel(data, info.Size())
	if err != nil {
		return nil, fmt.Errorf("cannot read the initial model %q of the bundle: %w", name, err)
	}
	return &Model{Tensors: tensors, Data: data}, nil
}
