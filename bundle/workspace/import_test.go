package workspace

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fx/schema"
)

// entry is one entry of an archive.
type entry struct {
	name, text string
	mode       fs.FileMode
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: time.Unix(1e9, 0)}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		f, err := w.CreateHeader(h)
		if err == nil && e.text != "" {
			_, err = f.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// export is what OpenFL writes.
func export() []entry {
	return []entry{
		{"plan/", "", 0}, {"src/", "", 0}, {"save/", "", 0}, {"logs/", "", 0}, {"data/", "", 0}, {"local_state/", "", 0},
		{"plan/plan.yaml", "aggregator: {}\n", 0}, {"plan/cols.yaml", "collaborators: [one]\n", 0}, {"plan/data.yaml", "one,1\n", 0},
		{"plan/plan_0123abcd.yaml", "aggregator: {}\n", 0o400}, {"src/__init__.py", "", 0}, {"src/run.sh", "#!/bin/sh\n", 0o755},
		{"save/init.pbuf", "model", 0}, {"requirements.txt", "numpy==2.1\n", 0}, {".workspace", "current_plan_name: default\n", 0},
	}
}

func TestImport(t *testing.T) {
	want := []string{
		".workspace", "plan/cols.yaml", "plan/data.yaml", "plan/plan.yaml", "plan/plan_0123abcd.yaml", "requirements.txt", "save/init.pbuf", "src/__init__.py", "src/run.sh",
	}
	inFolder := []entry{{"ward/", "", 0}}
	for _, e := range export() {
		inFolder = append(inFolder, entry{"ward/" + e.name, e.text, e.mode})
	}
	more := append(export(), entry{"src/__pycache__/a.pyc", "x", 0}, entry{"src/__pycache__/b.pyc", "x", 0}, entry{"data/north.csv", "x", 0}, entry{"logs/a/b.log", "x", 0},
		entry{".git/config", "x", 0}, entry{"src/.DS_Store", "x", 0}, entry{"old.fxb.sigs.jsonl", "x", 0}, entry{"src/x.PYC", "x", 0})
	for _, tt := range []struct {
		name    string
		entries []entry
		leftOut []string
		prefix  string
	}{
		{"export", export(), nil, ""},
		{"folder", inFolder, nil, "ward"},
		{"with what stays behind", more, []string{".git/", "data/", "logs/", "old.fxb.sigs.jsonl", "src/.DS_Store", "src/__pycache__/", "src/x.PYC"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive, dir := filepath.Join(t.TempDir(), "a.zip"), filepath.Join(t.TempDir(), "new", "ward")
			if err := os.WriteFile(archive, zipOf(t, tt.entries...), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Import(archive, dir)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Files, want) || got.Bytes != int64(len("aggregator: {}\n")*2+len("collaborators: [one]\none,1\n#!/bin/sh\nmodelnumpy==2.1\ncurrent_plan_name: default\n")) || got.Prefix != tt.prefix {
				t.Errorf("got %+v", got)
			}
			var left []string
			for _, e := range got.LeftOut {
				left = append(left, e.Path)
			}
			if !slices.Equal(left, tt.leftOut) {
				t.Errorf("left out %q, want %q", left, tt.leftOut)
			}
			var files []string
			if err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					files = append(files, p)
				}
				return err
			}); err != nil || !slices.Equal(files, want) {
				t.Errorf("the folder has %q, %v", files, err)
			}
			if info, err := os.Stat(filepath.Join(dir, "src/run.sh")); err != nil || info.Mode().Perm()&0o100 == 0 {
				t.Errorf("src/run.sh: %v, %v", info, err)
			}
			if _, err := Import(archive, dir); err == nil || !strings.Contains(err.Error(), "not empty") {
				t.Errorf("a second time: got %v, want a refusal", err)
			}
		})
	}
}

