package tensor

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// parseMetadata decodes one MetadataProto. Lists may be packed or not, as
// protobuf allows.
func parseMetadata(b []byte) (Metadata, error) {
	var m Metadata
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m, invalidf("a metadata entry is cut off")
		}
		b = b[n:]
		var err error
		switch {
		case num == metadataIntToFloat && typ == protowire.BytesType:
			b, err = m.consumePair(b)
		case num == metadataIntList && (typ == protowire.BytesType || typ == protowire.VarintType):
			b, err = consumeList(b, typ, func(v uint64) bool {
				i, ok := toInt32(v)
				m.IntList = append(m.IntList, i)
				return ok
			})
		case num == metadataBoolList && (typ == protowire.BytesType || typ == protowire.VarintType):
			b, err = consumeList(b, typ, func(v uint64) bool {
				m.BoolList = append(m.BoolList, v == 1)
				return v <= 1
			})
		default:
			err = invalidf("a metadata entry has no field %d of wire type %d", num, typ)
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

// consumePair reads one entry of int_to_float. An absent half is zero.
func (m *Metadata) consumePair(b []byte) ([]byte, error) {
	pair, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, invalidf("int_to_float is cut off")
	}
	var key int32
	var value float32
	for p := pair; len(p) > 0; {
		num, typ, tn := protowire.ConsumeTag(p)
		if tn < 0 {
			return nil, invalidf("int_to_float is cut off")
		}
		p = p[tn:]
		switch {
		case num == 1 && typ == protowire.VarintType:
			v, vn := protowire.ConsumeVarint(p)
			i, ok := toInt32(v)
			if vn < 0 || !ok {
				return nil, invalidf("int_to_float has a key that is no int32")
			}
			key, p = i, p[vn:]
		case num == 2 && typ == protowire.Fixed32Type:
			v, vn := protowire.ConsumeFixed32(p)
			if vn < 0 {
				return nil, invalidf("int_to_float is cut off")
			}
			value, p = math.Float32frombits(v), p[vn:]
		default:
			return nil, invalidf("int_to_float has no field %d of wire type %d", num, typ)
		}
	}
	if _, twice := m.IntToFloat[key]; twice {
		return nil, invalidf("int_to_float has the key %d twice", key)
	}
	if m.IntToFloat == nil {
		m.IntToFloat = map[int32]float32{}
	}
	m.IntToFloat[key] = value
	return b[n:], nil
}

// consumeList reads a packed list or one element of an unpacked one; add says
// whether the value is in range.
func consumeList(b []byte, typ protowire.Type, add func(uint64) bool) ([]byte, error) {
	list, rest := b, []byte(nil)
	if typ == protowire.BytesType {
		packed, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, invalidf("a metadata list is cut off")
		}
		list, rest = packed, b[n:]
	}
	for len(list) > 0 {
		v, n := protowire.ConsumeVarint(list)
		if n < 0 {
			return nil, invalidf("a metadata list is cut off")
		}
		if !add(v) {
			return nil, invalidf("a metadata list has %d, which is out of range", v)
		}
		list = list[n:]
		if typ == protowire.VarintType {
			return list, nil
		}
	}
	if typ == protowire.VarintType {
		return nil, invalidf("a metadata list is cut off")
	}
	return rest, nil
}
