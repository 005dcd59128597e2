package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/runtime/tensor"
	"fx/schema"
)

// uploaded writes b in pieces of these sizes, over and over.
func uploaded(t testing.TB, j *Journal, b []byte, head func(*Results) error, sizes ...int) (*Upload, error) {
	t.Helper()
	u, err := j.Upload()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Discard() })
	u.Head = head
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), max(1, sizes[i%len(sizes)]))
		if _, err := u.Write(b[:n]); err != nil {
			return u, err
		}
		b = b[n:]
	}
	return u, nil
}

func emptyJournal(t testing.TB) *Journal {
	t.Helper()
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return &Journal{store: d}
}

func floats(v ...float32) []byte { return tensor.AppendFloat32s(nil, v) }

// TestUploadInPieces cuts a message everywhere: what is found does not change.
func TestUploadInPieces(t *testing.T) {
	inf := float32(math.Inf(1))
	b, err := proto.Marshal(&openflpb.TaskResults{
		Header: &openflpb.MessageHeader{Sender: "one"}, RoundNumber: -1, TaskName: "train", DataSize: 300,
		Tensors: []*openflpb.NamedTensor{
			{Name: "w", Tags: []string{"compressed"}, DataBytes: floats(1, 2, inf, 4, inf)},
			{Name: "nothing", TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{0}}}},
			{Name: "b", DataBytes: floats(1, math.MaxFloat32)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := ScanResults(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	j := emptyJournal(t)
	for size := 1; size <= len(b); size++ {
		asked := 0
		u, err := uploaded(t, j, b, func(r *Results) error {
			if asked++; !bytes.Equal(r.Header, want.Header) || r.Task != "train" {
				t.Errorf("Head sees %+v", r)
			}
			return nil
		}, size)
		if err != nil {
			t.Fatalf("pieces of %d bytes: %v", size, err)
		}
		got, err := u.Results()
		if err != nil || !reflect.DeepEqual(got, want) || asked != 1 {
			t.Fatalf("pieces of %d bytes: got %+v (%v, Head asked %d times), want %+v", size, got, err, asked, want)
		}
		if u.SHA256() != hex.EncodeToString(sum[:]) || u.Size() != int64(len(b)) {
			t.Fatalf("pieces of %d bytes: %d bytes with SHA-256 %s were stored", size, u.Size(), u.SHA256())
		}
		if at, v, found := u.NonFinite(0); !found || at != 2 || v != inf {
			t.Fatalf("pieces of %d bytes: element %d is %v (%v)", size, at, v, found)
		}
		if _, _, found := u.NonFinite(2); found {
			t.Fatalf("pieces of %d bytes: a finite tensor is said not to be", size)
		}
	}
}

func TestUploadEndsWhereHeadSays(t *testing.T) {
	refused := errors.New("not from you")
	u, err := uploaded(t, emptyJournal(t), message(t), func(*Results) error { return refused }, 5)
	if !errors.Is(err, refused) || errors.Is(err, schema.ErrInvalid) {
		t.Errorf("got %v, want Head's error", err)
	}
	if _, err := u.Results(); !errors.Is(err, refused) {
		t.Errorf("got %v, want Head's error to stay", err)
	}
}

// FuzzUpload compares what is read of pieces with what is read of the whole.
func FuzzUpload(f *testing.F) {
	whole := message(f)
	f.Add(whole, 1, 3)
	f.Add(append(bytes.Clone(whole), whole...), 7, 64)
	f.Add(whole[:len(whole)-2], 5, 5)
	f.Add([]byte{0x2a, 6, 0x0a, 1, 'w', 0x3a, 0, 0x3a}, 1, 1)              // a second payload, cut off
	f.Add([]byte{0x2a, 4, 0x3a, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 2, 1)       // a payload beyond its tensor
	f.Add([]byte{0x2a, 3, 0x10, 0x80, 0x80, 0x00}, 1, 2)                   // a number beyond its tensor
	f.Add([]byte{0x2a, 7, 0xba, 0x00, 0x81, 0x00, 9, 0x08, 0x01}, 1, 2)    // numbers longer than they need be
	f.Add([]byte{0x32, 0}, 1, 1)                                           // a field that does not exist
	f.Add([]byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1}, 1, 1) // an endless name
	f.Fuzz(func(t *testing.T, b []byte, first, second int) {
		want, wantErr := ScanResults(bytes.NewReader(b), int64(len(b)))
		var w uploadWalk
		w.reset()
		var err error
		for i, rest := 0, b; len(rest) > 0 && err == nil; i++ {
			n := min(len(rest), max(1, []int{first, second}[i%2]))
			err, rest = w.feed(rest[:n], nil), rest[n:]
		}
		var got *Results
		if err == nil {
			got, err = w.end()
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got error %v, of the whole %v", err, wantErr)
		}
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) { // which NaN does not disturb
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}
