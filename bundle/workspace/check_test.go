package workspace

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"fx/runtime/taskrunner"
	"fx/runtime/tensor"
	"fx/schema"
)

// sound is a workspace from the template digits, with its initial model.
func sound(t *testing.T) fstest.MapFS {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range render(t, TemplateOptions{Template: "digits", Collaborators: []string{"north", "south"}}) {
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	tree["save/init.pbuf"] = &fstest.MapFile{Data: initialModel(t, tree), Mode: 0o644}
	return tree
}

// python is a workspace whose plan names classes of its own code.
func python(t *testing.T) fstest.MapFS {
	t.Helper()
	tree := sound(t)
	text := string(tree["plan/plan.yaml"].Data)
	for _, r := range [][2]string{{"fx.builtin.MLP", "src.taskrunner.Runner"}, {"fx.builtin.CSVDataLoader", "src.data.Loader"}} {
		text = strings.Replace(text, r[0], r[1], 1)
	}
	tree["plan/plan.yaml"] = pyFile(text)
	tree["src/__init__.py"] = pyFile("")
	tree["src/taskrunner.py"] = pyFile("from openfl.federated import PyTorchTaskRunner\n\n\nclass Runner(PyTorchTaskRunner):\n    pass\n")
	tree["src/data/__init__.py"] = pyFile("from .loader import Loader\n")
	tree["src/data/loader.py"] = pyFile("class Loader: pass\n")
	tree["requirements.txt"] = pyFile("torch==2.7.0\nnumpy == 2.1 ; python_version >= '3.10'  # pinned\n")
	return tree
}

func initialModel(t *testing.T, tree fstest.MapFS) []byte {
	t.Helper()
	plan, err := schema.ParsePlan("plan.yaml", tree["plan/plan.yaml"].Data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := plan.Resolve(schema.ResolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := taskrunner.New(taskrunner.Options{TaskRunner: r.TaskRunner, DataLoader: r.DataLoader, Tasks: r.Tasks})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "init.pbuf")
	if err := taskrunner.WriteInitialModel(context.Background(), runner, &schema.Resolved{}, "", name, false); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// model makes an initial model of single values.
func model(t *testing.T, tensors ...tensor.Named) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	var sources []tensor.NamedSource
	for _, n := range tensors {
		n.DataSize = 4
		sources = append(sources, tensor.NamedSource{Named: n, Data: bytes.NewReader(make([]byte, 4))})
	}
	if err := tensor.WriteModel(&b, sources); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes(), Mode: 0o644}
}

func checkTree(tree fs.FS) schema.Findings {
	found := OpenFolder(tree, "ward").Check(func(string) error { return nil })
	found.Sort()
	return found
}

func TestSoundWorkspaces(t *testing.T) {
	for name, tree := range map[string]fstest.MapFS{"built in": sound(t), "python": python(t)} {
		if name == "python" {
			delete(tree, "save/init.pbuf")
			tree["save/init.pbuf"] = model(t, tensor.Named{Name: "fc.weight", Metadata: tensor.ShapeMetadata([]int{1})})
		}
		if found := checkTree(tree); len(found) > 0 {
			t.Errorf("%s: got %v, want nothing", name, found)
		}
	}
}

// One mistake each: a file that is replaced ("" deletes it), and what must be
// said: severity, id, where, and a part of the rest. {x} is where x is in the
// plan, or in the roster.
func TestCheck(t *testing.T) {
	plain := func(name string, round int32, shape ...int) tensor.Named {
		return tensor.Named{Name: name, Round: round, Metadata: tensor.ShapeMetadata(shape)}
	}
	builtin := []struct{ name, file, text, want string }{
		{"no plan", "plan/plan.yaml", "", "error missing-file ward/plan/plan.yaml: a workspace needs it"},
		{"no roster", "plan/cols.yaml", "", "error missing-file ward/plan/cols.yaml: a workspace needs it"},
		{"roster", "plan/cols.yaml", "collaborators: [north, 2]\n", "error type ward/plan/cols.yaml:1:24: a name is a string"},
		{"no data.yaml", "plan/data.yaml", "", "warning missing-file ward/plan/data.yaml: where its data is"},
		{"data.yaml is YAML", "plan/data.yaml", "north: data/north\nsouth,data/south\n", "error syntax ward/plan/data.yaml:1:1: not YAML in spite of its name"},
		{"name in data.yaml", "plan/data.yaml", "north,data/north\nsouht,data/south\n", `warning unknown-collaborator ward/plan/data.yaml:2:1: did you mean "south"`},
		{"name missing in data.yaml", "plan/data.yaml", "# none\nnorth,data/north\n", "warning missing-data ward/plan/cols.yaml:{south}: add a line south,path"},
		{"twice in data.yaml", "plan/data.yaml", "north,data/north\nsouth,data/south\nnorth,x\n", "error duplicate-name ward/plan/data.yaml:3:1: already on line 1"},
		{"path in data.yaml", "plan/data.yaml", "north,data/nord\nsouth,data/south\n", `warning missing-data ward/plan/data.yaml:1:7: nothing at this path (found "data/nord"`},
		{"file of the loader", "data/south/valid.csv", "", "warning missing-data ward/plan/data.yaml:4:7: no valid.csv in this folder"},
		{"absolute path", "plan/data.yaml", "north,/mnt/scans\nsouth,data/south\n", "warning site-path ward/plan/data.yaml:1:7: stays out of the bundle"},
		{"path that leaves", "plan/data.yaml", "north,data/../../x\nsouth,data/south\n", "warning site-path ward/plan/data.yaml:1:7: stays out of the bundle"},
		{"drive", "plan/data.yaml", "north,D:\\x\nsouth,data/south\n", "warning site-path ward/plan/data.yaml:1:7: stays out of the bundle"},
		{"no model", "save/init.pbuf", "", "error missing-model ward/plan/plan.yaml:{save/init.pbuf}: fxctl model init ward"},
		{"no protobuf", "save/init.pbuf", "not a model", "error model ward/save/init.pbuf: cannot be read"},
		{"key", "src/secret.txt", "-----BEGIN PRIVATE KEY-----\n", "error private-key ward/src/secret.txt: holds a private key"},
		{"key in cert", "cert/client/a.key", "-----BEGIN PRIVATE KEY-----\n", "warning private-key ward/cert/client/a.key: holds a private key"},
		{"certificate", "src/chain.crt", "x", "warning leftover ward/src/chain.crt: looks like a certificate"},
		{"compiled", "src/a.pyc", "x", "warning leftover ward/src/a.pyc: a cache"},
		{"cache", "src/__pycache__/a.pyc", "x", "warning leftover ward/src/__pycache__: a cache"},
		{"credentials", ".env", "x", "warning leftover ward/.env: credentials"},
		{"not Python", "src/a.py", "def f(:\n", "error python ward/src/a.py:1:6: is never closed"},
		{"ignore file", ".fxignore", "x\n!y\n", "error syntax ward/.fxignore: .fxignore:2"},
	}
	code := []struct{ name, file, text, want string }{
		{"no module", "src/taskrunner.py", "", "error missing-module ward/plan/plan.yaml:{src.taskrunner.Runner}: src/taskrunner.py, or src/taskrunner/__init__.py"},
		{"no class", "src/taskrunner.py", "class Runer: pass\n", `error missing-class ward/plan/plan.yaml:{src.taskrunner.Runner}: did you mean "Runer"`},
		{"re-export of nothing", "src/data/__init__.py", "from .loader import Lader as Loader\n", `error missing-class ward/plan/plan.yaml:{src.data.Loader}: there is no class "Loader" in src/data/__init__.py`},
		{"perhaps a class", "src/data/__init__.py", "from torch import *\n", "warning missing-class ward/plan/plan.yaml:{src.data.Loader}: from a package that is not in the workspace"},
		{"no function", "src/taskrunner.py", "class Runner:\n    def train(self): pass\n    def validate_task(self): pass\n", `error unknown-function ward/plan/plan.yaml:{train_task}: the task runner Runner of src/taskrunner.py has no such method`},
		{"perhaps a function", "src/taskrunner.py", "import torch\nclass Runner(torch.nn.Module): pass\n", "warning unknown-function ward/plan/plan.yaml:{train_task}: it may inherit one from torch.nn.Module"},
		{"no requirements", "requirements.txt", "", "warning missing-file ward/requirements.txt: nobody knows which packages"},
		{"unpinned", "requirements.txt", "a==1\nnumpy>=1.22, <3\n", "warning unpinned ward/requirements.txt:2:1: write numpy==version"},
		{"wildcard", "requirements.txt", "numpy==1.*\n", "warning unpinned ward/requirements.txt:1:1: no single version"},
		{"address", "requirements.txt", "x @ git+https://example.org/x\n", "warning url-requirement ward/requirements.txt:1:1: not from the index"},
		{"bare address", "requirements.txt", "https://example.org/x.whl\n", "warning url-requirement ward/requirements.txt:1:1: not from the index"},
		{"folder", "requirements.txt", "./src/app\n", "warning url-requirement ward/requirements.txt:1:1: not from the index"},
		{"editable", "requirements.txt", "  -e ./src\n", "warning editable-requirement ward/requirements.txt:1:3: not what was reviewed"},
		{"other index", "requirements.txt", "--extra-index-url=https://example.org\n", "warning requirement-option ward/requirements.txt:1:1: an option for pip"},
		{"other file", "requirements.txt", "-r more.txt\n", "warning requirement-option ward/requirements.txt:1:1: an option for pip"},
		{"one equals sign", "requirements.txt", "# first\nnumpy=1.2\n", "error requirement ward/requirements.txt:2:1: write two equals signs"},
		{"two packages on a line", "requirements.txt", "numpy torch\n", "error requirement ward/requirements.txt:1:1: no requirement"},
		{"marker", "requirements.txt", "numpy==1; python_version > '3\n", "error requirement ward/requirements.txt:1:1: no requirement"},
		{"twice", "requirements.txt", "scikit_learn==1\nScikit.Learn==1\n", "warning duplicate-name ward/requirements.txt:2:1: already on line 1"},
		{"no text", "requirements.txt", "\xff\xfen\x00", "error not-text ward/requirements.txt: not UTF-8"},
	}
	start, own := sound(t), python(t)
	for _, tt := range append(builtin, code...) {
		tree := maps.Clone(start)
		if slices.Contains(code, tt) {
			tree = maps.Clone(own)
		}
		t.Run(tt.name, func(t *testing.T) {
			if tt.text == "" {
				delete(tree, tt.file)
			} else {
				tree[tt.file] = pyFile(tt.text)
			}
			wantFinding(t, checkTree(tree), located(tree, tt.want))
		})
	}
	for _, tt := range []struct {
		name  string
		model *fstest.MapFile
		want  string
	}{
		{"other model", model(t, plain("w", 0, 1)), `error model-mismatch ward/save/init.pbuf: found "w"; allowed hidden.weight`},
		{"missing tensor", model(t, plain("hidden.weight", 0, 1)), `error model-mismatch ward/save/init.pbuf: no tensor "output.bias"`},
		{"other shape", model(t, plain("hidden.weight", 0, 1)), "error model-mismatch ward/save/init.pbuf: found [1]; allowed [64 "},
		{"late round", model(t, plain("w", 10, 1)), "error model-round ward/save/init.pbuf: found round 10; allowed 0 to 9"},
		{"two rounds", model(t, plain("v", 0, 1), plain("w", 1, 1)), "error model ward/save/init.pbuf: a model has one round"},
		{"wrong size", model(t, plain("w", 0, 7)), "error model ward/save/init.pbuf: needs 28"},
		{"other pipeline", model(t, tensor.Named{Name: "w", Metadata: append(tensor.ShapeMetadata([]int{1}), tensor.Metadata{})}), "error model ward/save/init.pbuf: does not fit the compression pipeline"},
		{"link", &fstest.MapFile{Data: []byte("../x"), Mode: fs.ModeSymlink | 0o777}, "error model ward/save/init.pbuf: no regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := maps.Clone(start)
			tree["save/init.pbuf"] = tt.model
			wantFinding(t, checkTree(tree), located(tree, tt.want))
		})
	}
}

