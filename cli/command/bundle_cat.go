package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"fx/bundle"
	"fx/cli/ui"
)

// maxCatJSON bounds a file that is put into a JSON document, in bytes.
const maxCatJSON = 16 << 20

func bundleCat() *cli.Command {
	return &cli.Command{
		Name:      "cat",
		Usage:     "print one file of a bundle, reading no more of it than that",
		ArgsUsage: "FILE PATH",
		Description: `The bytes are those that the manifest states, whoever signed it. On a terminal
control and direction characters are shown escaped. Examples:
   fxctl bundle cat ward.fxb plan/plan.yaml
   fxctl bundle cat ward.fxb src/runner.py | less`,
		Action: ui.Action(func(c *cli.Context) (ui.Result, error) {
			args, err := ui.Args(c, "FILE", "PATH")
			if err != nil {
				return nil, err
			}
			r, err := runBundleCat(ui.From(c), args[0], args[1])
			if r == nil {
				return nil, err
			}
			return r, err
		}),
	}
}

type bundleCatResult struct {
	File    string `json:"file"`
	Path    string `json:"path"`
	Mode    string `json:"mode"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Plain   string `json:"text,omitempty"`   // of a file that is UTF-8
	Content []byte `json:"base64,omitempty"` // of any other
}

// runBundleCat returns a result for --json alone; otherwise it prints the file.
func runBundleCat(console *ui.Console, file, path string) (r *bundleCatResult, err error) {
	b, err := bundle.OpenFile(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	files := b.Files()
	i := slices.IndexFunc(files, func(f bundle.File) bool { return f.Path == path })
	if i < 0 {
		return nil, missingPath(file, path, files)
	}
	f := files[i]
	out := console.Out
	var whole bytes.Buffer
	switch {
	case console.JSON && f.Size > maxCatJSON:
		return nil, ui.Usagef("%q has %d bytes, more than the %d that a JSON document may hold; leave --json away", path, f.Size, maxCatJSON)
	case console.JSON:
		out = &whole
	case isTerminal(console.Out):
		out = cleanWriter{console.Out}
	}
	if err := b.CopyFile(out, path); err != nil {
		return nil, fmt.Errorf("cannot read %q of bundle %q: %w", path, file, err)
	}
	if !console.JSON {
		return nil, nil
	}
	r = &bundleCatResult{File: file, Path: path, Mode: f.Mode(), Size: f.Size, SHA256: f.Digest()}
	if utf8.Valid(whole.Bytes()) {
		r.Plain = whole.String()
	} else {
		r.Content = whole.Bytes()
	}
	return r, nil
}

func missingPath(file, path string, files []bundle.File) error {
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	err := fmt.Errorf("cannot read %q of bundle %q: %w", path, file, fs.ErrNotExist)
	if near := ui.Nearest(path, paths); near != "" {
		return ui.Hint(err, "fxctl bundle cat %s %s", file, near)
	}
	return ui.Hint(err, "fxctl bundle ls %s", file)
}

// isTerminal reports whether a person reads w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// cleanWriter escapes what could deceive a reader of a terminal.
type cleanWriter struct{ w io.Writer }

func (c cleanWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(c.w, ui.Clean(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Text is for --json alone, which does not call it.
func (r *bundleCatResult) Text(w io.Writer) error {
	_, err := io.WriteString(w, r.Plain)
	return err
}
