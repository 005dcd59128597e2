package openflpb_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	openflpb "fx/proto"
)

// The digests are of the descriptors inside openfl 1.9's aggregator_pb2.py and
// base_pb2.py, without what is not on the wire: options and JSON names.
func TestDescriptorsAreOpenFLs(t *testing.T) {
	tests := []struct {
		path   string
		file   protoreflect.FileDescriptor
		digest string
	}{
		{"openfl/protocols/base.proto", openflpb.File_openfl_protocols_base_proto, "51937a203dd7a463d058b1e6bbd28738fcb52d1d8457702b689208f872e19853"},
		{"openfl/protocols/aggregator.proto", openflpb.File_openfl_protocols_aggregator_proto, "6156851480c2e8200144cfdc1084715e37213e79cce3d580ee5680a4e995e571"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			if got := tt.file.Path(); got != tt.path {
				t.Errorf("path %q, want %q", got, tt.path)
			}
			fd := protodesc.ToFileDescriptorProto(tt.file)
			fd.Options = nil
			for _, m := range fd.MessageType {
				clearJSONNames(m)
			}
			for _, s := range fd.Service {
				for _, m := range s.Method {
					m.Options = nil
				}
			}
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(fd)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(b)
			if got := hex.EncodeToString(sum[:]); got != tt.digest {
				t.Errorf("descriptor has SHA-256 %s, OpenFL 1.9's has %s:\n%v", got, tt.digest, fd)
			}
		})
	}
}

func clearJSONNames(m *descriptorpb.DescriptorProto) {
	for _, f := range m.Field {
		f.JsonName = nil
	}
	for _, n := range m.NestedType {
		clearJSONNames(n)
	}
}

// The byte strings were written by OpenFL's own runtime.
func TestMessagesEncodeAsOpenFLDoes(t *testing.T) {
	weights := &openflpb.NamedTensor{
		Name:                "w",
		Lossless:            true,
		Tags:                []string{"compressed", "trained"},
		TransformerMetadata: []*openflpb.MetadataProto{{IntList: []int32{2, 3}}},
		DataBytes:           mustHex(t, "000000000000803f0000004000004040000080400000a040"),
	}
	metric := &openflpb.NamedTensor{
		Name:                "acc",
		RoundNumber:         1,
		Lossless:            true,
		Report:              true,
		Tags:                []string{"compressed", "metric", "validate_agg"},
		TransformerMetadata: []*openflpb.MetadataProto{{}},
		DataBytes:           mustHex(t, "00008c40"),
	}
	tests := []struct {
		name string
		m    proto.Message
		want string
	}{
		{"weights", weights, "0a017718012a0a636f6d707265737365642a07747261696e65643204120202033a18000000000000803f0000004000004040000080400000a040"},
		{"scalar metric with one empty metadata entry", metric, "0a036163631001180120012a0a636f6d707265737365642a066d65747269632a0c76616c69646174655f61676732003a0400008c40"},
		{"negative int32 takes ten bytes", &openflpb.TaskResults{DataSize: -1}, "20ffffffffffffffffff01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := proto.Marshal(tt.m)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(b); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