// located puts line and column for a text in braces.
func located(tree fstest.MapFS, want string) string {
	before, rest, ok := strings.Cut(want, "{")
	text, after, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return want
	}
	file := strings.TrimPrefix(strings.TrimSuffix(before[strings.LastIndexByte(before, ' ')+1:], ":"), "ward/")
	head, _, _ := strings.Cut(string(tree[file].Data), text)
	line := 1 + strings.Count(head, "\n")
	head = strings.TrimSuffix(head, `"`) // a name in quotes begins there
	return fmt.Sprintf("%s%d:%d%s", before, line, len(head)-strings.LastIndexByte(head, '\n'), after)
}

// wantFinding looks for "severity id file:line:column: a part of the rest".
func wantFinding(t *testing.T, found schema.Findings, want string) {
	t.Helper()
	says, part, _ := strings.Cut(want, ": ")
	for _, f := range found {
		where, _, _ := strings.Cut(f.String(), ": ")
		if f.Severity+" "+f.ID+" "+where == says && strings.Contains(f.String(), part) {
			return
		}
	}
	t.Errorf("got %v, want %s", found, want)
}

// All mistakes at once: none hides another.
func TestCheckFindsEverything(t *testing.T) {
	tree := python(t)
	tree["plan/data.yaml"] = pyFile("north\nelsewhere,/x\n")
	tree["requirements.txt"] = pyFile("numpy=1\ntorch\n")
	tree["src/taskrunner.py"] = pyFile("class Other: pass\n")
	delete(tree, "src/data/loader.py")
	tree["src/data/__init__.py"] = pyFile("x = (\n")
	delete(tree, "save/init.pbuf")
	tree["src/key.pem"] = pyFile("-----BEGIN EC PRIVATE KEY-----\n")
	tree["link"] = &fstest.MapFile{Data: []byte("plan"), Mode: fs.ModeSymlink | 0o777}
	tree["bad:name"] = pyFile("x")
	found := OpenFolder(tree, "ward").Check(func(p string) error {
		if strings.Contains(p, ":") {
			return os.ErrInvalid
		}
		return nil
	})
	for _, id := range []string{
		"syntax", "unknown-collaborator", "site-path", "missing-data", "requirement", "unpinned", "missing-class", "missing-model", "python", "private-key", "link", "path",
	} {
		if !slices.ContainsFunc(found, func(f schema.Finding) bool { return f.ID == id }) {
			t.Errorf("%q is not among\n%v", id, found)
		}
	}
}

