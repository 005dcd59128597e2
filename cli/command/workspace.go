package command

import (
	"github.com/urfave/cli/v2"
)

func workspaceGroup() *cli.Command {
	return &cli.Command{
		Name:        "workspace",
		Usage:       "workspace folders: create, check, import, templates",
		Subcommands: []*cli.Command{workspaceCreate(), workspaceCheck(), workspaceImport(), workspaceTemplates()},
	}
}
