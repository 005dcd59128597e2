package egress

import (
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

var pytorchRunner = regexp.MustCompile(`\bPyTorchTaskRunner\b`)

// maxCode is how much of a Python file is looked at.
const maxCode = 4 << 20

// UsesPyTorch reports whether a task runner is OpenFL's PyTorchTaskRunner, or a
// class of a module of the workspace that speaks of it. workspace may be nil.
func UsesPyTorch(workspace fs.FS, template string) bool {
	if strings.HasPrefix(template, "openfl.") {
		return strings.HasSuffix(template, ".PyTorchTaskRunner")
	}
	if workspace == nil || !strings.HasPrefix(template, "src.") {
		return false
	}
	module := path.Dir(strings.ReplaceAll(template, ".", "/"))
	for _, name := range []string{module + ".py", module + "/__init__.py"} {
		if !fs.ValidPath(name) {
			continue
		}
		f, err := workspace.Open(name)
		if err != nil {
			continue // the runner's absence is another's finding
		}
		code, err := io.ReadAll(io.LimitReader(f, maxCode))
		_ = f.Close() // read only
		if err == nil && pytorchRunner.Match(code) {
			return true
		}
	}
	return false
}
