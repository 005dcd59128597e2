package command

import "github.com/urfave/cli/v2"

func caGroup() *cli.Command {
	return &cli.Command{
		Name:  "ca",
		Usage: "the federation's certificate authority: create it, sign requests, revoke, rotate, account for it",
		Subcommands: []*cli.Command{caInit(), caPropose(), caApprove(), caSign(), caList(), caStatus(), caRevoke(), caCRL(), caRotate(),
			caLog(), caExport(), caImport()},
	}
}

const defaultCA = "ca"

func caFlag() cli.Flag {
	return &cli.StringFlag{Name: "ca", Value: defaultCA, Usage: "the CA is in `DIR`", TakesFile: true}
}
