package tensor

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// metadataKey is the only name in a header that is not a tensor's.
const metadataKey = "__metadata__"

type header struct {
	entries  map[string]entry
	metadata map[string]string
}

// parseHeader walks the JSON token by token, because a decoder into a map would
// silently let the last of two equal names win.
func parseHeader(raw []byte) (*header, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, invalidf("the safetensors header does not begin with '{'")
	}
	if !utf8.Valid(raw) {
		return nil, invalidf("the safetensors header is not UTF-8")
	}
	p := &headerParser{json.NewDecoder(bytes.NewReader(raw))}
	p.UseNumber()
	h := &header{entries: map[string]entry{}}
	err := p.object("the header", func(key string) error {
		if key == metadataKey {
			return p.metadata(h)
		}
		if len(h.entries) == MaxTensors {
			return invalidf("the safetensors header has more than %d tensors", MaxTensors)
		}
		e, err := p.entry(key)
		h.entries[key] = e
		return err
	})
	if err != nil {
		return nil, err
	}
	if rest := raw[p.InputOffset():]; len(bytes.Trim(rest, " ")) != 0 {
		return nil, invalidf("the safetensors header has data after its closing '}'; only spaces may follow")
	}
	return h, nil
}

type headerParser struct{ *json.Decoder }

// object calls field after each key of a JSON object; field must consume the
// value. Keys may not repeat.
func (p *headerParser) object(what string, field func(key string) error) error {
	if err := p.delim('{', what); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.More() {
		t, err := p.Token()
		if err != nil {
			return invalidf("the safetensors header is not JSON: %v", err)
		}
		key, ok := t.(string)
		if !ok {
			return invalidf("%s has the key %v; text was expected", what, t)
		}
		if seen[key] {
			return invalidf("%s has %q twice", what, key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	return p.delim('}', what)
}

func (p *headerParser) metadata(h *header) error {
	h.metadata = map[string]string{}
	return p.object(metadataKey, func(key string) error {
		value, err := p.text(metadataKey + " " + strconv.Quote(key))
		h.metadata[key] = value
		return err
	})
}

func (p *headerParser) entry(name string) (entry, error) {
	e := entry{Info: Info{Name: name}}
	what := "tensor " + strconv.Quote(name)
	var dtype, shape, offsets bool
	err := p.object(what, func(key string) error {
		var err error
		switch key {
		case "dtype":
			dtype = true
			var s string
			s, err = p.text(what + " dtype")
			e.DType = DType(s)
		case "shape":
			shape = true
			err = p.numbers(what+" shape", MaxRank, func(v int64) { e.Shape = append(e.Shape, int(v)) })
		case "data_offsets":
			offsets = true
			var ab []int64
			err = p.numbers(what+" data_offsets", 2, func(v int64) { ab = append(ab, v) })
			if err == nil && len(ab) != 2 {
				return invalidf("%s has %d data_offsets; 2 were expected", what, len(ab))
			}
			if err == nil {
				e.begin, e.end = ab[0], ab[1]
			}
		default:
			return invalidf("%s has the key %q; allowed are dtype, shape, data_offsets", what, key)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if !dtype || !shape || !offsets {
		return e, invalidf("%s lacks one of dtype, shape, data_offsets", what)
	}
	return e, e.check()
}

func (p *headerParser) delim(want json.Delim, what string) error {
	t, err := p.Token()
	if err != nil {
		return invalidf("the safetensors header is not JSON: %v", err)
	}
	if t != want {
		return invalidf("%s has %v where '%v' was expected", what, t, want)
	}
	return nil
}

func (p *headerParser) text(what string) (string, error) {
	t, err := p.Token()
	if err != nil {
		return "", invalidf("the safetensors header is not JSON: %v", err)
	}
	s, ok := t.(string)
	if !ok {
		return "", invalidf("%s is %v; text was expected", what, t)
	}
	return s, nil
}

// numbers reads a list of at most limit integers that are not negative.
func (p *headerParser) numbers(what string, limit int, add func(int64)) error {
	if err := p.delim('[', what); err != nil {
		return err
	}
	for n := 0; p.More(); n++ {
		if n == limit {
			return invalidf("%s has more than %d numbers", what, limit)
		}
		t, err := p.Token()
		if err != nil {
			return invalidf("the safetensors header is not JSON: %v", err)
		}
		num, ok := t.(json.Number)
		if !ok {
			return invalidf("%s has %v where a whole number was expected", what, t)
		}
		v, err := strconv.ParseInt(num.String(), 10, 0)
		if err != nil || v < 0 {
			return invalidf("%s has %s where a whole number, not negative, was expected", what, num)
		}
		add(v)
	}
	return p.delim(']', what)
}
