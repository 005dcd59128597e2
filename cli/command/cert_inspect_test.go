package command

import (
	"bytes"
	"encoding/pem"
	"errors"
	"go/build"
	"io"
	"os"
	"path/filepath"
	"testing"

	"fx/ca/identity"
	"fx/ca/issuer"
)

// Whatever a file holds, inspection says what it is or that it is invalid, and
// shows nothing of a private key.
func FuzzInspect(f *testing.F) {
	key, err := identity.NewKey(identity.P256)
	if err != nil {
		f.Fatal(err)
	}
	text, err := identity.EncodeKey(key)
	if err != nil {
		f.Fatal(err)
	}
	der, err := identity.NewRequest(key, identity.Aggregator, "agg.example.org")
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(text)
	f.Add(text)
	f.Add(block.Bytes)
	f.Add(der)
	f.Add(identity.EncodeRequest(der))
	f.Add([]byte("PK\x03\x04"))
	// The NIST suite's certificates ship with the Go source: a varied lot.
	pkits, err := filepath.Glob(filepath.Join(build.Default.GOROOT, "src", "crypto", "x509", "testdata", "nist-pkits", "certs", "*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range pkits {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := inspectData(data)
		if err != nil {
			if !errors.Is(err, identity.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		r := &certInspectResult{Items: items}
		if err := r.Text(io.Discard); err != nil || len(items) == 0 && !issuer.IsZip(data) {
			t.Fatalf("%d items: %v", len(items), err)
		}
	})
}

func TestInspectShowsNoPrivateBytes(t *testing.T) {
	for _, keyType := range identity.Aggregator.KeyTypes() {
		key, err := identity.NewKey(keyType)
		if err != nil {
			t.Fatal(err)
		}
		text, err := identity.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		items, err := inspectData(text)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := (&certInspectResult{Items: items}).Text(&out); err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(text, []byte("\n"))[1:] {
			if len(line) > 8 && bytes.Contains(out.Bytes(), line) {
				t.Errorf("%s: a line of the key is shown", keyType)
			}
		}
	}
}
