package content

import (
	"errors"
	"fmt"
	"strings"
)

// wasmReader reads the binary format of WebAssembly, as far as naming what a
// module asks for and offers needs it.
type wasmReader struct {
	data []byte
	at   int
}

var errWasm = errors.New("the module's structure makes no sense")

func (r *wasmReader) uleb() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		if r.at >= len(r.data) {
			return 0, errWasm
		}
		b := r.data[r.at]
		r.at++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errWasm
}

func (r *wasmReader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.data)-r.at) {
		return nil, errWasm
	}
	p := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return p, nil
}

func (r *wasmReader) name() (string, error) {
	n, err := r.uleb()
	if err != nil {
		return "", err
	}
	p, err := r.take(n)
	return string(p), err
}

// limits reads the limits of a memory or table.
func (r *wasmReader) limits() (from, to uint64, bounded bool, err error) {
	flags, err := r.uleb()
	if err != nil {
		return 0, 0, false, err
	}
	if from, err = r.uleb(); err != nil {
		return 0, 0, false, err
	}
	if flags&1 != 0 {
		to, err = r.uleb()
	}
	return from, to, flags&1 != 0, err
}

// wasmModule is what a module asks for and offers.
type wasmModule struct {
	imports  []string // module.name kind
	exports  []string
	memories []string
	start    bool
	sections int
}

var wasmKinds = []string{"function", "table", "memory", "global", "tag"}

func parseWasm(data []byte) (*wasmModule, error) {
	m := &wasmModule{}
	r := &wasmReader{data: data, at: 8}
	if len(data) < 8 {
		return m, errWasm
	}
	if string(data[4:8]) != "\x01\x00\x00\x00" {
		return m, errors.New("the module is of another version than 1, or a component")
	}
	for r.at < len(r.data) {
		id, err := r.uleb()
		if err != nil {
			return m, err
		}
		size, err := r.uleb()
		if err != nil {
			return m, err
		}
		body, err := r.take(size)
		if err != nil {
			return m, err
		}
		m.sections++
		if err := m.section(id, &wasmReader{data: body}); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m *wasmModule) section(id uint64, r *wasmReader) error {
	switch id {
	case 8:
		m.start = true
		return nil
	case 2, 5, 7:
	default:
		return nil
	}
	n, err := r.uleb()
	if err != nil {
		return err
	}
	for range min(n, uint64(len(r.data))) { // each entry has a byte at least
		if err := m.entry(id, r); err != nil {
			return err
		}
	}
	return nil
}

func (m *wasmModule) entry(id uint64, r *wasmReader) error {
	if id == 5 {
		from, to, bounded, err := r.limits()
		m.memory("own", from, to, bounded)
		return err
	}
	module := ""
	var err error
	if id == 2 {
		if module, err = r.name(); err != nil {
			return err
		}
	}
	name, err := r.name()
	if err != nil {
		return err
	}
	kind, err := r.uleb()
	if err != nil {
		return err
	}
	if kind >= uint64(len(wasmKinds)) {
		return errWasm
	}
	if id == 7 {
		m.exports = append(m.exports, name+" "+wasmKinds[kind])
		_, err = r.uleb()
		return err
	}
	m.imports = append(m.imports, module+"."+name+" "+wasmKinds[kind])
	return m.importType(kind, r)
}

func (m *wasmModule) importType(kind uint64, r *wasmReader) error {
	switch kind {
	case 0, 3, 4: // type index; value type and mutability; attribute and type index
		if _, err := r.uleb(); err != nil {
			return err
		}
		if kind != 0 {
			_, err := r.uleb()
			return err
		}
		return nil
	case 1:
		if _, err := r.uleb(); err != nil {
			return err
		}
	}
	from, to, bounded, err := r.limits()
	if kind == 2 {
		m.memory("imported", from, to, bounded)
	}
	return err
}

func (m *wasmModule) memory(whose string, from, to uint64, bounded bool) {
	text := fmt.Sprintf("%s memory from %d KiB", whose, from*64)
	if bounded {
		text += fmt.Sprintf(" to %d KiB", to*64)
	} else {
		text += ", no maximum"
	}
	m.memories = append(m.memories, text)
}

func (s *scanner) wasm(src source, _ *File, _ []byte) string {
	if src.size > maxMember {
		s.report("wasm", src, "")
		return "a WebAssembly module larger than is read"
	}
	data := make([]byte, src.size)
	if n, _ := src.r.ReadAt(data, 0); n < len(data) {
		return "it cannot be read to its end"
	}
	m, err := parseWasm(data)
	s.report("wasm", src, fmt.Sprintf("%d imports, %d exports", len(m.imports), len(m.exports)))
	for _, i := range m.imports {
		s.detail("imports %s", i)
		if module, _, _ := strings.Cut(i, "."); module != "wasi_snapshot_preview1" && module != "wasi_unstable" {
			s.report("wasm-import", src, i)
		} else if strings.Contains(i, ".sock_") {
			s.report("wasm-import", src, i)
		}
	}
	for _, e := range m.exports {
		s.detail("exports %s", e)
	}
	for _, e := range m.memories {
		s.detail("%s", e)
	}
	if m.start {
		s.detail("has a start function, which runs as soon as it is loaded")
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
