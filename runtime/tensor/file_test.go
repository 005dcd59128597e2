package tensor

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.pbuf")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			return err
		}
	}
	has := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("the file is %q, %v, want %q", got, err, want)
		}
	}
	if err := WriteFile(path, false, text("one")); err != nil {
		t.Fatal(err)
	}
	has("one")
	if err := WriteFile(path, false, text("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there: got %v", err)
	}
	has("one")
	if err := WriteFile(path, true, text("three")); err != nil {
		t.Fatal(err)
	}
	has("three")
	cause := errors.New("no more")
	if err := WriteFile(path, true, func(w io.Writer) error { return errors.Join(text("half")(w), cause) }); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	has("three")
	race := filepath.Join(dir, "race")
	err := WriteFile(race, false, func(io.Writer) error { return os.WriteFile(race, []byte("other"), 0o600) })
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that appears meanwhile: got %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "absent", "x"), true, text("")); err == nil {
		t.Error("a folder that is not there gives no error")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v, %v, want two files", left, err)
	}
}
