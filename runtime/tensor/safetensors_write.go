package tensor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Source is one tensor to be written; Data must yield exactly Info.Bytes()
// bytes.
type Source struct {
	Info
	Data io.Reader
}

// WriteSafetensors streams a safetensors file. Tensors are laid out in name
// order whatever the order of the sources, metadata keys are sorted, and the
// header is padded with spaces to a multiple of 8: the same content always
// gives the same bytes. Sources are read one after the other, in name order.
func WriteSafetensors(w io.Writer, metadata map[string]string, tensors []Source) error {
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	head, err := safetensorsHeader(metadata, sorted)
	if err != nil {
		return fmt.Errorf("cannot write safetensors: %w", err)
	}
	prefix := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	if _, err := w.Write(append(prefix, head...)); err != nil {
		return fmt.Errorf("cannot write safetensors header: %w", err)
	}
	buf := make([]byte, 64<<10)
	for _, t := range sorted {
		if err := copyExactly(w, t.Data, t.Bytes(), buf); err != nil {
			return fmt.Errorf("cannot write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

func safetensorsHeader(metadata map[string]string, sorted []Source) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(metadata) > 0 {
		b.WriteString(`"` + metadataKey + `":{`)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONString(&b, key)
			b.WriteByte(':')
			writeJSONString(&b, metadata[key])
		}
		b.WriteByte('}')
	}
	var at int64
	for i, t := range sorted {
		if err := t.check(); err != nil {
			return nil, err
		}
		if i > 0 && sorted[i-1].Name == t.Name {
			return nil, invalidf("two tensors are named %q", t.Name)
		}
		if i > 0 || len(metadata) > 0 {
			b.WriteByte(',')
		}
		end := at + t.Bytes()
		if end < at {
			return nil, invalidf("the tensors are too large to count")
		}
		writeJSONString(&b, t.Name)
		fmt.Fprintf(&b, `:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}`, t.DType, joinInts(t.Shape), at, end)
		at = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > MaxSafetensorsHeader {
		return nil, invalidf("the header would have %d bytes; at most %d are allowed", b.Len(), MaxSafetensorsHeader)
	}
	return b.Bytes(), nil
}

// writeJSONString leaves <, > and & alone, as other safetensors writers do.
func writeJSONString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string into a buffer: neither can fail
	b.Truncate(b.Len() - 1)
}

func joinInts(v []int) string {
	var s []byte
	for i, d := range v {
		if i > 0 {
			s = append(s, ',')
		}
		s = strconv.AppendInt(s, int64(d), 10)
	}
	return string(s)
}

// copyExactly copies n bytes and checks that the source ends there.
func copyExactly(w io.Writer, r io.Reader, n int64, buf []byte) error {
	if r == nil {
		if n == 0 {
			return nil
		}
		return fmt.Errorf("no data was given for its %d bytes", n)
	}
	got, err := io.CopyBuffer(onlyWriter{w}, io.LimitReader(r, n), buf)
	if err != nil {
		return err
	}
	if got != n {
		return fmt.Errorf("the data ended after %d of %d bytes", got, n)
	}
	for {
		extra, err := r.Read(buf[:1])
		switch {
		case extra > 0:
			return fmt.Errorf("the data goes on after %d bytes", n)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// onlyWriter hides ReadFrom, so that CopyBuffer uses the buffer it was given.
type onlyWriter struct{ io.Writer }
