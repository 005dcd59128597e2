package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"fx/runtime/tensor"
	"fx/schema"
)

// Limits of what is read of a TaskResults message before its tensors.
const (
	maxHeader  = 64 << 10
	maxName    = 1 << 10
	maxTensors = 1 << 17
	maxIndex   = 32 << 20 // bytes of all tensors without their values: what is held in memory
)

// Results is one serialized TaskResults message, indexed: everything but the
// tensors' values, which stay where they are.
type Results struct {
	Header   []byte // the serialized MessageHeader; kept as it is, so that the journal needs no gRPC
	Round    int32
	Task     string
	DataSize int32
	Tensors  []tensor.Named

	index int64 // bytes of Tensors on the wire, without values
}

// ScanResults indexes the TaskResults message that r holds. It reads no tensor
// values. Errors wrap [schema.ErrInvalid].
func ScanResults(r io.ReaderAt, size int64) (*Results, error) {
	out := &Results{}
	s := scanner{r: r, size: size}
	for s.off < s.size {
		if err := out.field(&s); err != nil {
			return nil, fmt.Errorf("cannot read task results at byte %d: %v: %w", s.off, err, schema.ErrInvalid)
		}
	}
	return out, nil
}

// text takes the header or the task's name.
func (out *Results) text(num protowire.Number, b []byte) {
	if num == 1 {
		out.Header = append(out.Header, b...) // protobuf merges a field that is there twice
	} else {
		out.Task = string(b)
	}
}

// scanTensor reads a NamedTensor without payload.
func scanTensor(b []byte) (tensor.Named, error) {
	return tensor.ScanNamed(bytes.NewReader(b), 0, int64(len(b)))
}

// field reads one field of TaskResults (OpenFL's aggregator.proto: 1 header,
// 2 round_number, 3 task_name, 4 data_size, 5 tensors).
func (out *Results) field(s *scanner) error {
	num, typ, err := s.tag()
	if err != nil {
		return err
	}
	switch {
	case num == 2 && typ == protowire.VarintType:
		v, err := s.varint()
		out.Round = int32(v)
		return err
	case num == 4 && typ == protowire.VarintType:
		v, err := s.varint()
		out.DataSize = int32(v)
		return err
	case typ != protowire.BytesType || num < 1 || num > 5:
		return fmt.Errorf("unexpected field %d of wire type %d", num, typ)
	}
	n, err := s.varint()
	if err != nil {
		return err
	}
	if n > uint64(s.size-s.off) {
		return fmt.Errorf("field %d has %d bytes, the message only %d more", num, n, s.size-s.off)
	}
	off := s.off
	s.off += int64(n)
	switch num {
	case 1:
		b, err := s.bytes(off, n, maxHeader-uint64(len(out.Header)))
		if err == nil {
			out.text(num, b)
		}
		return err
	case 3:
		b, err := s.bytes(off, n, maxName)
		if err == nil {
			out.text(num, b)
		}
		return err
	case 5:
		if len(out.Tensors) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		named, err := tensor.ScanNamed(s.r, off, int64(n))
		if err != nil {
			return err
		}
		if out.index += int64(n) - named.DataSize; out.index > maxIndex {
			return fmt.Errorf("more than %d bytes of tensors' names, tags and shapes", maxIndex)
		}
		out.Tensors = append(out.Tensors, named)
		return nil
	}
	return fmt.Errorf("field %d has the wrong wire type", num)
}

// scanner reads protobuf wire format at an offset of a larger file.
type scanner struct {
	r         io.ReaderAt
	off, size int64
}

func (s *scanner) varint() (uint64, error) {
	var buf [10]byte
	n, err := s.r.ReadAt(buf[:min(10, s.size-s.off)], s.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	v, used := protowire.ConsumeVarint(buf[:n])
	if used < 0 {
		return 0, protowire.ParseError(used)
	}
	s.off += int64(used)
	return v, nil
}

func (s *scanner) tag() (protowire.Number, protowire.Type, error) {
	v, err := s.varint()
	if err != nil {
		return 0, 0, err
	}
	num, typ := protowire.DecodeTag(v)
	if num < 1 {
		return 0, 0, errors.New("no field number")
	}
	return num, typ, nil
}

func (s *scanner) bytes(off int64, n, limit uint64) ([]byte, error) {
	if n > limit {
		return nil, fmt.Errorf("%d bytes where at most %d are allowed", n, limit)
	}
	b := make([]byte, n)
	if _, err := s.r.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// HasTag reports whether a tensor carries a tag, compared whole: "compressed"
// is not part of "lossy_compressed".
func HasTag(t tensor.Named, tag string) bool { return slices.Contains(t.Tags, tag) }