// hostile are archives that must be refused, and the words in which. The first
// are one entry beside a good workspace.
func hostile(t testing.TB) map[string]struct {
	data []byte
	says string
} {
	all := map[string]struct {
		data []byte
		says string
	}{}
	for name, e := range map[string]struct {
		entry
		says string
	}{
		"absolute":            {entry{"/etc/passwd", "x", 0}, "absolute path"},
		"parent":              {entry{"../x", "x", 0}, "leaves the workspace"},
		"parent inside":       {entry{"src/../../x", "x", 0}, "leaves the workspace"},
		"dot":                 {entry{"./x", "x", 0}, "empty name"},
		"empty name":          {entry{"src//x", "x", 0}, "empty name"},
		"backslash":           {entry{`src\x`, "x", 0}, "backslash"},
		"drive":               {entry{"C:x", "x", 0}, "drive letter"},
		"stream":              {entry{"src/a:b", "x", 0}, "Windows does not allow"},
		"device name":         {entry{"src/nul.txt", "x", 0}, "device on Windows"},
		"trailing space":      {entry{"src /x", "x", 0}, "space"},
		"control":             {entry{"src/a\x1b[2J", "x", 0}, "cannot be seen"},
		"direction":           {entry{"src/a\u202ey", "x", 0}, "cannot be seen"},
		"not UTF-8":           {entry{"src/\xff", "x", 0}, "not UTF-8"},
		"long":                {entry{strings.Repeat("a", 300), "x", 0}, "1 to 240 bytes"},
		"deep":                {entry{strings.Repeat("a/", 40) + "x", "x", 0}, "folders deep"},
		"link":                {entry{"src/link", "/etc/passwd", fs.ModeSymlink | 0o777}, "symbolic link"},
		"device":              {entry{"src/dev", "", fs.ModeDevice | 0o600}, "special file"},
		"pipe":                {entry{"src/pipe", "", fs.ModeNamedPipe | 0o600}, "special file"},
		"duplicate":           {entry{"plan/plan.yaml", "x", 0}, "the same path"},
		"case":                {entry{"plan/PLAN.yaml", "x", 0}, "the same path"},
		"case of a folder":    {entry{"Plan/x", "x", 0}, "the same path"},
		"file below a file":   {entry{"requirements.txt/x", "x", 0}, "the same path"},
		"folder over a file":  {entry{"requirements.txt/", "", 0}, "the same path"},
		"private key":         {entry{"src/a.txt", "-----BEGIN PRIVATE KEY-----\n", 0}, "holds a private key"},
		"late private key":    {entry{"src/a.bin", noise(3<<20) + "-----BEGIN RSA PRIVATE KEY-----\n", 0}, "holds a private key"},
		"certificate":         {entry{"src/a.txt", "-----BEGIN CERTIFICATE-----\n", 0}, "holds a certificate"},
		"certificate request": {entry{"src/a.txt", "-----BEGIN CERTIFICATE REQUEST-----\n", 0}, "holds a certificate"},
		"certificate by name": {entry{"cert/cert_chain.crt", "x", 0}, "by its name"},
		"bomb":                {entry{"src/zeros", strings.Repeat("\x00", 8<<20), 0}, "packed that densely"},
	} {
		all[name] = struct {
			data []byte
			says string
		}{zipOf(t, append(export(), e.entry)...), e.says}
	}
	good := zipOf(t, export()...)
	patched := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	add := func(name, says string, data []byte) {
		all[name] = struct {
			data []byte
			says string
		}{data, says}
	}
	first := bytes.LastIndex(good, []byte("PK\x01\x02"))
	end := len(good) - 22
	add("nothing", "no zip archive", nil)
	add("text", "no zip archive", []byte(strings.Repeat("no archive ", 30)))
	add("cut off", "no zip archive", good[:len(good)-5])
	add("something before", "not at its end", append([]byte("#!/bin/sh\n"), good...))
	add("something behind", "no zip archive", append(bytes.Clone(good), "more"...))
	add("no plan", "no plan/plan.yaml", zipOf(t, entry{"src/a.py", "x", 0}))
	add("empty", "no plan/plan.yaml", zipOf(t))
	add("encrypted", "is encrypted", patched(func(b []byte) { b[first+8] |= 1 }))
	add("other method", "packed by method 14", patched(func(b []byte) { b[first+10] = 14 }))
	add("wrong checksum", "cannot be read", patched(func(b []byte) { b[first+16] ^= 1 }))
	add("wrong size", "cannot be read", patched(func(b []byte) { b[first+24]++ }))
	add("huge size", "packed that densely", patched(func(b []byte) { b[first+26] = 0x7f }))
	add("too many", "too many entries", patched(func(b []byte) { b[end+10], b[end+11] = 0xff, 0xff }))
	add("wrong place", "not at its end", patched(func(b []byte) { b[end+16]++ }))
	return all
}

// noise does not pack well.
func noise(n int) string {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return string(b)
}

func TestImportRefuses(t *testing.T) {
	for name, tt := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			archive := filepath.Join(folder, "a.zip")
			if err := os.WriteFile(archive, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Import(archive, filepath.Join(folder, "ward"))
			if !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Errorf("got %v, want a refusal saying %q", err, tt.says)
			}
			if !errors.Is(err, schema.ErrInvalid) {
				t.Errorf("%v is not an invalid document", err)
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A table of contents that is far longer than it says is not read.
func TestImportBoundsTheDirectory(t *testing.T) {
	var entries []entry
	for i := range maxArchiveFiles {
		entries = append(entries, entry{fmt.Sprintf("src/%d", i), "", 0})
	}
	data := zipOf(t, append(export(), entries...)...)
	if _, err := openArchive(bytes.NewReader(data), int64(len(data))); !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "too many entries") {
		t.Errorf("got %v", err)
	}
}

// FuzzImport: whatever the bytes are, they are refused, or every file has a path
// that stays inside, once, and can be read to its end.
func FuzzImport(f *testing.F) {
	f.Add(zipOf(f, export()...))
	seeds := hostile(f)
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		if len(seed.data) < 1<<20 {
			f.Add(seed.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := openArchive(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			err = a.verify()
		}
		if err != nil {
			if !errors.Is(err, schema.ErrInvalid) {
				t.Fatalf("%v is not an invalid document", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, file := range a.files {
			if key := strings.ToLower(file.path); !fs.ValidPath(file.path) || !filepath.IsLocal(file.path) || seen[key] {
				t.Fatalf("unsafe path %q", file.path)
			} else {
				seen[key] = true
			}
		}
	})
}
