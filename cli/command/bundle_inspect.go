package command

import (
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"fx/bundle/inspect"
	"fx/cli/ui"
)

func bundleInspect() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a bundle runs, what leaves, to where, who signed, and every file",
		ArgsUsage: "FILE",
		Description: `Works on bundles that nobody has approved, and executes nothing. Examples:
   fxctl bundle inspect ward.fxb
   fxctl bundle inspect ward.fxb --json`,
		Flags: []cli.Flag{policyFlag(), certDirFlag()},
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE")
			if err != nil {
				return nil, err
			}
			r, err := runBundleInspect(c, bundleInspectOptions{file: args[0], certDir: c.String("cert-dir"), policy: c.String("policy")})
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type bundleInspectOptions struct{ file, certDir, policy string }

func runBundleInspect(c *cli.Context, o bundleInspectOptions) (r *inspect.Report, err error) {
	judges, err := newJudges(o.file, o.certDir, o.policy, false)
	if err != nil {
		return nil, err
	}
	checked, err := checkFile(c, o.file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, checked.Close()) }()
	return inspect.New(checked, judges.decide(checked.Bundle, time.Now()))
}
