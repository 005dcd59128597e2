package codec

import (
	"bytes"
	"io"

	"fx/runtime/tensor"
)

// mappedBlock is how many values are mapped at a time.
const mappedBlock = 16 << 10

// payload finishes a tensor whose payload is in memory.
func payload(n tensor.Named, data []byte) tensor.NamedSource {
	n.DataSize = int64(len(data))
	return tensor.NamedSource{Named: n, Data: bytes.NewReader(data)}
}

// mapped reads float32 and gives each as value makes it, block by block.
type mapped struct {
	n     tensor.Named
	r     io.Reader
	left  int // values still to be read
	at    int // element of the next one
	value func(at int, v float32) (float32, error)
	end   func() error // nil, or called after the last value

	raw    []byte
	values []float32
	out    []byte // what is still to be handed out
	spare  []byte
}

// Read implements [io.Reader].
func (m *mapped) Read(p []byte) (int, error) {
	if len(m.out) == 0 {
		if err := m.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, m.out)
	m.out = m.out[n:]
	return n, nil
}

func (m *mapped) fill() error {
	if m.left == 0 {
		if m.end != nil {
			if err := m.end(); err != nil {
				return err
			}
			m.end = nil
		}
		return io.EOF
	}
	if m.raw == nil {
		m.raw = make([]byte, 4*min(m.left, mappedBlock))
	}
	raw := m.raw[:4*min(m.left, mappedBlock)]
	if _, err := io.ReadFull(m.r, raw); err != nil {
		return decodeError(m.n, err)
	}
	m.values = m.values[:0]
	for i, v := range tensor.Float32s(raw) {
		v, err := m.value(m.at+i, v)
		if err != nil {
			return err
		}
		m.values = append(m.values, v)
	}
	m.at += len(m.values)
	m.left -= len(m.values)
	m.spare = tensor.AppendFloat32s(m.spare[:0], m.values)
	m.out = m.spare
	return nil
}
