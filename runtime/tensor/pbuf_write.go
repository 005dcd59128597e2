package tensor

import (
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// NamedSource is one tensor to be written; Data must yield exactly DataSize
// bytes. DataOffset is not used.
type NamedSource struct {
	Named
	Data io.Reader
}

// WriteModel streams a ModelProto (.pbuf): tensors in the order given, each
// with the bytes that any protobuf writer would give it.
func WriteModel(w io.Writer, tensors []NamedSource) error {
	names := map[string]bool{}
	for _, t := range tensors {
		if err := checkName(t.Name); err != nil {
			return fmt.Errorf("cannot write model: %w", err)
		}
		if names[t.Name] {
			return fmt.Errorf("cannot write model: %w", invalidf("two tensors are named %q", t.Name))
		}
		names[t.Name] = true
		if t.DataSize < 0 || t.DataSize > math.MaxInt64/2 {
			return fmt.Errorf("cannot write tensor %q: a payload cannot have %d bytes", t.Name, t.DataSize)
		}
	}
	buf := make([]byte, 64<<10)
	for _, t := range tensors {
		head := t.AppendHeader(nil)
		frame := protowire.AppendTag(nil, modelTensors, protowire.BytesType)
		frame = protowire.AppendVarint(frame, uint64(int64(len(head))+t.DataSize))
		if _, err := w.Write(append(frame, head...)); err != nil {
			return fmt.Errorf("cannot write tensor %q: %w", t.Name, err)
		}
		if err := copyExactly(w, t.Data, t.DataSize, buf); err != nil {
			return fmt.Errorf("cannot write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}
