package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/cli/ui"
)

func bundleLs() *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Usage:     "list the files of a bundle, from its manifest alone",
		ArgsUsage: "FILE [FOLDER]",
		Description: `Reads the manifest and decompresses nothing, so that it takes no longer for a
large bundle. Examples:
   fxctl bundle ls ward.fxb
   fxctl bundle ls ward.fxb src --json`,
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE", "[FOLDER]")
			if err != nil {
				return nil, err
			}
			r, err := runBundleLs(args[0], args[1])
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type bundleLsFile struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

type bundleLsResult struct {
	File     string         `json:"file"`
	BundleID string         `json:"bundle_id"`
	Name     string         `json:"name"`
	Version  string         `json:"version"`
	Files    []bundleLsFile `json:"files"`
}

func runBundleLs(file, folder string) (r *bundleLsResult, err error) {
	b, err := bundle.OpenFile(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r = &bundleLsResult{File: file, BundleID: b.ID().String(), Name: b.Name(), Version: b.Version(), Files: []bundleLsFile{}}
	folder = strings.TrimSuffix(folder, "/")
	for _, f := range b.Files() {
		if folder == "" || f.Path == folder || strings.HasPrefix(f.Path, folder+"/") {
			r.Files = append(r.Files, bundleLsFile{f.Path, f.Mode(), f.Size, f.Digest()})
		}
	}
	if folder != "" && len(r.Files) == 0 {
		return nil, ui.Hint(fmt.Errorf("cannot list %q of bundle %q: nothing in it has that name", folder, file), "fxctl bundle ls %s", file)
	}
	return r, nil
}

// Text is the result for people.
func (r *bundleLsResult) Text(w io.Writer) error {
	rows := make([][]string, len(r.Files))
	for i, f := range r.Files {
		rows[i] = []string{f.Mode, fmt.Sprint(f.Size), f.SHA256, f.Path}
	}
	return ui.Table(w, []string{"MODE", "SIZE", "SHA-256", "PATH"}, rows)
}
