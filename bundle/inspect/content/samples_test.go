package content_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// secretSamples are put together here, so that no scanner of repositories takes
// them for real.
func secretSamples() []sample {
	s := func(rule, path string, parts ...string) sample {
		return sample{"secrets", rule, path, []byte(strings.Join(parts, ""))}
	}
	const letters = "q8Zr2LmV5xTn7KpW3yBc9DfG6hJs4AeU"
	return []sample{
		s("private-key", "key.txt", "-----BEGIN ", "EC PRIVATE KEY-----\nMHcCAQEE\n"),
		s("private-key", "notes.md", "text\n-----BEGIN OPENSSH ", "PRIVATE KEY-----\n"),
		s("private-key", "data.bin", "\x00\x01\x02binary\x00-----BEGIN ", "PRIVATE KEY-----\x00\x03"),
		s("secret", "cloud.py", "KEY = \"AK", "IA", "QX7ZJ4LMN2PR8TVW\"\n"),
		s("secret", "hub.sh", "git clone https://x-access-token:gh", "p_", letters, "abcd@example.org\n"),
		s("secret", "chat.yaml", "hook: https://hooks.sl", "ack.com/services/T0", "AAA/B0BBB/", letters, "\n"),
		s("secret", "bot.py", "t = 'xo", "xb-123456789012-", letters, "'\n"),
		s("secret", "model.py", "login('h", "f_", "qwertzuiopasdfghjklyxcvbnmqwertzu')\n"),
		s("secret", "db.toml", "url = \"postgres://admin:", "w0rd7Pass", "@db.example.org/x\"\n"),
		s("secret", "config.json", "{\"api_key\": \"", letters, "\"}\n"),
		s("secret", "web.txt", "Bearer ey", "JhbGciOiJIUzI1NiJ9.ey", "JzdWIiOiIxMjM0NTY3ODkwIn0.", letters, "\n"),
	}
}

