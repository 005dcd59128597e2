package bundle

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncEach: thousands of small files are synced together at the end instead.
const syncEach = false

// syncFiles makes everything on the file system of dir durable: one flush in
// place of one for each file.
func syncFiles(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		_ = d.Close()
		return &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return d.Close()
}
