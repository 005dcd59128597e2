package tensor

import (
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// RoundKey is the safetensors metadata key that keeps a model's round number
// through a conversion.
const RoundKey = "fx.round"

// ModelTags are the tags that OpenFL gives to every tensor of a saved model.
func ModelTags() []string { return []string{"model"} }

// Round is the round number that all tensors of a model share, 0 for an empty
// model, and an error where they differ.
func Round(tensors []Named) (int32, error) {
	for _, t := range tensors {
		if first := tensors[0]; t.Round != first.Round {
			return 0, invalidf("tensor %q is of round %d, tensor %q of round %d; a model has one round", first.Name, first.Round, t.Name, t.Round)
		}
	}
	if len(tensors) == 0 {
		return 0, nil
	}
	return tensors[0].Round, nil
}

// ModelToSafetensors streams a model, scanned from r with ScanModel, as
// safetensors of dtype F32. The round number goes to the metadata. Compressed
// models are refused.
func ModelToSafetensors(w io.Writer, r io.ReaderAt, model []Named) error {
	round, err := Round(model)
	if err != nil {
		return err
	}
	sources := make([]Source, len(model))
	for i, t := range model {
		info, err := t.Info()
		if err != nil {
			return err
		}
		sources[i] = Source{Info: info, Data: io.NewSectionReader(r, t.DataOffset, t.DataSize)}
	}
	return WriteSafetensors(w, map[string]string{RoundKey: strconv.Itoa(int(round))}, sources)
}

// SafetensorsToModel streams a safetensors file of dtype F32 as a ModelProto in
// name order. The round number is taken from the metadata, and is 0 where a
// foreign file has none. Metadata that a ModelProto cannot keep is refused.
func SafetensorsToModel(w io.Writer, f *File) error {
	round, err := f.round()
	if err != nil {
		return err
	}
	var sources []NamedSource
	for _, info := range f.Infos() {
		if info.DType != F32 {
			return invalidf("tensor %q is of dtype %s; a .pbuf model holds F32 only", info.Name, info.DType)
		}
		for _, d := range info.Shape {
			if d > math.MaxInt32 {
				return invalidf("tensor %q has a dimension of %d; a .pbuf model allows %d", info.Name, d, math.MaxInt32)
			}
		}
		section, err := f.Section(info.Name)
		if err != nil {
			return err
		}
		sources = append(sources, NamedSource{
			Named: Named{
				Name: info.Name, Round: round, Lossless: true, Tags: ModelTags(),
				Metadata: ShapeMetadata(info.Shape), DataSize: info.Bytes(),
			},
			Data: section,
		})
	}
	return WriteModel(w, sources)
}

// round reads RoundKey and refuses metadata that would be lost. The key
// "format", which other writers set, carries nothing about the tensors.
func (f *File) round() (int32, error) {
	for _, key := range slices.Sorted(maps.Keys(f.metadata)) {
		if key != RoundKey && key != "format" {
			return 0, invalidf("the file has metadata %s, which a .pbuf model cannot keep; kept is %q", strconv.Quote(key), RoundKey)
		}
	}
	text, ok := f.metadata[RoundKey]
	if !ok {
		return 0, nil
	}
	round, err := strconv.ParseInt(text, 10, 32)
	if err != nil || strings.HasPrefix(text, "+") {
		return 0, invalidf("metadata %q is %q; a whole number was expected", RoundKey, text)
	}
	return int32(round), nil
}