func binarySamples(t testing.TB) []sample {
	b := func(category, rule, path string, data []byte) sample { return sample{category, rule, path, data} }
	list := []sample{
		b("native", "native-code", "lib.so", elfFile()),
		b("native", "native-code", "picture.png", elfFile()),
		b("native", "type-mismatch", "picture.png", elfFile()),
		b("native", "native-code", "tool.dat", append([]byte("MZ"), make([]byte, 200)...)),
		b("native", "native-code", "lib.dylib", append([]byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01"), make([]byte, 24)...)),
		b("native", "native-code", "lib.a", []byte("!<arch>\n\x00\x01\x02")),
		b("native", "native-code", "Main.class", []byte("\xca\xfe\xba\xbe\x00\x00\x00\x34\x00\x00\x00\x00")),
		b("native", "bytecode", "cache.pyc", append([]byte{0xa7, 0x0d, '\r', '\n'}, make([]byte, 40)...)),
		b("native", "wasm", "m.wasm", wasmFile("wasi_snapshot_preview1", "fd_write")),
		b("native", "wasm-import", "m.wasm", wasmFile("env", "system")),
		b("native", "wasm-import", "m.wasm", wasmFile("wasi_snapshot_preview1", "sock_open")),
		b("native", "not-analysed", "blob", []byte("\x00\x01\x02\xff\xfe\x80\x81\x9c\x00")),
		b("tails", "appended-data", "a.png", append(pngFile(), "import os"...)),
		b("tails", "appended-data", "a.jpg", append([]byte("\xff\xd8\xff\xd9"), zipFile(t, "x.txt", "x")...)),
		b("tails", "appended-data", "a.gif", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;hidden text")),
		b("tails", "appended-data", "a.zip", append(zipFile(t, "x.txt", "x"), "tail"...)),
		b("tails", "appended-data", "b.zip", append([]byte("#!/bin/sh\n"), zipFile(t, "x.txt", "x")...)),
		b("tails", "B605", "c.png", append(pngFile(), zipFile(t, "x.py", "import os\nos.system('id')\n")...)),
		b("hidden", "control-characters", "escape.txt", []byte("harmless\x1b[2K\x1b[1A hidden\n")),
		b("tails", "appended-data", "lib.so", append(elfFile(), bytes.Repeat([]byte("x"), 100)...)),
		b("tails", "appended-data", "w.npy", append(npyFile("'<f4'", "2,"), "12345678tail"...)),
		b("tails", "appended-data", "s.pkl", []byte("\x80\x02N.trailing")),
		b("archives", "archive-unsafe", "a.zip", zipFile(t, "../../x.py", "x")),
		b("archives", "archive-unsafe", "a.tar", tarFile(t, &tar.Header{Name: "/etc/x", Typeflag: tar.TypeReg})),
		b("archives", "archive-unsafe", "l.tar", tarFile(t, &tar.Header{Name: "x", Linkname: "/etc", Typeflag: tar.TypeSymlink})),
		b("archives", "B605", "code.zip", zipFile(t, "x.py", "import os\nos.system('id')\n")),
		b("archives", "B605", "code.tar.gz", gzipped(t, tarWith(t, "x.py", "import os\nos.system('id')\n"))),
		b("archives", "native-code", "deep.zip", zipFile(t, "inner.zip", string(zipFile(t, "x", string(elfFile()))))),
		b("archives", "active-content", "sheet.xlsm", zipFile(t, "xl/vbaProject.bin", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")),
		b("archives", "not-analysed", "x.7z", []byte("7z\xbc\xaf\x27\x1c\x00\x04\x00\x00")),
		b("models", "model-code", "m.keras", zipFile(t, "config.json", `{"layers": [{"class_name": "Lambda"}]}`)),
		b("models", "model-code", "m.h5", []byte("\x89HDF\r\n\x1a\n\x00\x00model_config\x00"+`{"class_name": "Lambda", "config": {}}`)),
		b("models", "model-code", "m.pt", zipFile(t, "m/data.pkl", "\x80\x02N.", "m/code/__torch__.py", "def forward(self): pass")),
		b("models", "model-code", "m.onnx", onnxFile("", "../../etc/passwd")),
		b("models", "model-operators", "m.onnx", onnxFile("com.example", "")),
		b("models", "model-code", "m.gguf", ggufFile("tokenizer.chat_template", "{{ ''.__class__.__mro__ }}")),
		b("models", "model-broken", "m.safetensors", []byte("\x40\x00\x00\x00\x00\x00\x00\x00{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,999]}}   ")),
		b("models", "pickle-code", "m.npy", append(npyFile("'|O'", "1,"), "cos\nsystem\n(S'id'\ntR."...)),
		b("models", "pickle-code", "m.npz", zipFile(t, "a.npy", string(append(npyFile("'|O'", "1,"), "cos\nsystem\n(S'id'\ntR."...)))),
	}
	return append(list, pickleSamples(t)...)
}

// pickleSamples call functions in every way that the protocols have.
func pickleSamples(t testing.TB) []sample {
	p := func(rule, path, data string) sample { return sample{"pickles", rule, path, []byte(data)} }
	short := func(s string) string { return "\x8c" + string(rune(len(s))) + s }
	return []sample{
		p("pickle-code", "global.pkl", "cos\nsystem\n(S'id'\ntR."),
		p("pickle-code", "no_extension", "cposix\nsystem\n(S'id'\ntR."),
		p("pickle-code", "text.txt", "cbuiltins\neval\n(S'1'\ntR."),
		p("pickle-code", "inst.pkl", "(S'id'\nios\nsystem\n."),
		p("pickle-code", "obj.pkl", "(cos\nsystem\nS'id'\no."),
		p("pickle-code", "stack_global.pkl", "\x80\x04"+short("os")+short("system")+"\x93"+short("id")+"\x85R."),
		p("pickle-code", "memo.pkl", "\x80\x04"+short("os")+"\x940"+short("system")+"\x940h\x00h\x01\x93"+short("id")+"\x85R."),
		p("pickle-code", "put_get.pkl", "S'os'\np1\n0S'system'\np2\n0\x80\x04g1\ng2\n\x93(S'id'\ntR."),
		p("pickle-code", "framed.bin", "\x80\x05\x95\x10\x00\x00\x00\x00\x00\x00\x00"+short("subprocess")+short("run")+"\x93)R."),
		p("pickle-code", "newobj.pkl", "\x80\x02csubprocess\nPopen\nS'id'\n\x85\x81."),
		p("pickle-code", "extension.pkl", "\x80\x02\x82\x01)R."),
		p("pickle-code", "dynamic.pkl", "\x80\x04"+short("os")+"N\x93)R."),
		p("pickle-code", "nested.pkl", "\x80\x02ctorch.storage\n_load_from_bytes\nC\x01x\x85R."),
		p("pickle-code", "dotted.pkl", "\x80\x04"+short("numpy")+short("os.system")+"\x93)R."),
		p("pickle-code", "second.pt", "\x80\x02N.\x80\x02cos\nsystem\n)R."),
		p("pickle-code", "getattr.pkl", "\x80\x02c__builtin__\ngetattr\n)R."),
		p("pickle-code", "joblib.joblib", "\x80\x03cnumpy\nload\n)R."),
		p("pickle-code", "torch.pt", string(zipFile(t, "archive/data.pkl", "\x80\x02cos\nsystem\n)R."))),
		p("pickle-code", "disguised.jpg", "\x80\x02cos\nsystem\n)R."),
		p("pickle-code", "before_broken.pkl", "\x80\x02cos\nsystem\n)R\xff\xff"),
		p("pickle-unknown", "own.pkl", "\x80\x02csrc.model\nNet\n)R."),
		p("pickle-broken", "short.pkl", "\x80\x04\x95\x10"),
	}
}

// elfFile is this test's own program, its tables made short: a header and one
// section header, by the ELF specification.
func elfFile() []byte {
	b := make([]byte, 128)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 3)  // shared object
	le.PutUint16(b[18:], 62) // x86-64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[40:], 64) // section headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[58:], 64)
	le.PutUint16(b[60:], 1)
	return b
}

func wasmFile(module, name string) []byte {
	body := append([]byte{1, byte(len(module))}, module...)
	body = append(append(body, byte(len(name))), name...)
	body = append(body, 0, 0)
	out := append([]byte("\x00asm\x01\x00\x00\x00\x02"), byte(len(body)))
	return append(out, body...)
}

func pngFile() []byte {
	return []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x00IEND\xaeB`\x82")
}

func npyFile(descr, shape string) []byte {
	h := "{'descr': " + descr + ", 'fortran_order': False, 'shape': (" + shape + "), }"
	h += strings.Repeat(" ", 63-(10+len(h))%64) + "\n"
	return append([]byte("\x93NUMPY\x01\x00"+string([]byte{byte(len(h)), byte(len(h) >> 8)})), h...)
}

func zipFile(t testing.TB, pairs ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		f, err := w.Create(pairs[i])
		if err == nil {
			_, err = f.Write([]byte(pairs[i+1]))
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

func tarFile(t testing.TB, h *tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarWith(t testing.TB, name, text string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// onnxFile is a model of one node and one tensor.
func onnxFile(domain, external string) []byte {
	field := func(b []byte, num protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
	}
	node := field(nil, 4, []byte("Custom"))
	if domain != "" {
		node = field(node, 7, []byte(domain))
	}
	entry := field(field(nil, 1, []byte("location")), 2, []byte(external))
	graph := field(nil, 1, node)
	if external != "" {
		graph = field(graph, 5, field(nil, 13, entry))
	}
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 8)
	return field(field(m, 2, []byte("test")), 7, graph)
}

func ggufFile(key, value string) []byte {
	le := binary.LittleEndian
	b := []byte("GGUF")
	b = le.AppendUint32(b, 3)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint64(b, 1)
	b = append(le.AppendUint64(b, uint64(len(key))), key...)
	b = le.AppendUint32(b, 8)
	return append(le.AppendUint64(b, uint64(len(value))), value...)
}

// TestOwnProgram: the test's own program is named as machine code, whatever its
// format is here.
func TestOwnProgram(t *testing.T) {
	if runtime.GOOS == "js" {
		t.Skip("no programs here")
	}
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r := scan(t, filepath.Base(name), info.Size(), f)
	if !has(r, "native-code") || !r.Analysed {
		t.Errorf("type %s, analysed %t (%s), findings %+v", r.Type, r.Analysed, r.Reason, r.Findings)
	}
	if has(r, "appended-data") {
		t.Errorf("data behind the end of a program that has none: %+v", r.Findings)
	}
}
