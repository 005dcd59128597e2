//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// makeHostDirs makes the folders and files that a confined box has in HostDir.
func (s *spec) makeHostDirs() error {
	for _, d := range []string{"/io", "/scratch"} {
		if err := unix.Mkdir(s.HostDir+d, 0o700); err != nil {
			return fmt.Errorf("cannot make %q for the box, which needs an empty folder: %v", s.HostDir+d, err)
		}
		if os.Geteuid() == 0 {
			if err := unix.Lchown(s.HostDir+d, s.User.UID, s.User.GID); err != nil {
				return fmt.Errorf("cannot give %q to the user of the box: %v", s.HostDir+d, err)
			}
		}
	}
	for _, w := range s.Writable {
		name := s.at(w)
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return fmt.Errorf("the writable folder %q of the box must be a folder of what is shown: create %q", w, name)
		}
		if os.Geteuid() == 0 {
			if err := unix.Lchown(name, s.User.UID, s.User.GID); err != nil {
				return fmt.Errorf("cannot give %q to the user of the box: %v", name, err)
			}
		}
	}
	for _, f := range s.Files {
		name := s.HostDir + "/files" + f.Path
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("cannot write %q into the box: %v", f.Path, err)
		}
		fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o444)
		if err != nil {
			return fmt.Errorf("cannot write %q into the box: %v", f.Path, err)
		}
		if err := writeFile(fd, f); err != nil {
			return err
		}
	}
	return nil
}
