package workspace_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"fx/bundle/workspace"
	"fx/schema"
)

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), Mode: 0o644} }

// typical is a workspace after its owner has worked with it.
func typical() fstest.MapFS {
	return fstest.MapFS{
		".workspace":                  file("current_plan_name: default\n"),
		"plan/plan.yaml":              file("x: 1\n"),
		"plan/cols.yaml":              file("collaborators: []\n"),
		"plan/data.yaml":              file("# shards\none,1\ntwo,data/two\n"),
		"plan/plan.schema.json":       file("{}"),
		"src/model.py":                file("pass\n"),
		"src/data/loader.py":          file("pass\n"),
		"src/__pycache__/model.pyc":   file("x"),
		"src/old.PYC":                 file("x"),
		"requirements.txt":            file("numpy==2\n"),
		"README.md":                   file("hello\n"),
		"weights/base.safetensors":    file("x"),
		"save/init.pbuf":              file("x"),
		"save/best.pbuf":              file("x"),
		"save/last.pbuf":              file("x"),
		"cert/cert_chain.crt":         file("x"),
		"cert/client/col_a.key":       file("-----BEGIN PRIVATE KEY-----"),
		"data/one.csv":                file("secret"),
		"logs/a.log":                  file("x"),
		"local_state/x":               file("x"),
		".git/config":                 file("x"),
		".env":                        file("TOKEN=1"),
		"old.fxb":                     file("x"),
		"old.fxb.sigs.jsonl":          file("x"),
		"notes/draft.txt":             file("x"),
		"notes/keep/final.txt":        file("x"),
		"big.bin":                     file("x"),
		".fxignore":                   file("# mine\nbig.*\nnotes/*.txt\nscratch/\n"),
		"src/scratch/junk.txt":        file("x"),
		"src/scratch.py":              file("pass\n"),
		"src/venv/lib/site/module.py": file("x"),
	}
}

func names(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var list []string
	if err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, p)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPackChooses(t *testing.T) {
	tree, excluded, err := workspace.Pack(typical(), workspace.PackOptions{Models: []string{"save/init.pbuf"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		".fxignore", ".workspace", "README.md", "notes/keep/final.txt", "plan/cols.yaml", "plan/data.yaml", "plan/plan.yaml",
		"requirements.txt", "save/init.pbuf", "src/data/loader.py", "src/model.py", "src/scratch.py", "weights/base.safetensors",
	}
	if got := names(t, tree); !slices.Equal(got, want) {
		t.Errorf("packed %q\nwant   %q", got, want)
	}
	if err := fstest.TestFS(tree, want...); err != nil {
		t.Error(err)
	}
	var out []string
	for _, e := range excluded {
		out = append(out, e.Path)
		if e.Reason == "" {
			t.Errorf("%q is excluded without a reason", e.Path)
		}
	}
	wantOut := []string{
		".env", ".git/", "big.bin", "cert/", "data/", "local_state/", "logs/", "notes/draft.txt", "old.fxb", "old.fxb.sigs.jsonl",
		"plan/plan.schema.json", "save/best.pbuf", "save/last.pbuf", "src/__pycache__/", "src/old.PYC", "src/scratch/", "src/venv/",
	}
	if !slices.Equal(out, wantOut) {
		t.Errorf("excluded %q\nwant     %q", out, wantOut)
	}
	if _, err := tree.Open("data/one.csv"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an excluded file can be opened: %v", err)
	}
}

func TestPackSitePaths(t *testing.T) {
	for _, path := range []string{"/mnt/scans", "../scans", "a/../../b", `C:\scans`, "~/scans", "s3://bucket/x", `\\host\share`} {
		w := fstest.MapFS{"plan/plan.yaml": file("x"), "plan/data.yaml": file("one,1\ntwo," + path + "\n")}
		tree, excluded, err := workspace.Pack(w, workspace.PackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, tree); !slices.Equal(got, []string{"plan/plan.yaml"}) || len(excluded) != 1 {
			t.Errorf("data.yaml with %q: packed %q, excluded %v", path, got, excluded)
		}
	}
	w := fstest.MapFS{"plan/data.yaml": file("no comma\n")}
	if _, _, err := workspace.Pack(w, workspace.PackOptions{}); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("broken data.yaml: got %v, want an invalid document", err)
	}
}

func TestPackRefusesKeys(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	begin, _, _ := bytes.Cut(text, []byte("\n")) // without the last line, which says the same
	straddling := append(bytes.Repeat([]byte{'x'}, 1<<20-20), begin...)
	for name, data := range map[string][]byte{
		"pkcs8.pem":     text,
		"pkcs8.der":     der,
		"openssh":       []byte("x\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA"),
		"encrypted.pem": []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA"),
		"pgp.asc":       []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA"),
		"putty.ppk":     []byte("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n"),
		"in-a-script":   append([]byte("KEY = '''"), text...),
		"late.bin":      append(make([]byte, 5<<20), text...),
		"straddling":    straddling,
		"straddling-2":  straddling[7:],
	} {
		w := fstest.MapFS{"plan/plan.yaml": file("x"), "src/" + name: {Data: data, Mode: 0o644}}
		_, _, err := workspace.Pack(w, workspace.PackOptions{})
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "src/"+name) {
			t.Errorf("%s: got %v, want a refusal by name", name, err)
		}
	}
	w := fstest.MapFS{"public.pem": file("-----BEGIN PUBLIC KEY-----\nAAAA\n"), "empty": file(""), "zeros": {Data: make([]byte, 3<<20)}}
	if _, _, err := workspace.Pack(w, workspace.PackOptions{}); err != nil {
		t.Errorf("no private key there, yet: %v", err)
	}
}

func TestPackRefusesLinks(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plan.yaml"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "innocent.txt")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	_, _, err := workspace.Pack(os.DirFS(dir), workspace.PackOptions{})
	if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "innocent.txt") {
		t.Errorf("got %v, want a refusal by name", err)
	}
}

func TestIgnorePatterns(t *testing.T) {
	for _, bad := range []string{"!keep", "a/**/b", "[", "/"} {
		w := fstest.MapFS{"a": file("x"), ".fxignore": file("# first\n" + bad + "\n")}
		_, _, err := workspace.Pack(w, workspace.PackOptions{})
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), ".fxignore:2") {
			t.Errorf("pattern %q: got %v, want a refusal of line 2", bad, err)
		}
	}
	w := fstest.MapFS{"a": file("x"), ".fxignore": file("*\n")}
	if _, _, err := workspace.Pack(w, workspace.PackOptions{}); !errors.Is(err, schema.ErrInvalid) {
		t.Errorf("an empty selection: got %v, want an invalid document", err)
	}
}
