package content_test

import (
	"bytes"
	"strings"
	"testing"
)

// fuzzType fuzzes what looks into one type of file: every input begins as files
// of the type do.
func fuzzType(f *testing.F, magic, name string) {
	for _, s := range hostile(f) {
		if rest, ok := bytes.CutPrefix(s.data, []byte(magic)); ok {
			f.Add(rest)
		}
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		data := append([]byte(magic), rest...)
		r := scan(t, name, int64(len(data)), bytes.NewReader(data))
		if (!r.Analysed || r.Reason != "") && len(r.Findings) == 0 {
			t.Errorf("not analysed (%s), and no finding says so", r.Reason)
		}
		for _, x := range r.Findings {
			if strings.ContainsAny(x.Message+x.Code+x.Path, "\x1b\n\r\x00") {
				t.Errorf("a finding has control characters: %+v", x)
			}
		}
	})
}

func FuzzELF(f *testing.F)  { fuzzType(f, "\x7fELF", "x.so") }
func FuzzWasm(f *testing.F) { fuzzType(f, "\x00asm\x01\x00\x00\x00", "x.wasm") }
func FuzzZip(f *testing.F)  { fuzzType(f, "PK\x03\x04", "x.zip") }

func FuzzSafetensors(f *testing.F) {
	for _, s := range hostile(f) {
		if strings.HasSuffix(s.path, ".safetensors") {
			f.Add(s.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { scan(t, "x.safetensors", int64(len(data)), bytes.NewReader(data)) })
}
