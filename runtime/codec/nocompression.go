package codec

import (
	"io"

	"fx/runtime/tensor"
	"fx/schema"
)

// NoCompression sends float32 as it is; its only metadata is the shape
// (OpenFL: NoCompressionPipeline).
type NoCompression struct{}

func newNoCompression(*schema.Settings) Pipeline { return NoCompression{} }

// Lossy implements Pipeline.
func (NoCompression) Lossy() bool { return false }

// Check implements Pipeline.
func (NoCompression) Check(info tensor.Info) error { return checkF32(info) }

// Encode implements Pipeline. The payload is data itself.
func (NoCompression) Encode(n tensor.Named, info tensor.Info, data io.Reader, _ uint64) (tensor.NamedSource, error) {
	if err := checkF32(info); err != nil {
		return tensor.NamedSource{}, err
	}
	n.Metadata = tensor.ShapeMetadata(info.Shape)
	n.DataSize = info.Bytes()
	return tensor.NamedSource{Named: n, Data: data}, nil
}

// Info implements Pipeline.
func (NoCompression) Info(n tensor.Named) (tensor.Info, error) { return n.Info() }

// Decode implements Pipeline.
func (NoCompression) Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error) {
	info, err := n.Info()
	if err != nil {
		return tensor.Info{}, nil, err
	}
	return info, io.NewSectionReader(r, n.DataOffset, n.DataSize), nil
}
