package content

import (
	"bytes"
	"encoding/binary"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// magics are what files begin with.
var magics = []struct {
	at     int
	magic  string
	typeOf string
}{
	{0, "\x7fELF", "elf"}, {0, "\x00asm", "wasm"}, {0, "!<arch>\n", "ar"}, {0, "BC\xc0\xde", "llvm bitcode"}, {0, "\x1bLua", "lua bytecode"},
	{0, "dex\n", "dex"}, {0, "\xfe\xed\xfa\xce", "macho"}, {0, "\xfe\xed\xfa\xcf", "macho"}, {0, "\xce\xfa\xed\xfe", "macho"}, {0, "\xcf\xfa\xed\xfe", "macho"},
	{0, "PK\x03\x04", "zip"}, {0, "PK\x05\x06", "zip"}, {0, "\x1f\x8b", "gzip"}, {0, "BZh", "bzip2"}, {0, "\xfd7zXZ\x00", "xz"},
	{0, "\x28\xb5\x2f\xfd", "zstd"}, {0, "7z\xbc\xaf\x27\x1c", "7z"}, {0, "Rar!\x1a\x07", "rar"}, {257, "ustar", "tar"},
	{0, "\x89PNG\r\n\x1a\n", "png"}, {0, "\xff\xd8\xff", "jpeg"}, {0, "GIF87a", "gif"}, {0, "GIF89a", "gif"}, {0, "%PDF-", "pdf"},
	{0, "\x89HDF\r\n\x1a\n", "hdf5"}, {0, "\x93NUMPY", "npy"}, {0, "GGUF", "gguf"}, {0, "SQLite format 3\x00", "sqlite"}, {0, "PAR1", "parquet"},
	{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"}, {4, "TFL3", "tflite"}, {0, "\x78\x9c", "zlib"}, {0, "\x78\xda", "zlib"}, {0, "\x78\x01", "zlib"}, {0, "\x78\x5e", "zlib"},
	{0, "II*\x00", "tiff"}, {0, "MM\x00*", "tiff"}, {128, "DICM", "dicom"}, {0, "OggS", "ogg"}, {0, "fLaC", "flac"}, {0, "\x00\x00\x01\x00", "icon"},
	{0, "ARROW1", "arrow"},
}

// sniff names the type of a file by its first bytes.
func sniff(src source, head []byte) string {
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	if has(0, "MZ") && len(head) >= 64 {
		if at := int(binary.LittleEndian.Uint32(head[60:])); at < len(head)-4 && has(at, "PE\x00\x00") || !looksText(head) {
			return "pe"
		}
	}
	if has(0, "\xca\xfe\xba\xbe") && len(head) >= 8 { // fat Mach-O and Java share it
		if n := binary.BigEndian.Uint32(head[4:]); n < 20 {
			return "macho"
		}
		return "java class"
	}
	for _, m := range magics {
		if has(m.at, m.magic) && (m.typeOf != "zlib" || !looksText(head)) {
			return m.typeOf
		}
	}
	if has(0, "RIFF") && has(8, "WEBP") {
		return "webp"
	}
	if len(head) >= 16 && head[2] == '\r' && head[3] == '\n' && !looksText(head) {
		return "pyc"
	}
	if len(head) >= 2 && head[0] == 0x80 && head[1] <= 5 {
		return "pickle"
	}
	if len(head) > 9 && head[8] == '{' {
		if n := binary.LittleEndian.Uint64(head); n > 1 && n < 100<<20 && int64(n) <= src.size-8 {
			return "safetensors"
		}
	}
	switch src.ext() {
	case ".safetensors":
		return "safetensors"
	case ".onnx":
		return "onnx"
	case ".pbuf":
		return "pbuf"
	}
	if !looksText(head) {
		if onnxLike(head) {
			return "onnx"
		}
		return "binary"
	}
	return textType(src, head)
}

var pythonLike = regexp.MustCompile(`(?m)^(?:import [A-Za-z_][\w.]*(?: as \w+)?(?:, ?[\w.]+)*|from [\w.]+ import [\w*(, ]+.*|(?:async )?def \w+\(.*\).*:|class \w+.*:)\s*(?:#.*)?$`)

var textTypes = map[string]string{
	".py": "python", ".pyw": "python", ".pyi": "python", ".ipynb": "notebook", ".sh": "shell", ".bash": "shell", ".zsh": "shell", ".ksh": "shell",
	".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".html": "html", ".htm": "html", ".svg": "html", ".xml": "xml", ".xhtml": "html",
	".md": "text", ".rst": "text", ".csv": "csv", ".tsv": "csv",
	".c": "other code", ".h": "other code", ".cc": "other code", ".cpp": "other code", ".hpp": "other code", ".cu": "other code", ".js": "other code", ".ts": "other code",
	".java": "other code", ".r": "other code", ".jl": "other code", ".go": "other code", ".rs": "other code", ".pl": "other code", ".rb": "other code", ".php": "other code",
	".lua": "other code", ".ps1": "other code", ".bat": "other code", ".cmd": "other code", ".vbs": "other code", ".pyx": "other code", ".pxd": "other code", ".m": "other code",
	".swift": "other code", ".f": "other code", ".f90": "other code", ".s": "other code", ".wat": "other code", ".scala": "other code", ".kt": "other code", ".mjs": "other code",
}

// textType names the kind of a text: by its first line, then by its name, then by
// what it looks like.
func textType(src source, head []byte) string {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	if bytes.HasPrefix(first, []byte("#!")) {
		switch line := string(first); {
		case strings.Contains(line, "python"):
			return "python"
		case regexp.MustCompile(`\b(ba|z|k|da|c)?sh\b`).MatchString(line):
			return "shell"
		default:
			return "other code"
		}
	}
	if t, ok := textTypes[src.ext()]; ok {
		return t
	}
	if strings.HasPrefix(src.base(), "Dockerfile") || src.base() == "Makefile" || src.base() == "Jenkinsfile" {
		return "shell"
	}
	trimmed := bytes.TrimSpace(head)
	switch {
	case bytes.HasPrefix(bytes.ToLower(trimmed), []byte("<html")) || bytes.HasPrefix(bytes.ToLower(trimmed), []byte("<!doctype html")) || bytes.HasPrefix(trimmed, []byte("<svg")):
		return "html"
	case pythonLike.Match(head) && !isRequirements(src):
		return "python"
	}
	return "text"
}

func isText(t string) bool {
	switch t {
	case "python", "notebook", "shell", "json", "yaml", "toml", "html", "xml", "text", "csv", "other code":
		return true
	}
	return false
}

// looksText tells text, in UTF-8 or an older encoding, from anything else.
func looksText(data []byte) bool {
	if bytes.IndexByte(data, 0) >= 0 {
		return false
	}
	sample := data
	if len(sample) > headSize {
		sample = sample[:headSize]
	}
	odd := 0
	for _, b := range sample {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' && b != '\f' && b != 0x1b && b != '\b' || b == 0x7f {
			odd++
		}
	}
	for len(sample) > 0 && len(sample) < len(data)+4 { // a character may be cut at the end
		if utf8.Valid(sample) {
			return odd*20 <= len(sample)
		}
		if len(data)-len(sample) >= utf8.UTFMax || utf8.RuneStart(sample[len(sample)-1]) && len(sample) < headSize-4 {
			break
		}
		sample = sample[:len(sample)-1]
	}
	high := 0
	for _, b := range data[:min(len(data), headSize)] {
		if b >= 0x80 {
			high++
		}
	}
	return odd == 0 && high*10 < min(len(data), headSize)*3
}

// families are extensions and the types that may stand behind them.
var families = map[string][]string{
	".png": {"png"}, ".jpg": {"jpeg"}, ".jpeg": {"jpeg"}, ".gif": {"gif"}, ".pdf": {"pdf"}, ".webp": {"webp"}, ".npy": {"npy"}, ".npz": {"zip"}, ".zip": {"zip"},
	".gz": {"gzip"}, ".tgz": {"gzip"}, ".h5": {"hdf5"}, ".hdf5": {"hdf5"}, ".keras": {"zip"}, ".gguf": {"gguf"}, ".safetensors": {"safetensors"}, ".wasm": {"wasm"},
	".onnx": {"onnx"}, ".pt": {"zip", "pickle"}, ".pkl": {"pickle"}, ".pickle": {"pickle"}, ".joblib": {"pickle", "zlib", "gzip", "bzip2", "xz"},
	".so": {"elf"}, ".dll": {"pe"}, ".exe": {"pe"}, ".dylib": {"macho"}, ".tar": {"tar"}, ".pyc": {"pyc"},
}

// mismatch compares a file's name with its content.
func (s *scanner) mismatch(src source, t string) {
	ext := strings.ToLower(path.Ext(src.base()))
	textual := textTypes[ext] != "" || ext == ".txt" || ext == ".cfg" || ext == ".ini"
	if textual && !isText(t) {
		s.report("type-mismatch", src, "the name says text, the content is "+t)
		return
	}
	allowed, ok := families[ext]
	if !ok {
		return
	}
	for _, a := range allowed {
		if a == t {
			return
		}
	}
	if (ext == ".pkl" || ext == ".pickle" || ext == ".joblib") && t != "elf" && t != "pe" && t != "macho" {
		return // protocols 0 and 1 have no magic number
	}
	s.report("type-mismatch", src, "the name says "+ext[1:]+", the content is "+t)
}
