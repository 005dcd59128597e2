package journal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
	"fx/schema"
)

func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func draft(t *testing.T, s Store, content string) Draft {
	t.Helper()
	d, err := s.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, content); err != nil {
		t.Fatal(err)
	}
	return d
}

func content(t *testing.T, s Store, name string) string {
	t.Helper()
	o, err := s.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnObjectAppearsWhole(t *testing.T) {
	s := openDir(t, t.TempDir())
	d := draft(t, s, "hello")
	if names, err := s.List("a"); err != nil || len(names) > 0 {
		t.Errorf("before the commit: %q, %v; want nothing", names, err)
	}
	if err := d.Commit("a/b/c"); err != nil {
		t.Fatal(err)
	}
	if got := content(t, s, "a/b/c"); got != "hello" {
		t.Errorf("content %q, want %q", got, "hello")
	}
}

func TestAnObjectIsNeverReplaced(t *testing.T) {
	s := openDir(t, t.TempDir())
	if err := draft(t, s, "first").Commit("x"); err != nil {
		t.Fatal(err)
	}
	if err := draft(t, s, "second").Commit("x"); !errors.Is(err, ErrExists) {
		t.Errorf("error %v, want ErrExists", err)
	}
	if got := content(t, s, "x"); got != "first" {
		t.Errorf("content %q, want that of the first", got)
	}
}

func TestDraftsOfAKilledProcessAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	draft(t, s, "lost")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, dir)
	left, err := os.ReadDir(filepath.Join(dir, draftsFolder))
	if err != nil || len(left) > 0 {
		t.Errorf("drafts %v, %v; want none", left, err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	openDir(t, dir)
	if _, err := OpenDir(dir); err == nil || !strings.Contains(err.Error(), "another process works in it") {
		t.Errorf("error %v, want one about the other process", err)
	}
}

func TestNamesStayInside(t *testing.T) {
	s := openDir(t, t.TempDir())
	for _, name := range []string{"../x", "/x", "", ".", ".drafts/x", "a/../../x"} {
		if err := draft(t, s, "x").Commit(name); err == nil {
			t.Errorf("an object could be named %q", name)
		}
		if _, err := s.Open(name); err == nil {
			t.Errorf("an object %q could be opened", name)
		}
	}
}

func TestRemoveAndList(t *testing.T) {
	s := openDir(t, t.TempDir())
	for _, n := range []string{"r/2", "r/1", "q/1"} {
		if err := draft(t, s, n).Commit(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Remove("r/2"), s.Remove("r/none")); err != nil {
		t.Error(err)
	}
	if names, err := s.List("r"); err != nil || !slices.Equal(names, []string{"r/1"}) {
		t.Errorf("List: %q, %v; want r/1", names, err)
	}
	if _, err := s.Open("r/2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open after Remove: %v, want fs.ErrNotExist", err)
	}
}

func TestResultsOfAnyNameAreFoundAgain(t *testing.T) {
	j, err := Open(openDir(t, t.TempDir()), Federation{FederationID: "f"})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"train", "a/b", "..", "ä %"} {
		if err := j.Accept(draft(t, j.Store(), ""), 3, task, "col-1"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := j.Accepted(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"train", "a/b", "..", "ä %"} {
		if !slices.Equal(got[task], []string{"col-1"}) {
			t.Errorf("task %q has results of %q, want col-1", task, got[task])
		}
	}
}

func TestAChangedRecordIsDamage(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(openDir(t, dir), Federation{FederationID: "f"})
	if err != nil {
		t.Fatal(err)
	}
	c := Closing{Round: 1, Done: []string{"one"}, Stragglers: []string{}, Results: []ResultEntry{}}
	if _, err := j.WriteClosing(c); err != nil {
		t.Fatal(err)
	}
	if _, err := j.WriteClosing(c); err != nil {
		t.Errorf("the same record again: %v, want no error", err)
	}
	c.Done = []string{"two"}
	if _, err := j.WriteClosing(c); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("another record of that name: %v, want an error about damage", err)
	}
	path := filepath.Join(dir, "rounds/000001/closing.json")
	if err := os.WriteFile(path, []byte(`{"round":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := j.Closing(1); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "closing.json") {
		t.Errorf("a torn record: %v, want ErrInvalid that names it", err)
	}
}

func message(t testing.TB) []byte {
	t.Helper()
	b, err := proto.Marshal(&openflpb.TaskResults{
		Header: &openflpb.MessageHeader{Sender: "one", Receiver: "agg"}, RoundNumber: 3, TaskName: "train", DataSize: -1,
		Tensors: []*openflpb.NamedTensor{{
			Name: "w", RoundNumber: 3, Tags: []string{"compressed", "trained"}, DataBytes: []byte{1, 2, 3, 4},
			TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{1}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestScanResults(t *testing.T) {
	b := message(t)
	r, err := ScanResults(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	header := &openflpb.MessageHeader{}
	if err := proto.Unmarshal(r.Header, header); err != nil {
		t.Fatal(err)
	}
	if header.GetSender() != "one" || r.Round != 3 || r.Task != "train" || r.DataSize != -1 || len(r.Tensors) != 1 {
		t.Fatalf("scanned %+v", r)
	}
	w := r.Tensors[0]
	if got := b[w.DataOffset : w.DataOffset+w.DataSize]; !bytes.Equal(got, []byte{1, 2, 3, 4}) || w.Name != "w" || !HasTag(w, "trained") || HasTag(w, "train") {
		t.Errorf("tensor %+v with values %v", w, got)
	}
}

func TestScanResultsRefusesEveryTruncation(t *testing.T) {
	b := message(t)
	for n := 1; n < len(b); n++ {
		r, err := ScanResults(bytes.NewReader(b[:n]), int64(n))
		if err == nil && len(r.Tensors) > 0 {
			t.Errorf("%d of %d bytes were read as a result with a tensor", n, len(b))
		}
		if err != nil && !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%d of %d bytes: %v, want ErrInvalid", n, len(b), err)
		}
	}
}

// TestAResultThatIsAllNamesIsRefused: values stay in the file, but what describes
// them is held in memory and must not grow without end.
func TestAResultThatIsAllNamesIsRefused(t *testing.T) {
	tag := strings.Repeat("x", 4<<10)
	chatty := &openflpb.NamedTensor{Name: "w"}
	for range 256 {
		chatty.Tags = append(chatty.Tags, tag)
	}
	r := &openflpb.TaskResults{}
	for range 33 { // of a MiB each
		r.Tensors = append(r.Tensors, chatty)
	}
	b, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ScanResults(bytes.NewReader(b), int64(len(b))); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "names, tags and shapes") {
		t.Errorf("error %v, want one about names, tags and shapes", err)
	}
}

func FuzzScanResults(f *testing.F) {
	f.Add(message(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ScanResults(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Errorf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		for _, n := range r.Tensors {
			if n.DataOffset < 0 || n.DataSize < 0 || n.DataOffset+n.DataSize > int64(len(b)) {
				t.Errorf("tensor %q lies at %d+%d of %d bytes", n.Name, n.DataOffset, n.DataSize, len(b))
			}
		}
	})
}

// What lies in a journal and is no file is named, and never waited for: opening a
// pipe would last until somebody writes into it.
func TestWhatIsNoFileIsDamage(t *testing.T) {
	dir := t.TempDir()
	store, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, name := range []string{"folder", "link", "socket"} {
		if _, err := store.Open(name); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v, want damage", name, err)
		}
	}
}
