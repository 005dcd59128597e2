// Package codec turns tensors into what travels and back: OpenFL's compression
// pipelines.
//
// Whatever the pipeline, what goes in and comes out is float32, little-endian,
// in C order. A NamedTensor has one metadata entry per step, and the first holds
// the shape; its tag says which pipeline made it.
//
// Encoding is a function of the tensor and a seed: the same values with the same
// seed give the same bytes, so that what is sent again after a restart is what
// was sent before.
package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"fx/runtime/tensor"
	"fx/schema"
)

// Tags that say which pipeline made a payload: exactly one is on every tensor
// that travels.
const (
	TagLossless = "compressed"       // the lossless pipeline
	TagLossy    = "lossy_compressed" // the plan's pipeline, where that is lossy
)

// TagDelta is on a tensor that is the difference to the model of its round; of
// an aggregated tensor, to that of the round before.
const TagDelta = "delta"

// Pipeline encodes and decodes one tensor at a time. Those that are not lossy
// hold no tensor; the lossy ones hold one while they encode it, and EDEN while
// it decodes.
type Pipeline interface {
	// Lossy says whether decoding may give other values than were encoded. As in
	// OpenFL, adding and taking away a random shift does not count as loss,
	// although it rounds.
	Lossy() bool
	// Check refuses a tensor that the pipeline's format cannot hold.
	Check(info tensor.Info) error
	// Encode fills in n's Metadata and DataSize for a tensor of this Info and
	// returns the payload. Name, round and tags are the caller's, except that the
	// pipeline's tag must be among them (see Tag). Random choices follow from seed.
	Encode(n tensor.Named, info tensor.Info, data io.Reader, seed uint64) (tensor.NamedSource, error)
	// Info describes the tensor that n holds. It looks at metadata only, so
	// that a shape can be refused before anything is decoded. Errors wrap
	// tensor.ErrInvalid.
	Info(n tensor.Named) (tensor.Info, error)
	// Decode describes the tensor that n holds and returns its float32 values, as
	// many as the shape has: an *io.SectionReader where they lie in r as they are.
	// Errors, those of the reader as well, wrap tensor.ErrInvalid.
	Decode(n tensor.Named, r io.ReaderAt) (tensor.Info, io.Reader, error)
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
// pipeline.
var pipelines = map[string]func(*schema.Settings) Pipeline{
	"":                               newNoCompression,
	openfl + "NoCompressionPipeline": newNoCompression,
	openfl + "RandomShiftPipeline":   newRandomShift,
	openfl + "KCPipeline":            newKC,
	openfl + "SKCPipeline":           newSKC,
	openfl + "STCPipeline":           newSTC,
	openfl + "EdenPipeline":          newEden,
}

// New makes the pipeline that a plan names. Errors wrap schema.ErrInvalid.
func New(c schema.Component) (Pipeline, error) {
	return schema.Build(pipelines, c, "compression_pipeline", "compression pipeline")
}

// Seed makes a seed of what tells one tensor from all others: the federation,
// who sends it, its name and its round. The sender belongs to it: random errors
// of different senders must be different, or they add up instead of cancelling
// out.
func Seed(federation, sender, name string, round int) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "fx-codec/1 %q %q %q %d", federation, sender, name, round))
	return binary.LittleEndian.Uint64(sum[:])
}

// checkF32 refuses what no pipeline can encode.
func checkF32(info tensor.Info) error {
	if info.DType != tensor.F32 {
		return fmt.Errorf("cannot encode tensor %q: dtype is %s; only F32 travels", info.Name, info.DType)
	}
	for _, d := range info.Shape {
		if d < 0 || d > math.MaxInt32 {
			return fmt.Errorf("cannot encode tensor %q: a dimension of %d does not fit an int32", info.Name, d)
		}
	}
	return tensor.CheckTravel(info)
}

// read takes in all values of a tensor that is to be encoded. A pipeline that
// loses values would spread a NaN or an infinity over others.
func read(info tensor.Info, data io.Reader) ([]float32, error) {
	raw := make([]byte, info.Bytes())
	if _, err := io.ReadFull(data, raw); err != nil {
		return nil, fmt.Errorf("cannot encode tensor %q: %w", info.Name, err)
	}
	values := tensor.Float32s(raw)
	for i, v := range values {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("cannot encode tensor %q: element %d is %v", info.Name, i, f)
		}
	}
	return values, nil
}

// shape is the first metadata entry of n, which must have this many.
func shape(n tensor.Named, steps int) (tensor.Info, error) {
	if len(n.Metadata) != steps {
		return tensor.Info{}, invalidf(n, "it has the metadata of %d steps, the plan's compression pipeline has %d", len(n.Metadata), steps)
	}
	return n.Shape()
}

func intList(info tensor.Info) []int32 { return tensor.ShapeMetadata(info.Shape)[0].IntList }

func invalidf(n tensor.Named, format string, a ...any) error {
	return fmt.Errorf("%w: cannot decode tensor %q: %s", tensor.ErrInvalid, n.Name, fmt.Sprintf(format, a...))
}

// decodeError keeps the error of a reader, or says that the data is at fault.
func decodeError(n tensor.Named, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return invalidf(n, "its data ends too early")
	}
	return err
}
