//go:build linux && (amd64 || arm64)

package sandbox

import (
	"path"
	"strings"
	"testing"
)

func TestTranslateLists(t *testing.T) {
	places := []place{{"/workspace", "/srv/w"}, {"/workspace/data", "/srv/d"}, {ScratchDir, "/srv/b/scratch"}, {"/tmp", "/srv/b/scratch"}}
	for in, want := range map[string]string{
		"/workspace/src/x.py":          "/srv/w/src/x.py",
		"/workspace/data/a":            "/srv/d/a",
		"/workspaces/a":                "/workspaces/a",
		"HOME=/scratch":                "HOME=/srv/b/scratch",
		"P=/workspace:/usr/lib:/tmp/x": "P=/srv/w:/usr/lib:/srv/b/scratch/x",
		"src/x":                        "src/x",
		"-c":                           "-c",
		"/workspace/../etc":            "/workspace/../etc",
		"/workspace/a=b":               "/srv/w/a=b",
	} {
		if got := translateLists(places, []string{in})[0]; got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// FuzzTranslate checks that what is at a place stays below it.
func FuzzTranslate(f *testing.F) {
	for _, seed := range []string{"/io/x", "/io/../etc/passwd", "/io", "/iox", "", "io", "//io//x", "/io/./..", "/io/x\x00"} {
		f.Add(seed)
	}
	places := []place{{IODir, "/srv/box/io"}, {ScratchDir, "/srv/box/scratch"}}
	f.Fuzz(func(t *testing.T, p string) {
		got := translate(places, p)
		if got != p && !within(path.Clean(got), "/srv/box/io") && !within(path.Clean(got), "/srv/box/scratch") {
			t.Errorf("%q becomes %q, outside of the box", p, got)
		}
	})
}

// FuzzName checks that a name that is allowed stays in its folder.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"a", "..", ".", "", "a/b", "a\x00", strings.Repeat("a", 256), "-", "…"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) == nil && path.Dir(path.Join("/io", name)) != "/io" {
			t.Errorf("%q is allowed", name)
		}
	})
}
