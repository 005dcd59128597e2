package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"fx/runtime/collaborator"
	"fx/runtime/egress"
	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/schema"
)

// egressFlag names the site's own rules.
func egressFlag() cli.Flag {
	return &cli.StringFlag{Name: "egress", Usage: "let less leave than the plan: the site's rules are in `FILE`, with the keys of a plan's section egress", TakesFile: true}
}

// maxEgressFile is more than schema.ReadEgress takes, so that it says so.
const maxEgressFile = 2 << 20

// siteEgress reads the site's own rules; without a file there are none.
func siteEgress(path string) (schema.Egress, error) {
	if path == "" {
		return schema.Egress{}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return schema.Egress{}, fmt.Errorf("cannot read the site's egress file: %v", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxEgressFile))
	if err := errors.Join(err, f.Close()); err != nil {
		return schema.Egress{}, fmt.Errorf("cannot read the site's egress file: %v", err)
	}
	site, err := schema.ReadEgress(path, data)
	if err != nil {
		return schema.Egress{}, fmt.Errorf("cannot use the site's egress file %q:\n%w", path, err)
	}
	return site, nil
}

// pytorch reports whether the plan's task runner is OpenFL's for PyTorch, which
// may send the state of an optimizer besides the model.
func (p *participant) pytorch() bool {
	return egress.UsesPyTorch(p.verified.Workspace(), p.Plan.TaskRunner.Template)
}

// contract is what this site lets leave: what plan and site both allow.
func (p *participant) contract(site schema.Egress) (*egress.Contract, error) {
	infos, err := p.Model.Infos()
	if err != nil {
		return nil, err
	}
	return egress.NewContract(egress.Terms{Tasks: p.Plan.Tasks, Model: infos, Plan: p.Plan.Egress, Site: site, PyTorch: p.pytorch()})
}

// mayLeave checks a result that stays here as if it were to leave. output is the
// file that the task wrote, if it did.
func mayLeave(c *egress.Contract, task string, round int, got taskrunner.Result, output string) error {
	metrics := map[string]float64{}
	for _, m := range got.Metrics {
		metrics[m.Name] = m.Value
	}
	var made *tensor.File
	if got.Tensors {
		f, err := os.Open(output)
		if err != nil {
			return fmt.Errorf("cannot read what task %q made: %v", task, err)
		}
		defer func() { _ = f.Close() }() // read only
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("cannot read what task %q made: %v", task, err)
		}
		if made, err = tensor.OpenOutput(f, info.Size()); err != nil {
			return fmt.Errorf("cannot read what task %q made: %w: %w", task, err, collaborator.ErrIncomplete)
		}
	}
	err := c.Rehearse(task, round, metrics, made)
	if errors.Is(err, egress.ErrRefused) {
		return fmt.Errorf("%w: %w", err, collaborator.ErrIncomplete)
	}
	return err
}
