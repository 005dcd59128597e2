package command

import (
	"github.com/urfave/cli/v2"

	"fx/ca/identity"
	"fx/cli/ui"
)

func certGroup() *cli.Command {
	return &cli.Command{
		Name:        "cert",
		Usage:       "a participant's certificate: request, import, renew, inspect, verify",
		Subcommands: []*cli.Command{certRequest(), certImport(), certRenew(), certStatus(), certInspect(), certVerify()},
	}
}

func certDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "cert-dir", Value: "cert", Usage: "keys and certificates are in `DIR`", TakesFile: true}
}

func roleFlag() cli.Flag {
	return &cli.StringFlag{Name: "role", Usage: "aggregator, collaborator, publisher or reviewer"}
}

// roleOf reads --role, which must be given.
func roleOf(c *cli.Context) (identity.Role, error) {
	if err := ui.Require(c, "role"); err != nil {
		return "", err
	}
	r, err := identity.ParseRole(c.String("role"))
	return r, ui.Code(ui.Usage, err)
}
