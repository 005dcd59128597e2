package command

import (
	"errors"

	"github.com/urfave/cli/v2"

	"fx/bundle/inspect"
	"fx/cli/ui"
)

func bundleDiff() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "show what differs between two bundles: lines, plan, dependencies, tensors, findings",
		ArgsUsage: "OLD NEW",
		Description: `Neither has to be approved, and nothing is executed. Examples:
   fxctl bundle diff ward-1.0.fxb ward-1.1.fxb
   fxctl bundle diff ward-1.0.fxb ward-1.1.fxb --json`,
		Flags: []cli.Flag{policyFlag(), certDirFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "OLD", "NEW")
			if err != nil {
				return nil, err
			}
			r, err := runBundleDiff(c, inspectOptions(c, args[0]), inspectOptions(c, args[1]))
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

func runBundleDiff(c *cli.Context, old, now bundleInspectOptions) (d *inspect.Diff, err error) {
	a, oldReport, err := reportOf(c, old)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	b, newReport, err := reportOf(c, now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return inspect.Compare(a, b, oldReport, newReport)
}
