// Package fx_test checks what no single package can: which package may import
// which.
package fx_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers lists every package of the module with its layer. A package imports
// only packages of lower layers. CONTRIBUTING.md shows the same table.
var layers = map[string]int{
	"cli/fxctl": 6, "runtime/fxrun": 6,
	"cli/command":        5,
	"runtime/aggregator": 4, "runtime/collaborator": 4, "runtime/receipt": 4, "bundle/inspect": 4, "bundle/exchange": 4, "bundle/sbom": 4,
	"bundle": 3, "runtime/fold": 3,
	"ca/issuer":              2,
	"bundle/inspect/content": 3, "bundle/inspect/python": 2, "bundle/inspect/pickle": 1, "bundle/inspect/finding": 1, "bundle/inspect/textdiff": 0,
	"bundle/approval": 2, "runtime/transport": 2, "runtime/journal": 2, "runtime/taskrunner": 2, "schema/check": 2,
	"ca/merklelog": 1, "ca/trust": 1, "bundle/workspace": 1, "runtime/aggregation": 1, "runtime/assigner": 1,
	"runtime/straggler": 1, "runtime/codec": 1, "runtime/egress": 1, "runtime/sandbox": 1, "runtime/wasm": 1,
	"schema": 0, "proto": 0, "ca/identity": 0, "runtime/tensor": 0, "cli/ui": 0,
}

// forbidden lists what a tree may never link, however many packages lie
// between: a prefix of our packages, and the import paths (or prefixes that end
// in a slash) that must not be reachable from them.
var forbidden = []struct{ from, never, why string }{
	{"runtime/", "fx/ca/issuer", "the runtime never holds a CA key"},
	{"runtime/", "fx/cli/command", "the runtime links no fxctl command"},
	{"runtime/", "fx/bundle/inspect", "review is fxctl's work"},
	{"runtime/", "fx/bundle/inspect/", "review is fxctl's work"},
	{"runtime/", "fx/schema/check", "the runtime links no schema compiler"},
	{"runtime/", "github.com/santhosh-tekuri/jsonschema/", "the runtime links no schema compiler"},
	{"runtime/", "go.step.sm/crypto/x509util", "certificate templates are the CA's"},
	{"runtime/", "oras.land/", "the runtime pulls nothing"},
	{"runtime/", "fx/bundle/exchange", "the runtime pulls nothing"},
	{"cli/", "google.golang.org/grpc", "fxctl talks to no network"},
	{"cli/", "google.golang.org/grpc/", "fxctl talks to no network"},
	{"cli/", "fx/runtime/transport", "fxctl talks to no network"},
	{"cli/", "fx/runtime/wasm", "fxctl runs no modules"},
}

func TestImportsGoDownOnly(t *testing.T) {
	imports := moduleImports(t)
	for pkg, imported := range imports {
		layer, known := layers[pkg]
		if !known {
			t.Errorf("package %q has no layer: add it to the table here, in CONTRIBUTING.md and in .golangci.yml", pkg)
		}
		for _, i := range imported {
			below, ours := strings.CutPrefix(i, "fx/")
			if ours && layers[below] >= layer {
				t.Errorf("%s (layer %d) imports %s (layer %d); imports go down only", pkg, layer, below, layers[below])
			}
		}
	}
	for pkg := range layers {
		if _, exists := imports[pkg]; !exists {
			t.Errorf("the table names package %q, which does not exist", pkg)
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	imports := moduleImports(t)
	for _, rule := range forbidden {
		for pkg := range imports {
			if !strings.HasPrefix(pkg, rule.from) {
				continue
			}
			if chain := reach(imports, []string{"fx/" + pkg}, rule.never); chain != nil {
				t.Errorf("%s reaches %s (%s): %s", pkg, rule.never, rule.why, strings.Join(chain, " -> "))
			}
		}
	}
}

// reach returns the chain of imports by which the last package of the given
// chain reaches target, or nil.
func reach(imports map[string][]string, chain []string, target string) []string {
	pkg, ours := strings.CutPrefix(chain[len(chain)-1], "fx/")
	if !ours {
		return nil
	}
	for _, i := range imports[pkg] {
		next := append(slices.Clone(chain), i)
		if i == target || strings.HasSuffix(target, "/") && strings.HasPrefix(i, target) {
			return next
		}
		if found := reach(imports, next, target); found != nil {
			return found
		}
	}
	return nil
}

// moduleImports maps every package of the module, by its folder, to what its
// non-test files import. Files are parsed here, not by `go list`, so that the
// test cache cannot hide a change.
func moduleImports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "scripts") {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(p))
		if _, seen := found[pkg]; !seen {
			found[pkg] = nil
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(found[pkg], name) {
				found[pkg] = append(found[pkg], name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no package found: is the test run in the module's root?")
	}
	return found
}
