package codec

import (
	"fmt"
	"io"
	"math"

	"fx/runtime/tensor"
)

// NoCompression sends float32 as it is; its only metadata is the shape
// (OpenFL: NoCompressionPipeline).
type NoCompression struct{}

func newNoCompression() Pipeline { return NoCompression{} }

// Lossy implements Pipeline.
func (NoCompression) Lossy() bool { return false }

// Encode implements Pipeline.
func (NoCompression) Encode(n tensor.Named, info tensor.Info, data io.Reader) (tensor.NamedSource, error) {
	if info.DType != tensor.F32 {
		return tensor.NamedSource{}, fmt.Errorf("cannot encode tensor %q: dtype is %s; only F32 travels", info.Name, info.DType)
	}
	for _, d := range info.Shape {
		if d < 0 || d > math.MaxInt32 {
			return tensor.NamedSource{}, fmt.Errorf("cannot encode tensor %q: a dimension of %d does not fit an int32", info.Name, d)
		}
	}
	if info.Bytes() < 0 {
		return tensor.NamedSource{}, fmt.Errorf("cannot encode tensor %q: shape %v is too large to count", info.Name, info.Shape)
	}
	n.Metadata = tensor.ShapeMetadata(info.Shape)
	n.DataSize = info.Bytes()
	return tensor.NamedSource{Named: n, Data: data}, nil
}

// Decode implements Pipeline.
func (NoCompression) Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, *io.SectionReader, error) {
	info, err := n.Info()
	if err != nil {
		return tensor.Info{}, nil, err
	}
	return info, io.NewSectionReader(r, n.DataOffset, n.DataSize), nil
}
