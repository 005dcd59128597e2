package ui

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// Version is the released version, set by the linker
// (-X fx/cli/ui.Version=1.2.3); "devel" otherwise.
var Version = "devel"

type versionResult struct {
	Program  string `json:"program"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (v *versionResult) Text(w io.Writer) error {
	rev := ""
	if v.Revision != "" {
		rev = " (" + v.Revision
		if v.Modified {
			rev += ", modified"
		}
		rev += ")"
	}
	_, err := fmt.Fprintf(w, "%s %s%s, %s, %s\n", v.Program, v.Version, rev, v.Go, v.Platform)
	return err
}

func versionCommand(program string) *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "print what this program was built from",
		Description: fmt.Sprintf("Examples:\n  %s version\n  %s version --json", program, program),
		Action: Action(func(c *cli.Context) (Result, error) {
			if _, err := Args(c); err != nil {
				return nil, err
			}
			return buildVersion(program), nil
		}),
	}
}

func buildVersion(program string) *versionResult {
	v := &versionResult{
		Program: program, Version: Version, Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	return v
}
