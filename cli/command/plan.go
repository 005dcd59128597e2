package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
	"fx/schema"
)

func planGroup() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "the plan of a federation: validate, show, compare, upgrade",
		Before: func(*cli.Context) error {
			// These commands end within milliseconds and read 4 MiB at most:
			// collecting garbage as for a server takes a fifth of their time.
			debug.SetGCPercent(400)
			return nil
		},
		Subcommands: []*cli.Command{planValidate(), planShow(), planID(), planDiff(), planUpgrade(), planEgress(), planSchema()},
	}
}

// planFile is a plan that was read from a file, a workspace or standard input.
type planFile struct {
	name string // as messages show it; its base name enters the federation id
	data []byte
	dir  string // folder of the plan, where the argument was a workspace
	plan *schema.Plan
}

// readPlan reads the plan that the argument PLAN names.
func readPlan(k *ui.Console, arg string) (*planFile, error) {
	f := &planFile{name: arg}
	if arg == "-" {
		f.name = "plan.yaml"
	} else if info, err := os.Stat(arg); err == nil && info.IsDir() {
		f.dir = filepath.Join(arg, "plan")
		f.name = filepath.Join(f.dir, "plan.yaml")
		if _, err := os.Stat(f.name); errors.Is(err, fs.ErrNotExist) {
			return nil, ui.Hint(ui.Usagef("%q is no workspace: it has no plan/plan.yaml", arg), "fxctl workspace create DIR --template digits")
		}
		arg = f.name
	}
	var err error
	f.data, err = readInput(k, arg, schema.MaxPlanBytes)
	return f, err
}

// loadPlan reads a plan and merges its defaults. The plan need not be valid.
func loadPlan(k *ui.Console, arg string) (*planFile, error) {
	f, err := readPlan(k, arg)
	if err != nil {
		return nil, err
	}
	if f.plan, err = schema.ReadPlan(f.name, f.data); err != nil {
		return nil, fmt.Errorf("cannot read plan %q:\n%w", f.name, err)
	}
	return f, nil
}

// identify computes the ids of a plan, and says which host name it took. The
// node is the merged plan with host and port filled in.
func (f *planFile) identify(k *ui.Console, o schema.ResolveOptions) (schema.IDs, *schema.Node, error) {
	ids, config, err := f.plan.Identify(o)
	if err != nil {
		return schema.IDs{}, nil, fmt.Errorf("cannot resolve plan %q:\n%w", f.name, err)
	}
	if addr := f.plan.Config().At("network", "settings", "agg_addr"); addr.Text == "auto" {
		k.Infof("agg_addr is auto: taking the host name %q; --fqdn names another", ids.Host)
	}
	return ids, config, nil
}

func fqdnFlag() cli.Flag {
	return &cli.StringFlag{Name: "fqdn", EnvVars: []string{"FQDN"}, Usage: "`HOST` that \"agg_addr: auto\" stands for (default: this machine's)"}
}

// resolveOptions is what a plan leaves to the machine.
func resolveOptions(c *cli.Context) schema.ResolveOptions {
	if name := c.String("fqdn"); name != "" {
		return schema.ResolveOptions{FQDN: name}
	}
	name, err := os.Hostname()
	if err != nil {
		name = "" // a plan that needs it says so
	}
	return schema.ResolveOptions{FQDN: name}
}
