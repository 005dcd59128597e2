package bundle

import (
	"bytes"
	"strconv"
	"strings"
)

// parseManifest reads a manifest and proves that its bytes are the canonical
// ones by encoding the result again. The parser therefore only has to find the
// values; every liberty it might take is caught by the comparison.
func parseManifest(raw []byte) (*manifest, error) {
	if len(raw) > maxManifest {
		return nil, fault(CauseManifestSize, "the manifest has %d bytes, allowed are %d", len(raw), maxManifest)
	}
	p := &manifestParser{rest: string(raw), line: 1}
	m := &manifest{}
	p.head(m)
	p.list(`"files":[`, "],", func(line string) { m.Files = append(m.Files, p.file(line)) })
	p.list(`"frames":[`, "]}", func(line string) { m.Frames = append(m.Frames, p.frame(line)) })
	if p.err == nil && p.rest != "" {
		p.fail(CauseManifestShape, "nothing may follow the last line")
	}
	if p.err != nil {
		return nil, p.err
	}
	stated := m.tree
	if err := m.check(); err != nil {
		return nil, err
	}
	if m.sum(); m.tree != stated {
		return nil, fault(CauseManifestTree, "treeSha256 is %x, the file list gives %x", stated, m.tree)
	}
	if !bytes.Equal(m.encode(), raw) {
		return nil, fault(CauseManifestWriting, "the manifest is not in canonical form")
	}
	return m, nil
}

// manifestParser walks the lines; the first error stays.
type manifestParser struct {
	rest string
	line int
	err  error
}

func (p *manifestParser) fail(c Cause, what string) {
	if p.err == nil {
		p.err = fault(c, "manifest line %d: %s", p.line, what)
	}
}

// next cuts one line; the last one, too, ends in a line feed.
func (p *manifestParser) next() string {
	line, rest, ok := strings.Cut(p.rest, "\n")
	if !ok {
		p.fail(CauseManifestShape, "the line does not end")
	}
	p.rest = rest
	return line
}

func (p *manifestParser) head(m *manifest) {
	line := p.next()
	f := p.fields(line, `{"format":"fxb/1","name":"`, `","version":"`, `","encoder":"`, `","frameMax":`, `,"treeSha256":"`, `",`)
	if p.err != nil {
		return
	}
	m.Name, m.Version, m.Encoder, m.FrameMax, m.tree = f[0], f[1], f[2], p.number(f[3]), p.digest(f[4])
	if len(m.Encoder) > 128 || !plainASCII(m.Encoder) {
		p.fail(CauseManifestText, "encoder is not up to 128 plain ASCII characters")
	}
	p.line++
}

func (p *manifestParser) list(open, end string, item func(string)) {
	if p.err != nil {
		return
	}
	line := p.next()
	if line != open {
		p.fail(CauseManifestShape, "want "+open)
	}
	for p.err == nil {
		p.line++
		line = p.next()
		body, more := strings.CutSuffix(line, ",")
		if !more || strings.HasSuffix(line, end) {
			body, more = strings.CutSuffix(line, end)
			if !more {
				p.fail(CauseManifestShape, "want a comma or "+end+" at the end")
			}
			item(body)
			p.line++
			return
		}
		item(body)
	}
}

func (p *manifestParser) file(line string) File {
	f := p.fields(line, `{"path":"`, `","mode":"`, `","size":`, `,"sha256":"`, `"}`)
	if p.err != nil {
		return File{}
	}
	if f[1] != "0644" && f[1] != "0755" {
		p.fail(CauseManifestMode, "mode is "+clip(f[1])+`, allowed are "0644" and "0755"`)
	}
	return File{Path: f[0], Executable: f[1] == "0755", Size: p.number(f[2]), SHA256: p.digest(f[3])}
}

func (p *manifestParser) frame(line string) frame {
	f := p.fields(line, `"`, `:`, `"`)
	if p.err != nil {
		return frame{}
	}
	n, err := strconv.ParseUint(f[0], 16, 32)
	if err != nil || len(f[0]) != 8 {
		p.fail(CauseManifestNumber, "a frame's size has eight hexadecimal digits")
	}
	return frame{csize: uint32(n), sha256: p.digest(f[1])}
}

// fields returns what stands between the given literals, which must be the
// whole line.
func (p *manifestParser) fields(line string, literals ...string) []string {
	rest, ok := strings.CutPrefix(line, literals[0])
	values := make([]string, 0, len(literals)-1)
	for _, lit := range literals[1:] {
		var v string
		if ok {
			v, rest, ok = strings.Cut(rest, lit)
		}
		values = append(values, v)
	}
	if !ok || rest != "" {
		p.fail(CauseManifestShape, "want the shape "+strings.Join(literals, "…"))
	}
	return values
}

func (p *manifestParser) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		p.fail(CauseManifestNumber, "want a decimal number in place of "+clip(s))
	}
	return n
}

func (p *manifestParser) digest(s string) [32]byte {
	d, ok := parseDigest(s)
	if !ok {
		p.fail(CauseManifestDigest, "want 64 lower-case hexadecimal digits in place of "+clip(s))
	}
	return d
}

// clip quotes the beginning of a value of unknown length.
func clip(s string) string {
	if len(s) > 80 {
		return strconv.QuoteToASCII(s[:80]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// plainASCII reports whether s needs no escaping in JSON and on a terminal.
func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}
