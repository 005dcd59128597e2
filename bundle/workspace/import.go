package workspace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"fx/schema"
)

// Imported is what came out of an archive.
type Imported struct {
	Files   []string   // paths inside the workspace, sorted
	Bytes   int64      // of all files
	LeftOut []Excluded // what the archive holds and the workspace does not
	Prefix  string     // folder of the archive that became the workspace; "" for its top
}

// Import makes the workspace folder dir of an archive as `fx workspace export`
// writes it. Everything in it is read and checked before anything is written, and
// dir appears when it is complete; it must not exist, or be empty. Nothing is run
// or installed. Errors about the archive wrap schema.ErrInvalid.
func Import(archive, dir string) (_ *Imported, err error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("cannot import workspace: %v", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot import workspace: %v", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot import workspace %q: it is no regular file", archive)
	}
	a, err := openArchive(file, info.Size())
	if err == nil {
		err = a.verify()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot import workspace %q: %w", archive, err)
	}
	if err := Write(dir, nil, a.extract); err != nil {
		return nil, err
	}
	result := &Imported{LeftOut: a.leftOut, Prefix: strings.TrimSuffix(a.prefix, "/")}
	for _, f := range a.files {
		result.Files = append(result.Files, f.path)
		result.Bytes += int64(f.zip.UncompressedSize64)
	}
	return result, nil
}

// verify reads every file of the archive to its end: sizes and checksums must be
// right, and nothing may be a key or a certificate.
func (a *archive) verify() error {
	var refused []string
	for _, f := range a.files {
		r, err := f.zip.Open()
		if err != nil {
			return archiveError(f.zip.Name, "cannot be read: %v", err)
		}
		found, err := scanSecret(whole{r})
		if err := errors.Join(err, r.Close()); err != nil {
			return archiveError(f.zip.Name, "cannot be read: %v", err)
		}
		if found.certificate {
			found.why = "holds a certificate"
		}
		if suffix := strings.ToLower(path.Ext(f.path)); found.why == "" && certificateSuffix[suffix] {
			found.why = "is a key or a certificate by its name"
		}
		if found.why != "" && len(refused) < 100 {
			refused = append(refused, fmt.Sprintf("%q %s", f.path, found.why))
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("%w: keys and certificates never travel with a workspace:\n  %s", schema.ErrInvalid, strings.Join(refused, "\n  "))
	}
	return nil
}

// whole is a file of an archive that must not end early: scanSecret takes that
// for its end.
type whole struct{ r io.Reader }

func (w whole) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	return n, err
}

// extract writes the files below folder.
func (a *archive) extract(folder string) error {
	for _, f := range a.files {
		if err := f.write(filepath.Join(folder, filepath.FromSlash(f.path))); err != nil {
			return fmt.Errorf("cannot import workspace: %v", err)
		}
	}
	return nil
}

func (f archiveFile) write(name string) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	r, err := f.zip.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	mode := os.FileMode(0o644)
	if f.zip.Mode()&0o111 != 0 {
		mode = 0o755
	}
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r) // verify has read as much, and its sum
	return errors.Join(err, w.Sync(), w.Close())
}
