package transport

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that wire builds on
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	openflpb "fx/proto"
)

// wire is gRPC's protobuf codec, except that it does not copy what tensors and
// uploads consist of: going out, a payload is put behind the few bytes that
// precede it as it is; coming in, it is handed on in the buffers that it came in.
// What is on the wire is protobuf either way, and the other side may use any
// codec.
//
// Whoever sends must leave the payload alone until gRPC has given it back: only
// then has it been written to the connection.
type wire struct{ encoding.CodecV2 }

func newWire() wire { return wire{encoding.GetCodecV2("proto")} }

// Marshal implements [encoding.CodecV2].
func (c wire) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *chunk:
		return m.marshal(), nil
	case *lentReply:
		return m.marshal()
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements [encoding.CodecV2].
func (c wire) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *chunk:
		return m.unmarshal(c, data)
	case *Download:
		return m.unmarshal(c, data)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// Field numbers of OpenFL's DataStream, GetAggregatedTensorResponse and
// NamedTensor.
const (
	streamSize    = 1
	streamBytes   = 2
	replyHeader   = 1
	replyRound    = 2
	replyTensor   = 3
	tensorPayload = 7
)

// chunk is a DataStream message.
type chunk struct{ data pieces }

// marshal gives the buffers away, to gRPC.
func (c *chunk) marshal() mem.BufferSlice {
	n := uint64(c.data.size())
	head := protowire.AppendTag(nil, streamSize, protowire.VarintType)
	head = protowire.AppendVarint(head, n)
	head = protowire.AppendTag(head, streamBytes, protowire.BytesType)
	head = protowire.AppendVarint(head, n)
	return append(mem.BufferSlice{mem.SliceBuffer(head)}, c.data.bufs...)
}

// unmarshal keeps references to the payload. As in protobuf, of several the
// last counts.
func (c *chunk) unmarshal(stock wire, data mem.BufferSlice) error {
	w := walk(data)
	var payload mem.BufferSlice
	for w.left > 0 {
		num, typ, err := w.tag()
		switch {
		case err == nil && num == streamSize && typ == protowire.VarintType:
			_, err = w.varint()
		case err == nil && num == streamBytes && typ == protowire.BytesType:
			var n int64
			if n, err = w.length(); err == nil {
				payload.Free()
				payload = w.take(n)
			}
		default:
			err = errUnusual
		}
		if err != nil {
			payload.Free()
			var m openflpb.DataStream
			if err := stock.CodecV2.Unmarshal(data, &m); err != nil {
				return err
			}
			c.data = hold(mem.BufferSlice{mem.SliceBuffer(m.GetNpbytes())})
			return nil
		}
	}
	c.data = hold(payload)
	return nil
}

// Download is a tensor that an aggregator has sent. It reads as the tensor's
// data, which stays in the buffers that it came in until Free is called.
type Download struct {
	Tensor *openflpb.NamedTensor // without data_bytes; nil if the answer has none

	header *openflpb.MessageHeader
	pieces
}

// Size is the number of bytes of data.
func (d *Download) Size() int64 { return d.size() }

// Free gives the buffers back. Nothing may be read afterwards.
func (d *Download) Free() { d.free() }

// unmarshal keeps references to the data, and reads everything else.
func (d *Download) unmarshal(stock wire, data mem.BufferSlice) error {
	rest, payload, err := withoutPayload(data)
	var m openflpb.GetAggregatedTensorResponse
	if err != nil {
		if err := stock.CodecV2.Unmarshal(data, &m); err != nil {
			return err
		}
		payload = mem.BufferSlice{mem.SliceBuffer(m.GetTensor().GetDataBytes())}
		if m.Tensor != nil {
			m.Tensor.DataBytes = nil
		}
	} else if err := proto.Unmarshal(rest, &m); err != nil {
		payload.Free()
		return err
	}
	d.Tensor, d.header, d.pieces = m.GetTensor(), m.GetHeader(), hold(payload)
	return nil
}

// withoutPayload divides a GetAggregatedTensorResponse into the tensor's payload
// and the message without it.
func withoutPayload(data mem.BufferSlice) (rest []byte, payload mem.BufferSlice, err error) {
	defer func() {
		if err != nil {
			payload.Free()
		}
	}()
	w := walk(data)
	for w.left > 0 {
		num, typ, err := w.tag()
		if err != nil {
			return nil, payload, err
		}
		switch {
		case num == replyRound && typ == protowire.VarintType:
			v, err := w.varint()
			if err != nil {
				return nil, payload, err
			}
			rest = protowire.AppendVarint(protowire.AppendTag(rest, num, typ), v)
		case (num == replyHeader || num == replyTensor) && typ == protowire.BytesType:
			n, err := w.length()
			if err != nil {
				return nil, payload, err
			}
			var body []byte
			if num == replyTensor {
				body, err = w.tensor(n, &payload)
			} else {
				body = w.bytes(nil, n)
			}
			if err != nil {
				return nil, payload, err
			}
			rest = protowire.AppendBytes(protowire.AppendTag(rest, num, typ), body)
		default:
			return nil, payload, errUnusual
		}
	}
	return rest, payload, nil
}

// tensor reads a NamedTensor of n bytes without its payload.
func (w *walker) tensor(n int64, payload *mem.BufferSlice) (rest []byte, err error) {
	behind := w.left - n
	w.left = n
	for w.left > 0 {
		num, typ, err := w.tag()
		if err != nil {
			return nil, err
		}
		switch typ {
		case protowire.VarintType:
			v, err := w.varint()
			if err != nil {
				return nil, err
			}
			rest = protowire.AppendVarint(protowire.AppendTag(rest, num, typ), v)
		case protowire.BytesType:
			n, err := w.length()
			if err != nil {
				return nil, err
			}
			if num == tensorPayload {
				payload.Free()
				*payload = w.take(n)
				continue
			}
			rest = protowire.AppendVarint(protowire.AppendTag(rest, num, typ), uint64(n))
			rest = w.bytes(rest, n)
		default:
			return nil, errUnusual
		}
	}
	w.left = behind
	return rest, nil
}

// lentReply is the answer to GetAggregatedTensor whose data is lent to gRPC.
type lentReply struct {
	message *openflpb.GetAggregatedTensorResponse
	keeper  *keeper
}

// marshal writes the message's fields in the order of their numbers. The data is
// the last of the last one.
func (r *lentReply) marshal() (mem.BufferSlice, error) {
	t := r.message.GetTensor()
	data := t.GetDataBytes()
	t.DataBytes = nil
	body, err := proto.Marshal(t)
	if err != nil {
		r.keeper.Put(nil)
		return nil, err
	}
	body = protowire.AppendTag(body, tensorPayload, protowire.BytesType)
	body = protowire.AppendVarint(body, uint64(len(data)))
	r.message.Tensor = nil
	head, err := proto.Marshal(r.message)
	if err != nil {
		r.keeper.Put(nil)
		return nil, err
	}
	head = protowire.AppendTag(head, replyTensor, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(body)+len(data)))
	head = append(head, body...)
	return mem.BufferSlice{mem.SliceBuffer(head), mem.NewBuffer(&data, r.keeper)}, nil
}
