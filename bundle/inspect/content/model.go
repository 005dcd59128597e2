package content

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"fx/bundle/inspect/pickle"
	"fx/runtime/tensor"
)

// pickle walks all pickles of a file: PyTorch's old format has five, and raw
// numbers behind them.
func (s *scanner) pickle(src source, f *File, _ []byte) string {
	r := bufio.NewReaderSize(src.reader(), 1<<16)
	walked, pickles := int64(0), 0
	for {
		out := pickle.Walk(r)
		walked += out.Bytes
		pickles++
		s.pickled(src, out)
		if out.Problem != "" {
			if strings.Contains(out.Problem, "joblib") || strings.Contains(out.Problem, "raw array") {
				return out.Problem
			}
			s.report("pickle-broken", src, out.Problem)
			f.Reason = out.Problem
			return ""
		}
		next, err := r.Peek(2)
		if err != nil || next[0] != 0x80 || next[1] > 5 || pickles > 64 {
			break
		}
	}
	if rest := src.size - walked; rest > 0 && pickles < 5 {
		s.report("appended-data", src, fmt.Sprintf("%d bytes behind the end of the pickle", rest))
	}
	return ""
}

// pickled reports what one pickle names and calls.
func (s *scanner) pickled(src source, out *pickle.Result) {
	var code, unknown []string
	for _, g := range out.Globals {
		switch pickle.Classify(g) {
		case pickle.Code:
			code = append(code, g)
		case pickle.Unknown:
			unknown = append(unknown, g)
		}
		s.detail("pickle names %s", g)
	}
	switch {
	case len(code) > 0:
		s.report("pickle-code", src, listed(code))
	case out.Dynamic:
		s.report("pickle-code", src, "a name that is made while loading")
	}
	if len(unknown) > 0 {
		s.report("pickle-unknown", src, listed(unknown))
	}
	if len(code) == 0 && len(unknown) == 0 && !out.Dynamic {
		s.report("pickle", src, fmt.Sprintf("protocol %d", out.Protocol))
	}
}

func listed(names []string) string {
	more := ""
	if len(names) > 8 {
		names, more = names[:8], ", …"
	}
	return strings.Join(names, ", ") + more
}

// oldPickle looks for pickled data without a magic number: protocols 0 and 1.
func (s *scanner) oldPickle(src source, f *File) bool {
	if src.size > maxText {
		return false
	}
	out := pickle.Walk(bufio.NewReader(src.reader()))
	named := src.ext() == ".pkl" || src.ext() == ".pickle" || src.ext() == ".joblib" || src.ext() == ".dat" && out.Stopped && out.Opcodes > 3
	if len(out.Globals) == 0 && !named || !out.Stopped && len(out.Calls) == 0 && !named {
		return false
	}
	f.Type, f.Analysed = "pickle", true
	s.pickled(src, out)
	if out.Problem != "" {
		s.report("pickle-broken", src, out.Problem)
	}
	return true
}

var npyHeader = regexp.MustCompile(`'descr':\s*(.+?),\s*'fortran_order':\s*\w+,\s*'shape':\s*\(([^)]*)\)`)

// npyPrefix is the length of an .npy file's header, and the header.
func npyPrefix(data []byte) (int, string) {
	if len(data) < 12 || string(data[:6]) != "\x93NUMPY" {
		return 0, ""
	}
	at, n := 10, int(binary.LittleEndian.Uint16(data[8:]))
	if data[6] >= 2 {
		at, n = 12, int(binary.LittleEndian.Uint32(data[8:]))
	}
	if n < 0 || n > len(data)-at {
		return 0, ""
	}
	return at + n, string(data[at : at+n])
}

func plainArray(data []byte) bool {
	n, h := npyPrefix(data)
	return n > 0 && !strings.Contains(h, "O")
}

func (s *scanner) npy(src source, _ *File, _ []byte) string {
	head := make([]byte, min(src.size, 1<<17))
	if n, _ := src.r.ReadAt(head, 0); n < len(head) {
		return "it cannot be read"
	}
	n, h := npyPrefix(head)
	m := npyHeader.FindStringSubmatch(h)
	if m == nil {
		s.report("model-broken", src, "an array whose header cannot be read")
		return "an array whose header cannot be read"
	}
	s.detail("array %s of shape (%s)", m[1], m[2])
	if strings.Contains(m[1], "O") {
		out := pickle.Walk(bufio.NewReader(io.NewSectionReader(src.r, int64(n), src.size-int64(n))))
		s.pickled(src, out)
		if out.Problem != "" {
			s.report("pickle-broken", src, out.Problem)
		}
		return ""
	}
	if size := npyBytes(m[1], m[2]); size >= 0 && src.size-int64(n) > size {
		s.report("appended-data", src, fmt.Sprintf("%d bytes behind the end of the array", src.size-int64(n)-size))
	}
	return ""
}

var npyType = regexp.MustCompile(`^'[<>|=]?[biufcSV](\d+)'$`)

// npyBytes is how many bytes an array's values take, -1 if its type is not plain.
func npyBytes(descr, shape string) int64 {
	m := npyType.FindStringSubmatch(descr)
	if m == nil {
		return -1
	}
	var item int64
	if _, err := fmt.Sscan(m[1], &item); err != nil {
		return -1
	}
	for part := range strings.SplitSeq(shape, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		var n int64
		if _, err := fmt.Sscan(strings.TrimSuffix(part, "L"), &n); err != nil || n < 0 || n > 1<<40 || item > 1<<40 {
			return -1
		}
		item *= n
	}
	return item
}

