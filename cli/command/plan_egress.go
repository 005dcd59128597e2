package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/runtime/egress"
	"fx/runtime/tensor"
	"fx/schema"
	"fx/schema/check"
)

func planEgress() *cli.Command {
	return &cli.Command{
		Name:      "egress",
		Usage:     "list the tensors and metrics that will leave a site, with their bytes",
		ArgsUsage: "PLAN",
		Description: `PLAN is a workspace folder, or a file; the initial model is the one that the plan
names, in the workspace, or --model. The list is made by the code that guards a
site's output. Exit code 3 if the plan's section egress does not fit the model.
Examples:
   fxctl plan egress ward
   fxctl plan egress plan.yaml --model init.pbuf
   fxctl plan egress ward --json | jq .bytes_per_run`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "the initial model, `FILE` (.pbuf or .safetensors)", TakesFile: true},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "PLAN")
			if err != nil {
				return nil, err
			}
			r, err := runPlanEgress(c.Context, planEgressOptions{console: ui.From(c), plan: args[0], model: c.String("model")})
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type planEgressOptions struct {
	console *ui.Console
	plan    string
	model   string // "" for the one that the plan names
}

type planEgressResult struct {
	Plan       string `json:"plan"`
	Model      string `json:"model"`
	TaskRunner string `json:"task_runner"`
	*egress.Forecast
	Findings schema.Findings `json:"findings"` // about the section egress
}

func runPlanEgress(_ context.Context, o planEgressOptions) (*planEgressResult, error) {
	f, err := loadPlan(o.console, o.plan)
	if err != nil {
		return nil, err
	}
	if err := f.plan.Findings().Err(); err != nil {
		return nil, fmt.Errorf("cannot read plan %q:\n%w", f.name, err)
	}
	r := &planEgressResult{Plan: f.name, Model: o.model, TaskRunner: f.plan.Draft().TaskRunner.Template, Findings: schema.Findings{}}
	dir := workspaceOf(o.plan, f)
	if r.Model == "" {
		if dir == "" {
			return nil, ui.Usagef("%q is in no workspace: name the initial model with --model", o.plan)
		}
		r.Model = filepath.Join(dir, filepath.FromSlash(f.plan.Draft().Aggregator.InitStatePath))
		if _, err := os.Stat(r.Model); errors.Is(err, fs.ErrNotExist) {
			return nil, ui.Hint(fmt.Errorf("there is no initial model %q", r.Model), "%s, or give --model", makeModel(r.TaskRunner, dir))
		}
	}
	infos, round, err := describeModel(r.Model)
	if err != nil {
		return nil, err
	}
	for _, finding := range check.Plan(f.name, f.data, nil) {
		if finding.Path == "egress" || strings.HasPrefix(finding.Path, "egress.") || finding.ID == "egress-refused" {
			r.Findings = append(r.Findings, finding)
		}
	}
	pytorch := usesPyTorch(dir, r.TaskRunner)
	r.Findings = append(r.Findings, check.Egress(f.plan, infos, round, pytorch)...)
	r.Findings.Sort()
	refused := r.Findings.Err()
	if refused != nil {
		refused = fmt.Errorf("cannot accept plan %q: %s\n%w", f.name, count(r.Findings), r.Findings)
	}
	r.Forecast, err = egress.NewForecast(f.plan.Draft(), infos, round, pytorch)
	if err != nil {
		return nil, cmp.Or(refused, err) // refused says where the filter stands that does not exist
	}
	if refused != nil {
		return r, refused
	}
	for _, warning := range r.Findings {
		o.console.Warnf("%s", warning)
	}
	return r, nil
}

// usesPyTorch asks the code of a workspace, if the plan is in one ("" if not).
func usesPyTorch(dir, template string) bool {
	var code fs.FS
	if dir != "" {
		code = os.DirFS(dir)
	}
	return egress.UsesPyTorch(code, template)
}

// workspaceOf is the folder that a plan's paths are relative to, "" if the plan
// is in none.
func workspaceOf(arg string, f *planFile) string {
	switch {
	case f.dir != "":
		return filepath.Dir(f.dir)
	case arg == "-":
		return ""
	}
	if full, err := filepath.Abs(arg); err == nil && filepath.Base(filepath.Dir(full)) == "plan" {
		return filepath.Join(filepath.Dir(arg), "..")
	}
	return ""
}

// modelFindings says what a plan's section egress gets wrong about the initial
// model of its workspace. A model that cannot be read is found elsewhere.
func modelFindings(p *schema.Plan, dir string) schema.Findings {
	inOrder := p.Findings().Err() == nil
	if !inOrder {
		return nil
	}
	if infos, round, err := describeModel(filepath.Join(dir, filepath.FromSlash(p.Draft().Aggregator.InitStatePath))); err == nil {
		return append(tooLarge(p, infos), check.Egress(p, infos, round, usesPyTorch(dir, p.Draft().TaskRunner.Template))...)
	}
	return nil
}

