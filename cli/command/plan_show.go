package command

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/schema"
	"fx/schema/check"
)

func planShow() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "print a plan with everything filled in, and where each value comes from",
		ArgsUsage: "PLAN",
		Description: `PLAN is a file, a workspace folder, or - for standard input. Behind each value
stands its origin: the line of the plan, a defaults file, or "built in" where
nothing says it. The plan need not be valid; see "fxctl plan validate".
--canonical prints the text whose SHA-384 is the plan's hash, as OpenFL makes it
of the same plan, byte for byte. Examples:
   fxctl plan show ward
   fxctl plan show ward --json | jq '.values[] | select(.origin == "built-in")'
   fxctl plan show ward --canonical | sha384sum`,
		Flags: []cli.Flag{
			fqdnFlag(),
			&cli.BoolFlag{Name: "canonical", Usage: "print the text that is hashed, \"auto\" still in it"},
			&cli.BoolFlag{Name: "resolved", Usage: "print the same text with host and port filled in"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "PLAN")
			if err != nil {
				return nil, err
			}
			o := planShowOptions{console: ui.From(c), plan: args[0], resolve: resolveOptions(c), canonical: c.Bool("canonical"), resolved: c.Bool("resolved")}
			switch {
			case o.canonical && o.resolved:
				return nil, ui.Usagef("--canonical and --resolved print different texts: give one of them")
			case (o.canonical || o.resolved) && o.console.JSON:
				return nil, ui.Usagef("--json already has the merged plan under \"plan\": leave out --canonical and --resolved")
			}
			return runPlanShow(c.Context, o)
		}),
	}
}

type planShowOptions struct {
	console             *ui.Console
	plan                string
	resolve             schema.ResolveOptions
	canonical, resolved bool
}

type planShowResult struct {
	schema.IDs
	Plan   any         `json:"plan"`   // merged; infinities and NaN as YAML spells them
	Values []planValue `json:"values"` // in plan order, what is built in included

	canonical []byte // printed instead, if not nil
	effective *schema.Node
	origin    func(*schema.Node) string
}

// planValue is one value of a plan: a scalar, or a list or map with nothing in it.
type planValue struct {
	Path   string `json:"path"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`         // plan, defaults, built-in
	File   string `json:"file,omitempty"` // the plan, or the defaults file
	Line   int    `json:"line,omitempty"` // in the plan
	Auto   bool   `json:"auto,omitempty"` // the file says auto: this is what it comes to
	Note   string `json:"note,omitempty"` // where fx does not go by the value
}

func runPlanShow(_ context.Context, o planShowOptions) (*planShowResult, error) {
	f, err := loadPlan(o.console, o.plan)
	if err != nil {
		return nil, err
	}
	if o.canonical {
		return &planShowResult{canonical: schema.Dump(f.plan.Config())}, nil
	}
	ids, config, err := f.identify(o.console, o.resolve)
	if err != nil {
		return nil, err
	}
	if o.resolved {
		return &planShowResult{canonical: schema.Dump(config)}, nil
	}
	auto := map[*schema.Node]bool{}
	markAuto(f.plan.Config(), config, auto)
	r := &planShowResult{IDs: ids, Plan: finite(config.Any()), effective: check.Effective(config)}
	notes := check.Notes(config, r.effective)
	r.list(r.effective, "", auto, notes)
	r.origin = func(n *schema.Node) string {
		text := originText(n, auto[n])
		if notes[n] != "" {
			text += "; " + notes[n]
		}
		return text
	}
	return r, nil
}

// markAuto notes the values after resolution that were the word auto before it.
func markAuto(before, after *schema.Node, auto map[*schema.Node]bool) {
	if before.Kind != after.Kind {
		auto[after] = true
	}
	if before.Kind == schema.KindString && before.Text == "auto" && after.Text != "auto" {
		auto[after] = true
	}
	for i, p := range after.Pairs {
		markAuto(before.Pairs[i].Value, p.Value, auto)
	}
	for i, item := range after.Items {
		markAuto(before.Items[i], item, auto)
	}
}

// originText says where a value comes from, in a few characters.
func originText(n *schema.Node, auto bool) string {
	origin, file := n.Origin()
	text := "built in"
	switch origin {
	case schema.FromPlan:
		text = filepath.Base(file) + ":" + strconv.Itoa(n.Line)
	case schema.FromDefaults:
		text = file
	}
	if auto {
		text = "auto, " + text
	}
	return text
}

// list adds the values below n.
func (r *planShowResult) list(n *schema.Node, path string, auto map[*schema.Node]bool, notes map[*schema.Node]string) {
	for _, p := range n.Entries() {
		r.list(p.Value, schema.Child(path, p.Key.KeyText()), auto, notes)
	}
	for i, item := range n.Items {
		r.list(item, schema.Index(path, i), auto, notes)
	}
	if len(n.Pairs) > 0 || len(n.Items) > 0 {
		return
	}
	origin, file := n.Origin()
	v := planValue{Path: path, Value: finite(n.Any()), Origin: string(origin), File: file, Auto: auto[n], Note: notes[n]}
	if origin == schema.FromPlan {
		v.Line = n.Line
	}
	r.Values = append(r.Values, v)
}

// finite replaces what JSON has no number for.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case math.IsInf(v, 1):
			return ".inf"
		case math.IsInf(v, -1):
			return "-.inf"
		case math.IsNaN(v):
			return ".nan"
		}
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = finite(v[k])
		}
	}
	return v
}

// Text is the plan as YAML, with origins as comments; or a canonical text.
func (r *planShowResult) Text(w io.Writer) error {
	if r.canonical != nil {
		_, err := w.Write(r.canonical)
		return err
	}
	_, err := fmt.Fprintf(w, "# federation %s, aggregator at %s\n# To be read, not run: with built-in values written out the plan would have another id.\n",
		ui.Clean(r.FederationID), ui.Clean(net.JoinHostPort(r.Host, strconv.Itoa(r.Port))))
	if err != nil {
		return err
	}
	return writeAnnotated(w, r.effective, r.origin)
}
