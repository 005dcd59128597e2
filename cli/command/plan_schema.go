package command

import (
	"io"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/schema"
)

func planSchema() *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the JSON Schema of a plan, for editors",
		Description: `Draft 2020-12. An editor with a YAML language server checks a plan as it is typed
if the plan's first line names the file. Examples:
   fxctl plan schema > plan.schema.json
   sed -i '1i # yaml-language-server: $schema=plan.schema.json' plan.yaml`,
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			if _, err := ui.Args(c); err != nil {
				return nil, err
			}
			return &planSchemaResult{text: schema.PlanSchema()}, nil
		}),
	}
}

type planSchemaResult struct{ text string }

// MarshalJSON is the schema itself: it is JSON already.
func (r *planSchemaResult) MarshalJSON() ([]byte, error) { return []byte(r.text), nil }

// Text is the schema too.
func (r *planSchemaResult) Text(w io.Writer) error {
	_, err := io.WriteString(w, r.text)
	return err
}
