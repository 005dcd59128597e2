package bundle

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// TestAssemble puts a new version together from an old one: only what changed is
// fetched, and nothing that was tampered with gets in.
func TestAssemble(t *testing.T) {
	weights := strings.Repeat("0123456789abcdef", 4096)
	before := forgery{files: map[string]string{"weights.bin": weights}}.build(t)
	after := forgery{files: map[string]string{"weights.bin": weights, "src/a.py": "x = 1\n"}}.build(t)
	open := func(data []byte) *Bundle {
		b, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old, target := open(before), open(after)
	source := after
	fetch := func(_ context.Context, off, n int64) ([]byte, error) { return source[off : off+n], nil }
	for _, have := range [][]*Bundle{nil, {old}} {
		var out bytesAt
		got, err := Assemble(context.Background(), &out, target.Manifest(), target.ID(), have, fetch, nil)
		if err != nil || !bytes.Equal(out, after) {
			t.Fatalf("got another file (%v)", err)
		}
		if frames := got.Fetched + got.Copied; got.Size != int64(len(after)) || frames >= got.Size || (got.Copied > 0) != (len(have) > 0) {
			t.Errorf("got %+v for %d bytes", got, len(after))
		}
		if len(have) > 0 && got.Fetched > got.Copied/10 {
			t.Errorf("%d bytes were fetched, %d copied: the change is of one small file", got.Fetched, got.Copied)
		}
	}
	var out bytesAt
	source = bytes.Clone(after)
	source[target.offsets[0]+20] ^= 1
	if _, err := Assemble(context.Background(), &out, target.Manifest(), target.ID(), nil, fetch, nil); cause(err) != CauseFrameSum {
		t.Errorf("a changed frame: got %v", err)
	}
	if _, err := Assemble(context.Background(), &out, old.Manifest(), target.ID(), nil, fetch, nil); cause(err) != CauseManifestDigest {
		t.Errorf("another manifest: got %v", err)
	}
	short := func(_ context.Context, off, n int64) ([]byte, error) { return after[off : off+n-1], nil }
	if _, err := Assemble(context.Background(), &out, target.Manifest(), target.ID(), nil, short, nil); cause(err) != CauseFileCut {
		t.Errorf("too few bytes: got %v", err)
	}
	lost := errors.New("lost")
	gone := func(context.Context, int64, int64) ([]byte, error) { return nil, lost }
	if _, err := Assemble(context.Background(), &out, target.Manifest(), target.ID(), nil, gone, nil); !errors.Is(err, lost) {
		t.Errorf("no connection: got %v", err)
	}
}

// FuzzOCIManifest: what is accepted is written back to the same bytes.
func FuzzOCIManifest(f *testing.F) {
	o := OCI{Title: "ward-1.0.fxb", ConfigSHA256: strings.Repeat("ab", 32), FileSHA256: strings.Repeat("cd", 32), ConfigBytes: 600, FileBytes: 9000}
	if got, err := ParseOCIManifest(OCIManifest(o)); err != nil || got != o {
		f.Fatalf("got %+v, %v", got, err)
	}
	f.Add(OCIManifest(o))
	o.Title = "../x.fxb"
	if _, err := ParseOCIManifest(OCIManifest(o)); cause(err) != CauseOCIManifest {
		f.Fatalf("a title with a slash: got %v", err)
	}
	f.Add(OCIManifest(o))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := ParseOCIManifest(data); err == nil && !bytes.Equal(OCIManifest(o), data) {
			t.Fatal("accepted what it would not write")
		}
	})
}
