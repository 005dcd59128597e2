package wasm

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental/sysfs"
)

// mounts are the open folders of a run, by their paths for the module.
type mounts map[string]*tree

func openMounts(list []Mount) (mounts, error) {
	open := mounts{}
	for _, m := range list {
		if err := open.add(m); err != nil {
			open.close()
			return nil, fmt.Errorf("it cannot be given a folder as %q: %w", m.Guest, err)
		}
	}
	return open, nil
}

func (open mounts) add(m Mount) error {
	if !path.IsAbs(m.Guest) || path.Clean(m.Guest) != m.Guest || m.Guest == "/" {
		return errors.New("an absolute path such as /data was expected")
	}
	if open[m.Guest] != nil {
		return errors.New("it is there twice")
	}
	root, err := os.OpenRoot(m.Host)
	if err != nil {
		return err
	}
	open[m.Guest] = &tree{root: root, write: m.Write}
	return nil
}

// config hands the folders to the engine, which has no other door for file
// systems of one's own.
func (open mounts) config() wazero.FSConfig {
	config := wazero.NewFSConfig()
	for _, guest := range slices.Sorted(maps.Keys(open)) {
		config = config.(sysfs.FSConfig).WithSysFSMount(open[guest], guest)
	}
	return config
}

func (open mounts) close() {
	for _, t := range open {
		_ = t.root.Close() // names were looked up in it, no more
	}
}
