package tensor

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Named is OpenFL's NamedTensor without its payload, which stays where it is:
// DataSize bytes from DataOffset of the ReaderAt that was scanned.
type Named struct {
	Name     string
	Round    int32
	Lossless bool
	Report   bool // a scalar metric
	Tags     []string
	Metadata []Metadata // one per step of the compression pipeline

	DataOffset, DataSize int64
}

// Metadata is what one step of a compression pipeline needs to decode.
type Metadata struct {
	IntToFloat map[int32]float32
	IntList    []int32 // the shape, where the step is a plain float32 array
	BoolList   []bool  // declared by the protocol, used by nobody
}

// Limits on one NamedTensor apart from its payload.
const (
	MaxTags      = 256
	MaxTag       = MaxName  // bytes; a collaborator's name is a tag
	MaxSteps     = 16       // metadata entries
	MaxStepBytes = 16 << 20 // bytes of one metadata entry: RandomShiftPipeline puts a number per value there
)

// Field numbers of openfl/protocols/base.proto.
const (
	modelTensors = 1

	namedName     = 1
	namedRound    = 2
	namedLossless = 3
	namedReport   = 4
	namedTags     = 5
	namedMetadata = 6
	namedData     = 7

	metadataIntToFloat = 1
	metadataIntList    = 2
	metadataBoolList   = 3
)

// Info describes the payload of a tensor that is a plain float32 array, as
// OpenFL's NoCompressionPipeline makes it: one metadata entry that holds
// nothing but the shape. Anything else is refused.
func (n Named) Info() (Info, error) {
	if len(n.Metadata) != 1 || len(n.Metadata[0].IntToFloat) > 0 || len(n.Metadata[0].BoolList) > 0 {
		return Info{}, invalidf("tensor %q is not a plain float32 array: its metadata is that of another compression pipeline", n.Name)
	}
	info, err := n.Shape()
	if err != nil {
		return Info{}, err
	}
	if info.Bytes() != n.DataSize {
		return Info{}, invalidf("tensor %q has %d bytes of data, but shape %v of float32 needs %d", n.Name, n.DataSize, info.Shape, info.Bytes())
	}
	return info, nil
}

// Shape describes the float32 array that n was made of, whatever the compression
// pipeline: with all of them the first metadata entry holds the shape.
func (n Named) Shape() (Info, error) {
	if len(n.Metadata) == 0 {
		return Info{}, invalidf("tensor %q has no metadata, which holds its shape", n.Name)
	}
	info := Info{Name: n.Name, DType: F32, Shape: make([]int, len(n.Metadata[0].IntList))}
	for i, d := range n.Metadata[0].IntList {
		info.Shape[i] = int(d)
	}
	if err := info.check(); err != nil {
		return Info{}, err
	}
	return info, nil
}

// AppendHeader appends the wire form of n up to its payload: the DataSize
// payload bytes that the caller writes next complete the message. Fields are in
// number order and map keys ascend, so equal tensors have equal bytes.
func (n Named) AppendHeader(b []byte) []byte {
	if n.Name != "" {
		b = protowire.AppendTag(b, namedName, protowire.BytesType)
		b = protowire.AppendString(b, n.Name)
	}
	if n.Round != 0 {
		b = protowire.AppendTag(b, namedRound, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(int64(n.Round)))
	}
	if n.Lossless {
		b = protowire.AppendTag(b, namedLossless, protowire.VarintType)
		b = protowire.AppendVarint(b, 1)
	}
	if n.Report {
		b = protowire.AppendTag(b, namedReport, protowire.VarintType)
		b = protowire.AppendVarint(b, 1)
	}
	for _, tag := range n.Tags {
		b = protowire.AppendTag(b, namedTags, protowire.BytesType)
		b = protowire.AppendString(b, tag)
	}
	for _, m := range n.Metadata {
		b = protowire.AppendTag(b, namedMetadata, protowire.BytesType)
		b = protowire.AppendBytes(b, m.append(nil))
	}
	if n.DataSize > 0 {
		b = protowire.AppendTag(b, namedData, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(n.DataSize))
	}
	return b
}

func (m Metadata) append(b []byte) []byte {
	for _, key := range slices.Sorted(maps.Keys(m.IntToFloat)) {
		pair := protowire.AppendTag(nil, 1, protowire.VarintType)
		pair = protowire.AppendVarint(pair, uint64(int64(key)))
		pair = protowire.AppendTag(pair, 2, protowire.Fixed32Type)
		pair = protowire.AppendFixed32(pair, floatBits(m.IntToFloat[key]))
		b = protowire.AppendTag(b, metadataIntToFloat, protowire.BytesType)
		b = protowire.AppendBytes(b, pair)
	}
	if len(m.IntList) > 0 {
		var packed []byte
		for _, v := range m.IntList {
			packed = protowire.AppendVarint(packed, uint64(int64(v)))
		}
		b = protowire.AppendTag(b, metadataIntList, protowire.BytesType)
		b = protowire.AppendBytes(b, packed)
	}
	if len(m.BoolList) > 0 {
		var packed []byte
		for _, v := range m.BoolList {
			packed = protowire.AppendVarint(packed, protowire.EncodeBool(v))
		}
		b = protowire.AppendTag(b, metadataBoolList, protowire.BytesType)
		b = protowire.AppendBytes(b, packed)
	}
	return b
}

// ShapeMetadata is the metadata of a plain float32 array of this shape. A
// scalar has one empty entry, never none.
func ShapeMetadata(shape []int) []Metadata {
	var m Metadata
	for _, d := range shape {
		m.IntList = append(m.IntList, int32(d))
	}
	return []Metadata{m}
}
