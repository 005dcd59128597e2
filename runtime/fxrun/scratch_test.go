package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestDiscardKeepsTheLogAfterAnError, whose message names it, and nothing else.
func TestDiscardKeepsTheLogAfterAnError(t *testing.T) {
	tests := map[string]struct {
		files []string
		cause error
		left  []string // nil: the folder is gone
	}{
		"done":             {[]string{"task.log", "model.safetensors"}, nil, nil},
		"failed":           {[]string{"task.log", "task.log.1", "model.safetensors", "workspace/src/a.py"}, errors.New("x"), []string{"task.log", "task.log.1"}},
		"failed before it": {[]string{"workspace/src/a.py"}, errors.New("x"), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "scratch")
			for _, f := range tt.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := discard(dir, tt.cause); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if gone := errors.Is(err, os.ErrNotExist); gone != (tt.left == nil) || len(entries) != len(tt.left) {
				t.Fatalf("left %v (%v), want %v", entries, err, tt.left)
			}
			for i, e := range entries {
				if e.Name() != tt.left[i] {
					t.Errorf("left %q, want %q", e.Name(), tt.left[i])
				}
			}
		})
	}
}
