package sbom_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"fx/bundle"
	"fx/bundle/sbom"
)

type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.data) {
		m.data = append(m.data, make([]byte, need-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

func document(t *testing.T, tree fstest.MapFS) []byte {
	t.Helper()
	var m memory
	if _, err := bundle.Create(context.Background(), &m, tree, bundle.Options{Name: "ward", Version: "1.0"}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(bytes.NewReader(m.data), int64(len(m.data)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Check(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := sbom.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNew(t *testing.T) {
	tree := fstest.MapFS{
		"plan/plan.yaml": {Data: []byte("rounds: 1\n")},
		"requirements.txt": {Data: []byte("# tools\nnumpy==1.24.2\nTorch_Vision [extra] == 0.14.1 ; python_version > '3'\npandas>=2\n-r other.txt\n--index-url https://example.org\n" +
			"git+https://example.org/x.git\nhttps://example.org/y.whl\nscipy==1.*\nnumpy==1.24.2\n")},
		"src/go.mod": {Data: []byte("module example.org/model\n\ngo 1.26\n\nrequire gonum.org/v1/gonum v0.17.0\nrequire (\n\tgolang.org/x/text v0.43.0 // indirect\n)\n")},
	}
	data := document(t, tree)
	if !bytes.Equal(data, document(t, tree)) {
		t.Error("the same bundle gives another document")
	}
	var doc struct {
		BOMFormat, SpecVersion, SerialNumber string
		Components                           []struct{ Type, Name, PURL string }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var purls, files []string
	for _, c := range doc.Components {
		if c.Type == "file" {
			files = append(files, c.Name)
		} else {
			purls = append(purls, c.PURL)
		}
	}
	if want := []string{"pkg:golang/golang.org/x/text@v0.43.0", "pkg:golang/gonum.org/v1/gonum@v0.17.0",
		"pkg:pypi/numpy@1.24.2", "pkg:pypi/pandas", "pkg:pypi/scipy", "pkg:pypi/torch-vision@0.14.1"}; !slices.Equal(purls, want) {
		t.Errorf("packages are %q, want %q", purls, want)
	}
	if want := []string{"plan/plan.yaml", "requirements.txt", "src/go.mod"}; !slices.Equal(files, want) {
		t.Errorf("files are %q, want %q", files, want)
	}
	if doc.BOMFormat != "CycloneDX" || doc.SpecVersion != "1.6" || len(doc.SerialNumber) != len("urn:uuid:")+36 {
		t.Errorf("got %+v", doc)
	}
}

// TestManyFiles: what has no room is counted, not forgotten.
func TestManyFiles(t *testing.T) {
	tree := fstest.MapFS{}
	for i := range 1203 {
		tree[fmt.Sprintf("src/f%04d.py", i)] = &fstest.MapFile{}
	}
	data := document(t, tree)
	if !strings.Contains(string(data), `{"name":"fx:leftOut","value":"203 files"}`) || len(data) > 400<<10 {
		t.Errorf("%d bytes: %.600s", len(data), data)
	}
}
