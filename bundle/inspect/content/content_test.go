package content_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"fx/bundle/inspect/content"
	"fx/bundle/inspect/finding"
)

func scan(t testing.TB, name string, size int64, r io.ReaderAt) *content.File {
	t.Helper()
	f, err := content.Scan(name, size, r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func scanText(t testing.TB, name, text string) *content.File {
	t.Helper()
	return scan(t, name, int64(len(text)), strings.NewReader(text))
}

func has(f *content.File, rule string) bool {
	return slices.ContainsFunc(f.Findings, func(x finding.Finding) bool { return x.Rule == rule })
}

// TestHarmless: what looks like trouble and is none.
func TestHarmless(t *testing.T) {
	for _, c := range []struct{ name, path, text, never string }{
		{"a method called eval", "m.py", "model.eval()\n", "B307"},
		{"a method called system", "m.py", "self.solver.system(3)\n", "B605"},
		{"a function of its own", "m.py", "def system(x): pass\nsystem('x')\n", "B605"},
		{"a parameter", "m.py", "import os\ndef f(os):\n    os.system('x')\n", "B605"},
		{"a regular expression", "m.py", "import re\nre.compile('x')\n", "B102"},
		{"weights only", "m.py", "import torch\ntorch.load('x', weights_only=True)\n", "B614"},
		{"safe loader", "m.py", "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)\n", "B506"},
		{"a docstring", "m.py", "def f():\n    '''os.system(\"id\") and /etc/passwd'''\n", "sensitive-path"},
		{"a comment", "m.py", "# import os; os.system('id')\n", "B605"},
		{"a program's guard", "m.py", "import os\nif __name__ == '__main__':\n    os.system('x')\n", "import-time"},
		{"inside a function", "m.py", "import os\ndef f():\n    os.system('x')\n", "import-time"},
		{"getattr of an object", "m.py", "getattr(self, name)()\n", "dynamic-attribute"},
		{"Cyrillic text", "m.py", "x = 'привет'\n", "homoglyph"},
		{"a Greek name", "m.py", "λ = 1\n", "homoglyph"},
		{"a placeholder", "c.yaml", "password: changeme-please-now\n", "secret"},
		{"an environment variable", "m.py", "password = os.environ['X']\n", "B105"},
		{"a well-known package", "requirements.txt", "requests==2.31.0\n", "dep-typo"},
		{"a pinned, hashed package", "requirements.txt", "numpy==1.26.4 --hash=sha256:" + strings.Repeat("ab", 32) + "\n", "dep-unhashed"},
		{"a long sentence", "m.py", "x = '" + strings.Repeat("plain words and more ", 20) + "'\n", "obfuscated-literal"},
		{"a list of words", "notes.txt", "cat\nos\nsystem\n.\n", "pickle-code"},
		{"a PyTorch model named .pth", "m.pth", "PK\x05\x06" + strings.Repeat("\x00", 18), "import-hook"},
	} {
		if f := scanText(t, c.path, c.text); has(f, c.never) {
			t.Errorf("%s: %s was raised: %+v", c.name, c.never, f.Findings)
		}
	}
}

// TestNothingUnsaid: a file that is not analysed has a finding that says so.
func TestNothingUnsaid(t *testing.T) {
	for _, s := range hostile(t) {
		f := scan(t, s.path, int64(len(s.data)), bytes.NewReader(s.data))
		if (!f.Analysed || f.Reason != "") && !has(f, "not-analysed") && !has(f, "pickle-broken") {
			t.Errorf("%s: analysed %t, reason %q, and no finding says so", s.path, f.Analysed, f.Reason)
		}
		for _, x := range f.Findings {
			for _, bad := range []string{"\x1b", "\u202e", "\u200b", "\n", "\r"} {
				if strings.Contains(x.Message+x.Code+x.Path, bad) {
					t.Errorf("%s: a finding has %q: %+v", s.path, bad, x)
				}
			}
		}
	}
}

// TestFingerprints: a finding keeps its fingerprint when lines move, and two equal
// lines have two.
func TestFingerprints(t *testing.T) {
	of := func(text string) []string {
		var out []string
		for _, f := range finding.Seal(scanText(t, "m.py", text).Findings) {
			if f.Rule == "B605" {
				out = append(out, f.Fingerprint)
			}
		}
		return out
	}
	code := "def f():\n    os.system('x')\n    os.system('x')\n"
	a, b := of("import os\n"+code), of("import os\n\n\n# more\n"+code)
	if len(a) != 2 || a[0] == a[1] || !slices.Equal(a, b) {
		t.Errorf("fingerprints %v and %v", a, b)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("the disk is gone") }

func TestReadErrorsAreErrors(t *testing.T) {
	if _, err := content.Scan("x.py", 100, broken{}); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("error %v", err)
	}
}

func TestSecretsAreNotRepeated(t *testing.T) {
	for _, s := range secretSamples() {
		f := scan(t, s.path, int64(len(s.data)), bytes.NewReader(s.data))
		for _, x := range f.Findings {
			if strings.Contains(x.Code, "q8Zr2LmV5xTn7KpW3yBc9DfG6hJs4AeU") {
				t.Errorf("%s: the finding shows the secret: %s", s.path, x.Code)
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range hostile(f) {
		f.Add(s.path, s.data)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if _, err := content.Scan(name, int64(len(data)), bytes.NewReader(data)); err != nil {
			t.Error(err)
		}
	})
}
