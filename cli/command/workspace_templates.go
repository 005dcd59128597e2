package command

import (
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/bundle/workspace"
	"fx/cli/ui"
)

func workspaceTemplates() *cli.Command {
	return &cli.Command{
		Name:  "templates",
		Usage: "list what a workspace can be created from",
		Description: `Examples:
   fxctl workspace templates
   fxctl workspace templates --json | jq -r '.templates[].name'`,
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			return runWorkspaceTemplates(), nil
		}),
	}
}

type workspaceTemplatesResult struct {
	Templates []workspace.Template `json:"templates"`
}

func runWorkspaceTemplates() *workspaceTemplatesResult {
	return &workspaceTemplatesResult{workspace.Templates()}
}

// Text is the result for people.
func (r *workspaceTemplatesResult) Text(w io.Writer) error {
	var rows [][]string
	for _, t := range r.Templates {
		rows = append(rows, []string{t.Name, t.Teaches}, []string{"", "data: " + t.Data}, []string{"", "licence: " + t.Licence})
		if len(t.Needs) > 0 {
			rows = append(rows, []string{"", "needs: " + strings.Join(t.Needs, ", ")})
		}
	}
	return ui.Table(w, nil, rows)
}
