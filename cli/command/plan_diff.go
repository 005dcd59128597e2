package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/schema"
	"fx/schema/check"
)

func planDiff() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "say what is different between two plans, and what it means",
		ArgsUsage: "A B",
		Description: `A and B are files, workspace folders (whose rosters are compared too), or - for
standard input. Compared is what the plans mean: order, comments and spacing do
not count, a default counts as the value that it stands for. Examples:
   fxctl plan diff ward-1 ward-2
   fxctl plan diff old.yaml new.yaml --exit-code && echo the same federation
   fxctl plan diff old.yaml new.yaml --json | jq -r '.changes[].path'`,
		Flags: []cli.Flag{
			fqdnFlag(),
			&cli.BoolFlag{Name: "exit-code", Usage: "exit with 1 if there is a difference"},
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "A", "B")
			if err != nil {
				return nil, err
			}
			r, err := runPlanDiff(c.Context, planDiffOptions{console: ui.From(c), plans: [2]string(args), resolve: resolveOptions(c)})
			if err == nil && c.Bool("exit-code") && !r.Equal {
				err = ui.Code(ui.Failed, errors.New("the plans differ"))
			}
			return r, err
		}),
	}
}

type planDiffOptions struct {
	console *ui.Console
	plans   [2]string
	resolve schema.ResolveOptions
}

type planDiffResult struct {
	Equal       bool           `json:"equal"`        // the same hash, and the same roster
	SameMeaning bool           `json:"same_meaning"` // nothing but ids changes
	A           schema.IDs     `json:"a"`
	B           schema.IDs     `json:"b"`
	Changes     []check.Change `json:"changes"`
	Joining     []string       `json:"joining"` // collaborators that only B has; null if a roster is missing
	Leaving     []string       `json:"leaving"` // collaborators that only A has

	files [2]string
}

func runPlanDiff(_ context.Context, o planDiffOptions) (*planDiffResult, error) {
	if o.plans[0] == "-" && o.plans[1] == "-" {
		return nil, ui.Usagef("A and B cannot both be standard input")
	}
	r := &planDiffResult{}
	var configs [2]*schema.Node
	var rosters [2][]string
	for i, ids := range []*schema.IDs{&r.A, &r.B} {
		f, err := loadPlan(o.console, o.plans[i])
		if err != nil {
			return nil, err
		}
		if *ids, _, err = f.identify(o.console, o.resolve); err != nil {
			return nil, err
		}
		if rosters[i], err = f.roster(o.console); err != nil {
			return nil, err
		}
		r.files[i], configs[i] = f.name, f.plan.Config()
	}
	r.Changes = append([]check.Change{}, check.Compare(configs[0], configs[1])...)
	if rosters[0] != nil && rosters[1] != nil {
		r.Joining, r.Leaving = only(rosters[1], rosters[0]), only(rosters[0], rosters[1])
	}
	whoSame := len(r.Joining)+len(r.Leaving) == 0
	r.Equal = r.A.Hash == r.B.Hash && len(r.Changes) == 0 && whoSame
	r.SameMeaning = whoSame && !slices.ContainsFunc(r.Changes, func(c check.Change) bool { return c.Area != check.NoEffect })
	return r, nil
}

// roster reads the names in a workspace's cols.yaml; nil if there is none.
func (f *planFile) roster(k *ui.Console) ([]string, error) {
	name := filepath.Join(f.dir, "cols.yaml")
	if _, err := os.Stat(name); f.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	data, err := readInput(k, name, schema.MaxPlanBytes)
	if err != nil {
		return nil, err
	}
	names, err := schema.ParseCols(name, data)
	if err != nil {
		return nil, fmt.Errorf("cannot read the list of collaborators %q:\n%w", name, err)
	}
	return append([]string{}, names...), nil
}

// only lists the names that are not in other.
func only(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return slices.Contains(other, n) })
}

// Text is the difference in the words and the order of a review report.
func (r *planDiffResult) Text(w io.Writer) error {
	if r.Equal && r.A.FederationID == r.B.FederationID {
		_, err := fmt.Fprintf(w, "no difference: both are federation %s\n", ui.Clean(r.A.FederationID))
		return err
	}
	var b strings.Builder
	for _, area := range check.Areas() {
		if area == check.NoEffect {
			r.who(&b)
		}
		first := true
		for _, c := range r.Changes {
			if c.Area != area {
				continue
			}
			if first {
				head(&b, string(area))
				first = false
			}
			b.WriteString(line(c.Says) + r.where(c) + "\n")
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return r.ids(w, b.Len() > 0)
}

// where is the place of a change in both files.
func (r *planDiffResult) where(c check.Change) string {
	var places []string
	for i, sign := range []string{"-", "+"} {
		if c.Lines[i] > 0 {
			places = append(places, sign+strconv.Itoa(c.Lines[i]))
		}
	}
	if len(places) == 0 {
		return ""
	}
	return "  (line " + strings.Join(places, " ") + ")"
}

func (r *planDiffResult) who(b *strings.Builder) {
	if len(r.Joining)+len(r.Leaving) == 0 {
		return
	}
	head(b, "who takes part")
	for _, name := range r.Joining {
		b.WriteString(line(name) + " joins\n")
	}
	for _, name := range r.Leaving {
		b.WriteString(line(name) + " leaves\n")
	}
}

func (r *planDiffResult) ids(w io.Writer, after bool) error {
	var b strings.Builder
	if after {
		b.WriteString("\n")
	}
	b.WriteString("IDS\n")
	switch {
	case r.A.FederationID == r.B.FederationID:
		b.WriteString("the same federation id; a bundle of the one is not a bundle of the other\n")
	case r.A.Hash == r.B.Hash:
		b.WriteString("the content is the same, the file names are not: they are part of the id\n")
	default:
		b.WriteString("another federation: members of the one do not speak to members of the other\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	rows := [][]string{{"federation", r.A.FederationID, r.B.FederationID}}
	if r.A.Host != r.B.Host || r.A.Port != r.B.Port {
		rows = append(rows, []string{"aggregator", net.JoinHostPort(r.A.Host, strconv.Itoa(r.A.Port)), net.JoinHostPort(r.B.Host, strconv.Itoa(r.B.Port))})
	}
	return ui.Table(w, nil, rows)
}

func head(b *strings.Builder, title string) {
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	b.WriteString(strings.ToUpper(title) + "\n")
}

// line keeps a value of a plan from forging a line of the report.
func line(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(ui.Clean(s))
}

// MarshalJSON replaces what JSON has no number for.
func (r *planDiffResult) MarshalJSON() ([]byte, error) {
	type plain planDiffResult
	out := plain(*r)
	out.Changes = slices.Clone(r.Changes)
	for i := range out.Changes {
		out.Changes[i].Before, out.Changes[i].After = finite(out.Changes[i].Before), finite(out.Changes[i].After)
	}
	return json.Marshal(out)
}