// A tensor that no message can hold is found before anybody works.
func TestModelSize(t *testing.T) {
	f := OpenFolder(sound(t), "ward")
	f.modelPipeline("save/init.pbuf", []tensor.Named{{Name: "w", Metadata: tensor.ShapeMetadata([]int{1 << 28}), DataSize: 1 << 30}})
	if len(f.found) != 1 || f.found[0].ID != "model-size" || !strings.Contains(f.found[0].Message, "too large to be sent") {
		t.Errorf("found %v", f.found)
	}
}

// The list of tensors here is that of the task runners themselves.
func TestBuiltinTensors(t *testing.T) {
	for _, o := range []TemplateOptions{{Template: "digits", Model: "mlp"}, {Template: "digits", Model: "softmax"}, {Template: "no-op"}} {
		tree := fstest.MapFS{"plan/plan.yaml": pyFile(render(t, o)["plan/plan.yaml"])}
		data := initialModel(t, tree)
		tensors, err := tensor.ScanModel(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := schema.ParsePlan("plan.yaml", tree["plan/plan.yaml"].Data)
		if err != nil {
			t.Fatal(err)
		}
		want := builtinTensors(plan.Draft().TaskRunner)
		if want == nil || len(want) != len(tensors) {
			t.Errorf("%s: %v, want the %d tensors of the task runner", plan.Draft().TaskRunner.Template, want, len(tensors))
		}
		for _, n := range tensors {
			info, err := n.Info()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(want, func(w tensor.Info) bool { return w.Name == info.Name && slices.Equal(w.Shape, info.Shape) }) {
				t.Errorf("%s: %v is not among %v", plan.Draft().TaskRunner.Template, info, want)
			}
		}
	}
}

// FuzzCheck: whatever the files hold, every finding says what and where.
func FuzzCheck(f *testing.F) {
	f.Add([]byte("collaborators: [one]\n"), []byte("one,1\n"), []byte("a==1\n-e x\n"), []byte{})
	f.Add([]byte("- one\n"), []byte(",\none,/x\r\none: x"), []byte("a @ x\\\n  # y\nb[c]>=1,<2;x in 'y'\n(=\n"), []byte("\x0a\x02\x0a\x00"))
	f.Add([]byte{}, []byte("\xff"), []byte("\xff"), []byte("\x0a\x10\x0a\x01w\x32\x02\x12\x00\x3a\x04\x00\x00\x00\x00"))
	plan := render(f, TemplateOptions{Template: "digits"})["plan/plan.yaml"]
	f.Fuzz(func(t *testing.T, cols, data, requirements, model []byte) {
		tree := fstest.MapFS{"plan/plan.yaml": pyFile(plan)}
		for name, content := range map[string][]byte{"plan/cols.yaml": cols, "plan/data.yaml": data, "requirements.txt": requirements, "save/init.pbuf": model} {
			tree[name] = &fstest.MapFile{Data: content, Mode: 0o644}
		}
		for _, finding := range checkTree(tree) {
			if finding.ID == "" || finding.Severity == "" || finding.File == "" || finding.Message == "" || finding.Line < 0 || finding.Column < 0 || (finding.Line == 0) != (finding.Column == 0) {
				t.Fatalf("incomplete finding %+v", finding)
			}
		}
	})
}
