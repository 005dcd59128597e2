package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"
)

// TestCauses: every cause is in FORMAT.md, and there is a vector for each but
// those that are about files of unusual size or state.
func TestCauses(t *testing.T) {
	elsewhere := map[string]string{
		"not-a-file":        "TestOpenFile",
		"oci-manifest":      "FuzzOCIManifest",
		"file-cut":          "TestShrinks",
		"manifest-size":     "TestManifestSize",
		"manifest-no-files": "TestCreateRefuses",
		"path-count":        "TestManifestSize",
	}
	source, err := os.ReadFile("fault.go")
	if err != nil {
		t.Fatal(err)
	}
	format, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	causes := regexp.MustCompile(`Cause = "([a-z0-9-]+)"`).FindAllSubmatch(source, -1)
	if len(causes) < 40 {
		t.Fatalf("found %d causes in fault.go", len(causes))
	}
	for _, c := range causes {
		cause := string(c[1])
		if !bytes.Contains(format, []byte("`"+cause+"`")) {
			t.Errorf("FORMAT.md does not name %q", cause)
		}
		vectors, err := filepath.Glob(filepath.Join("testdata", "vectors", cause+".*"))
		if err != nil || (len(vectors) == 0) != (elsewhere[cause] != "") {
			t.Errorf("%q has %d vectors (%v), and is tested by %q", cause, len(vectors), err, elsewhere[cause])
		}
	}
}

// cause returns the cause of err, "" when it is no Fault.
func cause(err error) Cause {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Cause
	}
	return ""
}

// TestShrinks cuts the file off after it was opened.
func TestShrinks(t *testing.T) {
	data := forgery{}.build(t)
	r := &shrinking{data: data}
	b, err := Open(r, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r.data = data[:b.offsets[1]+5]
	if _, err := b.Check(context.Background(), nil); cause(err) != CauseFileCut {
		t.Errorf("got %v, want %q", err, CauseFileCut)
	}
}

type shrinking struct{ data []byte }

func (s *shrinking) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.data).ReadAt(p, off)
}

// TestManifestSize has manifests and lists that are too long.
func TestManifestSize(t *testing.T) {
	if _, err := parseManifest(make([]byte, maxManifest+1)); cause(err) != CauseManifestSize {
		t.Errorf("got %v, want %q", err, CauseManifestSize)
	}
	m := &manifest{Name: "a", Version: "1", FrameMax: FrameMax, Files: make([]File, maxFiles+1)}
	for i := range m.Files {
		m.Files[i].Path = fmt.Sprintf("f%06d", i)
	}
	if err := m.check(); cause(err) != CausePathCount {
		t.Errorf("got %v, want %q", err, CausePathCount)
	}
}

// TestCreateRefuses has trees of which nobody may make a bundle.
func TestCreateRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		tree fstest.MapFS
		want Cause
	}{
		"nothing":          {fstest.MapFS{"folder": {Mode: fs.ModeDir | 0o755}}, CauseManifestEmpty},
		"a link":           {fstest.MapFS{"a": {Mode: fs.ModeSymlink}}, CauseNotRegular},
		"a pipe":           {fstest.MapFS{"a": {Mode: fs.ModeNamedPipe}}, CauseNotRegular},
		"a device":         {fstest.MapFS{"a": {Mode: fs.ModeDevice}}, CauseNotRegular},
		"names that clash": {fstest.MapFS{"a": {}, "A": {}}, CausePathClash},
	} {
		if _, err := Create(context.Background(), discard{}, test.tree, Options{Name: "a", Version: "1"}); cause(err) != test.want {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
