package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// newScratch makes a scratch folder for a command that keeps no state.
func newScratch() (string, error) {
	scratch, err := os.MkdirTemp("", "fxrun-*")
	if err != nil {
		return "", fmt.Errorf("cannot make a scratch folder: %v", err)
	}
	return scratch, nil
}

// discard removes a scratch folder. After an error it leaves what the task code
// logged, task.log, if it logged anything: the error names that file.
func discard(scratch string, cause error) error {
	entries, err := os.ReadDir(scratch)
	if err != nil {
		return fmt.Errorf("cannot clean up the scratch folder: %v", err)
	}
	kept := false
	var errs []error
	for _, e := range entries {
		if cause != nil && strings.HasPrefix(e.Name(), "task.log") {
			kept = true
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(scratch, e.Name())))
	}
	if !kept {
		errs = append(errs, os.Remove(scratch))
	}
	return errors.Join(errs...)
}