// tooLarge finds tensors of the initial model that could never be sent.
func tooLarge(p *schema.Plan, infos []tensor.Info) schema.Findings {
	for _, info := range infos {
		if err := tensor.CheckTravel(info); err != nil {
			const where = "aggregator.settings.init_state_path"
			message := strings.TrimPrefix(err.Error(), tensor.ErrInvalid.Error()+": ")
			return schema.Findings{p.Config().At("aggregator", "settings", "init_state_path").Finding("model-size", where, message)}
		}
	}
	return nil
}

// describeModel reads what a model file holds, and of which round it is.
func describeModel(path string) ([]tensor.Info, int, error) {
	m, err := openModel(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = m.Close() }() // read only
	if m.format == safetensorsFormat {
		round, err := strconv.Atoi(m.safetensors.Metadata()[tensor.RoundKey])
		if err != nil || round < 0 || round > math.MaxInt32 {
			round = 0
		}
		return m.safetensors.Infos(), round, nil
	}
	infos := make([]tensor.Info, len(m.named))
	for i, n := range m.named {
		if infos[i], err = n.Shape(); err != nil {
			return nil, 0, fmt.Errorf("cannot read model %q: %w", path, err)
		}
	}
	round, err := tensor.Round(m.named)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read model %q: %w", path, err)
	}
	return infos, int(round), nil
}

// Text is the result for people.
func (r *planEgressResult) Text(w io.Writer) error {
	head := [][]string{
		{"plan", r.Plan}, {"model", r.Model}, {"task runner", r.TaskRunner},
		{"a round", fmt.Sprintf("%s from one site, at most %s", ui.Bytes(r.RoundBytes), ui.Bytes(r.MaxRoundBytes))},
		{fmt.Sprintf("%d rounds", r.Rounds), fmt.Sprintf("%s from one site, at most %s", ui.Bytes(r.RunBytes), ui.Bytes(r.MaxRunBytes))},
	}
	for _, l := range []struct {
		key   string
		limit int64
	}{{"bytes_per_round", r.RoundLimit}, {"bytes_per_run", r.RunLimit}} {
		if l.limit > 0 {
			head = append(head, []string{"limit", fmt.Sprintf("egress.%s %d", l.key, l.limit)})
		}
	}
	for _, f := range r.Filters {
		head = append(head, []string{"filter", f.String()})
	}
	if p := r.Privacy; p != nil {
		head = append(head, []string{"privacy", fmt.Sprintf("epsilon %.3g at delta %v in a round, %.3g in %d rounds, of the tensors alone", p.EpsilonRound, p.Delta, p.EpsilonRun, r.Rounds)})
		if p.MaxEpsilon > 0 {
			head = append(head, []string{"limit", fmt.Sprintf("epsilon %v, which allows %d of %d rounds", p.MaxEpsilon, p.Rounds, r.Rounds)})
		}
	}
	if err := ui.Table(w, nil, head); err != nil {
		return err
	}
	var rows [][]string
	for _, t := range r.Tasks {
		rows = append(rows, r.taskRows(t)...)
	}
	if err := section(w, []string{"TASK", "KIND", "NAME", "DTYPE", "SHAPE", "BYTES", "TAGS", "FATE"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, s := range r.Optimizer {
		names := strings.Join(s.Patterns, " ")
		if names == "" {
			names = "-"
		}
		rows = append(rows, []string{s.Optimizer, strconv.Itoa(s.Multiple) + "×", strconv.FormatInt(s.Bytes, 10), s.Fate, names})
	}
	return section(w, []string{"OPTIMIZER, IF IT IS", "OF THE MODEL", "BYTES", "FATE", "NAMES"}, rows)
}

// section is a table after an empty line, or nothing.
func section(w io.Writer, header []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return ui.Table(w, header, rows)
}

func (r *planEgressResult) taskRows(t egress.TaskForecast) [][]string {
	var rows [][]string
	for _, m := range t.Metrics {
		fate := m.Fate
		if m.Min != nil || m.Max != nil {
			fate += " " + m.Range()
		}
		rows = append(rows, []string{t.Name, "metric", m.Name, "F32", "scalar", strconv.FormatInt(m.Bytes, 10), strings.Join(m.Tags, ","), fate})
	}
	if t.SendsTensors {
		for _, n := range r.Tensors {
			shape, fate := shapeText(modelTensor{DType: n.DType, Shape: n.Shape}), n.Fate
			if n.Fate == egress.FateSent && (n.Min != nil || n.Max != nil) {
				fate += " " + n.Range()
			}
			rows = append(rows, []string{t.Name, "tensor", n.Name, n.DType, shape, strconv.FormatInt(n.Bytes, 10), strings.Join(egress.TensorTags(), ","), fate})
		}
	}
	if len(rows) == 0 {
		rows = [][]string{{t.Name, "nothing"}}
	}
	return rows
}
