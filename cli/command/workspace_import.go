package command

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/bundle/workspace"
	"fx/cli/ui"
	"fx/schema"
)

func workspaceImport() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "make a workspace of an archive of OpenFL's \"fx workspace export\"",
		ArgsUsage: "ZIP [DIR]",
		Description: `DIR must not exist, or be empty; without it, the archive's name up to its first
full stop, here. Nothing is run or installed. The new workspace is checked as by
"fxctl workspace check", and its findings are shown. Examples:
   fxctl workspace import ward.zip
   fxctl workspace import ward.zip somewhere/else`,
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "ZIP", "[DIR]")
			if err != nil {
				return nil, err
			}
			return runWorkspaceImport(c.Context, workspaceImportOptions{archive: args[0], dir: args[1]})
		}),
	}
}

type workspaceImportOptions struct {
	archive string
	dir     string // "" for one named after the archive
}

type workspaceImportResult struct {
	Archive   string               `json:"archive"`
	Workspace string               `json:"workspace"`
	Files     []string             `json:"files"`
	Bytes     int64                `json:"bytes"`
	Prefix    string               `json:"prefix,omitempty"` // folder of the archive that became the workspace
	LeftOut   []workspace.Excluded `json:"left_out"`
	Valid     bool                 `json:"valid"`
	Findings  schema.Findings      `json:"findings"`
	Next      []string             `json:"next"` // what to do, in order

	count string
}

func runWorkspaceImport(_ context.Context, o workspaceImportOptions) (*workspaceImportResult, error) {
	if o.dir == "" {
		o.dir, _, _ = strings.Cut(filepath.Base(o.archive), ".")
		if o.dir == "" {
			return nil, ui.Usagef("%q does not name a folder; name one after it", o.archive)
		}
	}
	imported, err := workspace.Import(o.archive, o.dir)
	if err != nil {
		return nil, err
	}
	checked, err := checkFolder(o.dir)
	if err != nil {
		return nil, err
	}
	r := &workspaceImportResult{
		Archive: o.archive, Workspace: o.dir, Files: imported.Files, Bytes: imported.Bytes, Prefix: imported.Prefix,
		LeftOut: imported.LeftOut, Valid: checked.Valid, Findings: checked.Findings, count: checked.count(),
	}
	if r.LeftOut == nil {
		r.LeftOut = []workspace.Excluded{}
	}
	r.Next = r.next()
	return r, nil
}

// next is what to do with the workspace, by what was found.
func (r *workspaceImportResult) next() []string {
	var steps []string
	seen := map[string]bool{}
	for _, f := range r.Findings {
		step := ""
		switch f.ID {
		case "missing-model":
			step = "make the initial model: " + f.Hint
		case "runner-unavailable":
			step = "name classes of OpenFL where the aggregator would run code of the workspace, in " + r.Workspace + "/plan/plan.yaml"
		case "empty-roster":
			step = "write the names of the collaborators into " + r.Workspace + "/plan/cols.yaml"
		case "auto-address":
			step = "write the aggregator's host name into " + r.Workspace + "/plan/plan.yaml, at network.settings.agg_addr"
		case "site-path", "missing-data":
			step = "tell every site to say where its data is: " + r.Workspace + "/plan/data.yaml, or --data"
		case "unpinned", "url-requirement", "editable-requirement", "requirement-option":
			step = "pin the packages in " + r.Workspace + "/requirements.txt"
		}
		if step != "" && !seen[step] {
			seen[step] = true
			steps = append(steps, step)
		}
	}
	return append(steps, "fxctl workspace check "+r.Workspace)
}

// Text is the result for people.
func (r *workspaceImportResult) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "imported workspace %s from %s: %d files, %s\n", r.Workspace, r.Archive, len(r.Files), ui.Bytes(r.Bytes))
	for _, f := range r.Files {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	if len(r.LeftOut) > 0 {
		b.WriteString("left out:\n")
		for _, e := range r.LeftOut {
			fmt.Fprintf(&b, "  %s (%s)\n", e.Path, e.Reason)
		}
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(&b, "found: %s\n", r.count)
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	b.WriteString("next:\n")
	for _, step := range r.Next {
		fmt.Fprintf(&b, "  %s\n", step)
	}
	_, err := io.WriteString(w, ui.Clean(b.String()))
	return err
}
