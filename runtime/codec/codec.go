// Package codec turns tensors into what travels and back: OpenFL's compression
// pipelines.
//
// Whatever the pipeline, a payload is float32, little-endian, in C order, with
// one metadata entry per step; the tag says which pipeline made it.
package codec

import (
	"io"

	"fx/runtime/tensor"
	"fx/schema"
)

// Tags that say which pipeline made a payload: exactly one is on every tensor
// that travels.
const (
	TagLossless = "compressed"       // the lossless pipeline
	TagLossy    = "lossy_compressed" // the plan's pipeline, where that is lossy
)

// Pipeline encodes and decodes one tensor at a time, without holding it.
type Pipeline interface {
	// Lossy says whether decoding may give other values than were encoded.
	Lossy() bool
	// Encode fills in n's Metadata and DataSize for a tensor of this Info, whose
	// dtype must be F32, and returns the payload. Name, round and tags are the
	// caller's, except that the pipeline's tag must be among them (see Tag).
	Encode(n tensor.Named, info tensor.Info, data io.Reader) (tensor.NamedSource, error)
	// Decode describes the tensor that n holds and returns its float32 payload,
	// a part of r. Errors wrap tensor.ErrInvalid.
	Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, *io.SectionReader, error)
}

// Lossless is the pipeline to use where values must survive: p itself, or no
// compression where p is lossy.
func Lossless(p Pipeline) Pipeline {
	if p.Lossy() {
		return NoCompression{}
	}
	return p
}

// Tag is the tag of what p makes.
func Tag(p Pipeline) string {
	if p.Lossy() {
		return TagLossy
	}
	return TagLossless
}

const openfl = "openfl.pipelines."

// pipelines holds one constructor per template; "" is a plan without a
// pipeline. A nil constructor is a pipeline of OpenFL's that fx does not have.
var pipelines = map[string]func() Pipeline{
	"":                               newNoCompression,
	openfl + "NoCompressionPipeline": newNoCompression,
	openfl + "RandomShiftPipeline":   nil,
	openfl + "KCPipeline":            nil,
	openfl + "SKCPipeline":           nil,
	openfl + "STCPipeline":           nil,
	openfl + "EdenPipeline":          nil,
}

// New makes the pipeline that a plan names. Errors wrap schema.ErrInvalid.
func New(c schema.Component) (Pipeline, error) {
	return schema.Choose(pipelines, c, "compression_pipeline", "compression pipeline")
}
