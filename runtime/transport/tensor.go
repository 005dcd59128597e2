package transport

import (
	openflpb "fx/proto"
	"fx/runtime/tensor"
)

// FromMessage describes a NamedTensor message whose data is in memory; offsets
// are into its DataBytes.
func FromMessage(m *openflpb.NamedTensor) tensor.Named {
	return describe(m, int64(len(m.GetDataBytes())))
}

// Named describes the tensor; offsets are into the download.
func (d *Download) Named() tensor.Named { return describe(d.Tensor, d.Size()) }

func describe(m *openflpb.NamedTensor, size int64) tensor.Named {
	n := tensor.Named{
		Name: m.GetName(), Round: m.GetRoundNumber(), Lossless: m.GetLossless(), Report: m.GetReport(), Tags: m.GetTags(),
		DataSize: size,
	}
	for _, step := range m.GetTransformerMetadata() {
		n.Metadata = append(n.Metadata, tensor.Metadata{IntToFloat: step.GetIntToFloat(), IntList: step.GetIntList(), BoolList: step.GetBoolList()})
	}
	return n
}

// ToMessage makes the NamedTensor message of n with this data.
func ToMessage(n tensor.Named, data []byte) *openflpb.NamedTensor {
	m := &openflpb.NamedTensor{
		Name: n.Name, RoundNumber: n.Round, Lossless: n.Lossless, Report: n.Report, Tags: n.Tags, DataBytes: data,
	}
	for _, step := range n.Metadata {
		m.TransformerMetadata = append(m.TransformerMetadata, &openflpb.MetadataProto{IntToFloat: step.IntToFloat, IntList: step.IntList, BoolList: step.BoolList})
	}
	return m
}
