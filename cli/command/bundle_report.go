package command

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/bundle/inspect"
	"fx/bundle/inspect/finding"
	"fx/cli/ui"
	"fx/runtime/tensor"
)

// reportFormats are the values of --format.
var reportFormats = map[string]func(r *inspect.Report, w io.Writer) error{
	"html":  (*inspect.Report).HTML,
	"sarif": (*inspect.Report).SARIF,
	"text":  (*inspect.Report).Text,
	"json": func(r *inspect.Report, w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	},
}

func bundleReport() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "write the review of a bundle as a page, for a scanner's viewer, or as text",
		ArgsUsage: "FILE",
		Description: `The same facts as "fxctl bundle inspect", to keep or to print. The HTML page is
one file that loads nothing. Works on bundles that nobody has approved, and
executes nothing. Examples:
   fxctl bundle report ward.fxb -o ward.html
   fxctl bundle report ward.fxb --format sarif -o ward.sarif
   fxctl bundle report ward.fxb --baseline ward-1.0.fxb --format text -o -`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "html", Usage: "`FORMAT` of the report: html, json, sarif or text"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`, \"-\" is standard output (default: FILE with the format's ending)"},
			&cli.BoolFlag{Name: "force", Usage: "replace a report that is there"},
			baselineFlag(), policyFlag(), certDirFlag(),
		},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			format := c.String("format")
			if reportFormats[format] == nil {
				return nil, ui.Usagef("--format is %q, want one of %s", format, strings.Join(slices.Sorted(maps.Keys(reportFormats)), ", "))
			}
			out := c.String("output")
			if out == "" {
				out = strings.TrimSuffix(args[0], ".fxb") + "." + strings.Replace(format, "text", "txt", 1)
			}
			if out == "-" && ui.From(c).JSON && format != "json" {
				return nil, ui.Usagef("--json and -o - both want standard output; give -o FILE")
			}
			r, err := runBundleReport(c, inspectOptions(c, args[0]), format, out, c.Bool("force"))
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type bundleReportResult struct {
	File     string                   `json:"file"`
	Report   string                   `json:"report"`
	Format   string                   `json:"format"`
	BundleID string                   `json:"bundle_id"`
	Facts    string                   `json:"facts_sha256"`
	Approved bool                     `json:"approved"`
	Verdict  string                   `json:"verdict"`
	Counts   map[finding.Severity]int `json:"finding_counts"`
	Baseline string                   `json:"baseline,omitempty"` // bundle id
}

func runBundleReport(c *cli.Context, o bundleInspectOptions, format, out string, force bool) (*bundleReportResult, error) {
	r, err := runBundleInspect(c, o)
	if err != nil {
		return nil, err
	}
	write := func(w io.Writer) error { return reportFormats[format](r, w) }
	if out == "-" {
		return nil, write(ui.From(c).Out)
	}
	if err := tensor.WriteFile(out, force, write); err != nil {
		return nil, ui.Hint(fmt.Errorf("cannot write the report: %w", err), "--force replaces a file, -o FILE names another")
	}
	result := &bundleReportResult{
		File: o.file, Report: out, Format: format, BundleID: r.BundleID, Facts: r.FactsSHA256,
		Approved: r.Decision.Approved, Verdict: inspect.Verdict(r.Decision), Counts: r.Counts,
	}
	if r.Changes != nil {
		result.Baseline = r.Changes.Old.BundleID
	}
	return result, nil
}

// Text is the result for people.
func (r *bundleReportResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s: report about %s %s\n%s\nfindings: %d high, %d medium, %d low, %d facts\n",
		ui.Clean(r.Report), ui.Clean(r.File), r.BundleID, ui.Clean(r.Verdict),
		r.Counts[finding.High], r.Counts[finding.Medium], r.Counts[finding.Low], r.Counts[finding.Info])
	return err
}
