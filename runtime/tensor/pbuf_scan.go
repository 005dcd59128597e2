package tensor

import (
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// ScanModel reads a ModelProto (.pbuf) of size bytes: all its tensors in file
// order, without their payloads. Names must be present and distinct. Errors
// that are the file's fault wrap ErrInvalid.
func ScanModel(r io.ReaderAt, size int64) ([]Named, error) {
	c := &cursor{r: r, end: size}
	var tensors []Named
	names := map[string]bool{}
	for !c.done() {
		start := c.off
		num, typ, err := c.tag()
		if err != nil {
			return nil, err
		}
		if num != modelTensors || typ != protowire.BytesType {
			return nil, invalidf("byte %d: field %d of wire type %d is not part of a model file", start, num, typ)
		}
		if len(tensors) == MaxTensors {
			return nil, invalidf("a model file has more than %d tensors", MaxTensors)
		}
		n, err := c.length()
		if err != nil {
			return nil, err
		}
		c.end = c.off + n
		t, err := c.named()
		c.end = size
		if err != nil {
			return nil, fmt.Errorf("tensor %d: %w", len(tensors), err)
		}
		if err := checkName(t.Name); err != nil {
			return nil, fmt.Errorf("tensor %d: %w", len(tensors), err)
		}
		if names[t.Name] {
			return nil, invalidf("two tensors are named %q", t.Name)
		}
		names[t.Name] = true
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// ScanNamed reads one NamedTensor that occupies n bytes from off, without its
// payload. An empty message is an empty Named: OpenFL's aggregator answers with
// one where it must not give a tensor away. Unknown fields, repeated singular
// fields and numbers out of range are refused.
func ScanNamed(r io.ReaderAt, off, n int64) (Named, error) {
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return Named{}, invalidf("a tensor cannot occupy %d bytes from %d", n, off)
	}
	c := &cursor{r: r, off: off, end: off + n}
	return c.named()
}

func (c *cursor) named() (Named, error) {
	t := Named{DataOffset: c.end}
	var seen [namedData + 1]bool
	for !c.done() {
		start := c.off
		num, typ, err := c.tag()
		if err != nil {
			return t, err
		}
		if num > namedData {
			return t, invalidf("byte %d: a tensor has no field %d", start, num)
		}
		want := protowire.BytesType
		if num == namedRound || num == namedLossless || num == namedReport {
			want = protowire.VarintType
		}
		if typ != want {
			return t, invalidf("byte %d: field %d of a tensor has wire type %d; %d was expected", start, num, typ, want)
		}
		if seen[num] && num != namedTags && num != namedMetadata {
			return t, invalidf("byte %d: field %d of a tensor is there twice", start, num)
		}
		seen[num] = true
		if err := c.namedField(&t, num); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (c *cursor) namedField(t *Named, num protowire.Number) error {
	var err error
	switch num {
	case namedName:
		t.Name, err = c.text("a tensor's name", MaxName)
	case namedRound:
		var v uint64
		if v, err = c.varint(); err != nil {
			return err
		}
		var ok bool
		if t.Round, ok = toInt32(v); !ok {
			return invalidf("tensor %q has round %d, which is no int32", t.Name, v)
		}
	case namedLossless:
		t.Lossless, err = c.bool("lossless")
	case namedReport:
		t.Report, err = c.bool("report")
	case namedTags:
		if len(t.Tags) == MaxTags {
			return invalidf("tensor %q has more than %d tags", t.Name, MaxTags)
		}
		var tag string
		tag, err = c.text("a tag", MaxTag)
		t.Tags = append(t.Tags, tag)
	case namedMetadata:
		if len(t.Metadata) == MaxSteps {
			return invalidf("tensor %q has more than %d metadata entries", t.Name, MaxSteps)
		}
		var b []byte
		if b, err = c.bytes("a metadata entry", MaxStepBytes); err != nil {
			return err
		}
		var m Metadata
		if m, err = parseMetadata(b); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		t.Metadata = append(t.Metadata, m)
	case namedData:
		if t.DataSize, err = c.length(); err != nil {
			return err
		}
		t.DataOffset = c.off
		c.off += t.DataSize
	}
	return err
}

func (c *cursor) text(what string, limit int64) (string, error) {
	b, err := c.bytes(what, limit)
	if err == nil && !utf8.Valid(b) {
		return "", invalidf("%s %q is not UTF-8", what, b)
	}
	return string(b), err
}

func (c *cursor) bool(what string) (bool, error) {
	v, err := c.varint()
	if err == nil && v > 1 {
		return false, invalidf("%s is %d; 0 or 1 was expected", what, v)
	}
	return v == 1, err
}