func (s *scanner) safetensors(src source, _ *File, _ []byte) string {
	f, err := tensor.OpenSafetensors(src.r, src.size)
	if err != nil {
		s.report("model-broken", src, fmt.Sprintf("%.150v", err))
		return ""
	}
	s.detail("safetensors with %d tensors", len(f.Infos()))
	metadata := f.Metadata()
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		if n := len(metadata[k]); n > 4096 {
			s.detail("metadata %q of %d bytes", k, n)
		}
	}
	return ""
}

func (s *scanner) pbuf(src source, _ *File, _ []byte) string {
	tensors, err := tensor.ScanModel(src.r, src.size)
	if err != nil {
		s.report("model-broken", src, fmt.Sprintf("%.150v", err))
		return ""
	}
	s.detail("OpenFL model with %d tensors", len(tensors))
	return ""
}

var lambdaLayer = regexp.MustCompile(`"class_name"\s*:\s*"(Lambda|TFOpLambda|SlicingOpLambda|PyFunc)"`)

// keras looks for layers that carry code, in a Keras configuration.
func (s *scanner) keras(src source, config []byte) {
	if m := lambdaLayer.FindSubmatch(config); m != nil {
		s.report("model-code", src, "Keras layer "+string(m[1])+", which holds marshalled code or names a function")
	}
	if bytes.Contains(config, []byte(`"__lambda__"`)) {
		s.report("model-code", src, "Keras function with marshalled code")
	}
	for _, m := range regexp.MustCompile(`"(?:module|registered_name)"\s*:\s*"([^"]{1,200})"`).FindAllSubmatch(config, 2000) {
		name := string(m[1])
		if pickle.Classify(name+".x") == pickle.Code {
			s.report("model-code", src, "Keras names the module "+name)
		}
	}
}

// hdf5 looks for the model's configuration, which Keras stores as JSON text; of
// the format itself no more than the signature is read.
func (s *scanner) hdf5(src source, _ *File, _ []byte) string {
	const chunk, overlap = 1 << 20, 4096
	buf := make([]byte, chunk+overlap)
	config := false
	for at := int64(0); at < src.size; at += chunk {
		n, _ := src.r.ReadAt(buf, at)
		config = config || bytes.Contains(buf[:n], []byte("model_config"))
		s.keras(src, buf[:n])
	}
	if config {
		s.detail("holds a Keras model's configuration")
	}
	return "HDF5: searched for Keras layers with code, otherwise not read"
}

func (s *scanner) gguf(src source, _ *File, head []byte) string {
	if len(head) < 24 {
		s.report("model-broken", src, "GGUF that ends in its header")
		return ""
	}
	version := binary.LittleEndian.Uint32(head[4:])
	tensors, keys := binary.LittleEndian.Uint64(head[8:]), binary.LittleEndian.Uint64(head[16:])
	s.detail("GGUF version %d, %d tensors, %d metadata keys", version, tensors, keys)
	if version < 1 || version > 3 || tensors > 1<<20 || keys > 1<<20 {
		s.report("model-broken", src, "GGUF whose header makes no sense")
		return ""
	}
	r := &ggufReader{r: bufio.NewReader(io.NewSectionReader(src.r, 24, src.size-24))}
	for range keys {
		key, err := r.text()
		if err != nil {
			s.report("model-broken", src, "GGUF whose metadata ends early")
			return ""
		}
		value, err := r.value()
		if err != nil {
			s.report("model-broken", src, "GGUF whose metadata makes no sense")
			return ""
		}
		switch {
		case strings.Contains(key, "chat_template") && templateCode.MatchString(value):
			s.report("model-code", src, "GGUF: the template "+key+" reaches into Python's objects")
		case strings.Contains(key, "chat_template"):
			s.detail("has a template, %s, which programs run", key)
		}
	}
	return "GGUF: the metadata was read, the tensors were not"
}

var templateCode = regexp.MustCompile(`__\w+__|\b(os|subprocess|popen|system|eval|exec|import)\b\s*[.(]`)

type ggufReader struct{ r *bufio.Reader }

func (g *ggufReader) text() (string, error) {
	var n uint64
	if err := binary.Read(g.r, binary.LittleEndian, &n); err != nil {
		return "", err
	}
	if n > 1<<20 {
		return "", errors.New("too long")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(g.r, b)
	return string(b), err
}

// ggufSizes are the sizes of the plain types, by number.
var ggufSizes = []int{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

// value reads one value and returns it if it is text.
func (g *ggufReader) value() (string, error) {
	var t uint32
	if err := binary.Read(g.r, binary.LittleEndian, &t); err != nil {
		return "", err
	}
	if t != 9 {
		return g.plain(t)
	}
	var n uint64
	if err := binary.Read(g.r, binary.LittleEndian, &t); err != nil {
		return "", err
	}
	if err := binary.Read(g.r, binary.LittleEndian, &n); err != nil {
		return "", err
	}
	if n > 1<<24 {
		return "", errors.New("too long")
	}
	for range n {
		if _, err := g.plain(t); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (g *ggufReader) plain(t uint32) (string, error) {
	switch {
	case t == 8:
		return g.text()
	case t >= uint32(len(ggufSizes)) || ggufSizes[t] == 0:
		return "", errors.New("a type that does not exist")
	}
	_, err := g.r.Discard(ggufSizes[t])
	return "", err
}

// kerasConfig looks at the configuration inside a .keras archive.
func (s *scanner) kerasConfig(src source, data []byte) {
	if !json.Valid(data) {
		s.report("model-broken", src, "a configuration that is not JSON")
	}
	s.keras(src, data)
}
