package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"fx/schema"
)

// Upload takes in one serialized TaskResults message as it arrives, in pieces of
// any size, and spools it to a draft. On the way, while the bytes are at hand, it
// indexes the message, makes its digest, and looks for values that are no finite
// numbers: nothing of it has to be read again.
type Upload struct {
	Draft
	// Head, unless nil, is asked once, when the fields before the first tensor are
	// known. An error ends the upload.
	Head func(*Results) error

	sum  hash.Hash
	walk uploadWalk
	err  error
}

// Upload begins an upload. Its draft is committed by [Journal.Accept], or
// discarded.
func (j *Journal) Upload() (*Upload, error) {
	d, err := j.store.Draft()
	if err != nil {
		return nil, err
	}
	u := &Upload{Draft: d, sum: sha256.New()}
	u.walk.reset()
	return u, nil
}

// Write takes the next bytes. Errors that are the message's fault wrap
// [schema.ErrInvalid]; those of Head are returned as they are.
func (u *Upload) Write(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.err = u.walk.feed(p, u.Head); u.err != nil {
		return 0, u.err
	}
	_, _ = u.sum.Write(p) // which cannot fail
	n, err := u.Draft.Write(p)
	u.err = err
	return n, err
}

// Results is the index of the message, once all of it was written.
func (u *Upload) Results() (*Results, error) {
	if u.err != nil {
		return nil, u.err
	}
	return u.walk.end()
}

// SHA256 is the digest of what was written, in hex.
func (u *Upload) SHA256() string { return hex.EncodeToString(u.sum.Sum(nil)) }

// NonFinite gives the first value that is NaN or infinite of the i-th tensor, if
// its data are read as float32.
func (u *Upload) NonFinite(i int) (element int64, value float32, found bool) {
	b, found := u.walk.bad[i]
	return b.element, b.value, found
}

// step is what the walk reads next.
type step int

const (
	atTag     step = iota // of a field of the message
	atNumber              // the value of a number field
	atLength              // of a field that has one
	inBody                // the bytes of such a field
	inTag                 // of a field of a tensor
	inNumber              // likewise
	inLength              // likewise
	inRest                // the bytes of such a field that is no payload
	inPayload             // the payload
)

type nonFinite struct {
	element int64
	value   float32
}

// uploadWalk reads what [ScanResults] reads, from pieces.
type uploadWalk struct {
	out   *Results
	step  step
	off   int64 // of the next byte
	asked bool  // Head

	number []byte // a varint so far
	num    protowire.Number
	left   int64  // bytes of the field that are still to come
	body   []byte // of a small field, or of a tensor without its payload
	field  int    // where in body the tensor's latest field begins

	tensor  int64 // offset behind the tensor
	payload bool  // the tensor has one
	at, n   int64 // its offset and size

	carry []byte // of a float that lies in two pieces
	bad   map[int]nonFinite
}

func (w *uploadWalk) reset() {
	*w = uploadWalk{out: &Results{}, bad: map[int]nonFinite{}}
}

func (w *uploadWalk) feed(p []byte, head func(*Results) error) error {
	for len(p) > 0 {
		var n int
		var err error
		switch w.step {
		case inBody, inRest:
			n = int(min(int64(len(p)), w.left))
			if w.step == inRest {
				err = w.count(n)
			}
			w.body = append(w.body, p[:n]...)
			w.left -= int64(n)
		case inPayload:
			n = int(min(int64(len(p)), w.left))
			w.left -= int64(n)
			w.scan(p[:n])
		default:
			n = 1
			if w.step >= inTag {
				err = w.count(n)
			}
			w.number = append(w.number, p[0])
		}
		w.off += int64(n)
		p = p[n:]
		if err == nil {
			err = w.advance(head)
		}
		if err != nil {
			return w.fault(err)
		}
	}
	return nil
}

// headError is an error of Head, which is passed on as it is.
type headError struct{ error }

func (w *uploadWalk) fault(err error) error {
	if h, ok := errors.AsType[headError](err); ok {
		return h.error
	}
	return fmt.Errorf("cannot read task results at byte %d: %v: %w", w.off, err, schema.ErrInvalid)
}

// count bounds what is held of tensors.
func (w *uploadWalk) count(n int) error {
	if w.out.index += int64(n); w.out.index > maxIndex {
		return fmt.Errorf("more than %d bytes of tensors' names, tags and shapes", maxIndex)
	}
	return nil
}

// advance goes to the next step if the present one is complete.
func (w *uploadWalk) advance(head func(*Results) error) error {
	var v uint64
	switch w.step {
	case inBody, inRest, inPayload:
		if w.left > 0 {
			return nil
		}
	default:
		if w.number[len(w.number)-1] >= 0x80 && len(w.number) < binary.MaxVarintLen64 {
			return w.within()
		}
		var n int
		if v, n = protowire.ConsumeVarint(w.number); n < 0 {
			return protowire.ParseError(n)
		}
		if w.step == inTag {
			w.field = len(w.body)
		}
		if w.step >= inTag {
			w.body = append(w.body, w.number...)
		}
		w.number = w.number[:0]
	}
	switch w.step {
	case atTag:
		return w.topTag(v)
	case atNumber:
		if w.step = atTag; w.num == 2 {
			w.out.Round = int32(v)
		} else {
			w.out.DataSize = int32(v)
		}
	case atLength:
		return w.topLength(v, head)
	case inBody:
		w.step = atTag
		w.out.text(w.num, w.body)
	case inTag:
		return w.tensorTag(v)
	case inNumber, inRest, inPayload:
		w.step = inTag
	case inLength:
		return w.tensorLength(v)
	}
	return w.within()
}

// within ends a tensor at its end, and refuses a field that goes beyond it.
func (w *uploadWalk) within() error {
	if w.step < inTag || w.off < w.tensor {
		return nil
	}
	if w.off > w.tensor || w.step != inTag || len(w.number) > 0 {
		return errors.New("a field of a tensor goes on behind the tensor")
	}
	w.step = atTag
	return w.addTensor()
}

func (w *uploadWalk) topTag(v uint64) error {
	num, typ := protowire.DecodeTag(v)
	switch w.num = num; {
	case num < 1:
		return errors.New("no field number")
	case (num == 2 || num == 4) && typ == protowire.VarintType:
		w.step = atNumber
	case (num == 1 || num == 3 || num == 5) && typ == protowire.BytesType:
		w.step = atLength
	default:
		return fmt.Errorf("unexpected field %d of wire type %d", num, typ)
	}
	return nil
}

func (w *uploadWalk) topLength(v uint64, head func(*Results) error) error {
	if v > math.MaxInt64/2 {
		return fmt.Errorf("field %d has %d bytes", w.num, v)
	}
	w.left, w.body, w.step = int64(v), w.body[:0], inBody
	if w.num != 5 {
		limit := int64(maxName)
		if w.num == 1 {
			limit = maxHeader - int64(len(w.out.Header))
		}
		if w.left > limit {
			return fmt.Errorf("%d bytes where at most %d are allowed", w.left, limit)
		}
		if w.left == 0 {
			w.step = atTag
			w.out.text(w.num, nil)
		}
		return nil
	}
	if !w.asked && head != nil {
		w.asked = true
		if err := head(w.out); err != nil {
			return headError{err}
		}
	}
	if len(w.out.Tensors) == maxTensors {
		return fmt.Errorf("more than %d tensors", maxTensors)
	}
	w.tensor, w.payload, w.step = w.off+w.left, false, inTag
	return w.within()
}

// payloadField is the number of OpenFL's NamedTensor.data_bytes.
const payloadField = 7

func (w *uploadWalk) tensorTag(v uint64) error {
	num, typ := protowire.DecodeTag(v)
	switch w.num = num; {
	case num < 1:
		return errors.New("no field number")
	case typ == protowire.VarintType:
		w.step = inNumber
	case typ == protowire.BytesType:
		w.step = inLength
	default:
		return fmt.Errorf("unexpected field %d of wire type %d in a tensor", num, typ)
	}
	return w.within()
}

func (w *uploadWalk) tensorLength(v uint64) error {
	if v > uint64(max(0, w.tensor-w.off)) {
		return fmt.Errorf("a field of %d bytes in a tensor of which %d follow", v, w.tensor-w.off)
	}
	w.left, w.step = int64(v), inRest
	if w.num == payloadField {
		if w.payload {
			return errors.New("a tensor has two payloads")
		}
		w.payload, w.at, w.n, w.step = true, w.off, w.left, inPayload
		w.body = w.body[:w.field]
		w.carry = w.carry[:0]
	}
	if w.left == 0 {
		w.step = inTag
	}
	return w.within()
}

// scan looks for a value that is not finite.
func (w *uploadWalk) scan(p []byte) {
	tensor := len(w.out.Tensors)
	if _, found := w.bad[tensor]; found {
		return
	}
	element := (w.n - w.left - int64(len(p)) - int64(len(w.carry))) / 4
	if len(w.carry) > 0 {
		n := min(4-len(w.carry), len(p))
		w.carry = append(w.carry, p[:n]...)
		p = p[n:]
		if len(w.carry) < 4 {
			return
		}
		if i := firstNonFinite(w.carry); i == 0 {
			w.bad[tensor] = nonFinite{element, bitsAt(w.carry, 0)}
			return
		}
		w.carry = w.carry[:0]
		element++
	}
	if i := firstNonFinite(p); i >= 0 {
		w.bad[tensor] = nonFinite{element + int64(i), bitsAt(p, i)}
		return
	}
	w.carry = append(w.carry, p[len(p)&^3:]...)
}

func bitsAt(p []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(p[4*i:]))
}

// firstNonFinite is the index of the first float32 in p whose exponent is all
// ones, -1 if there is none. Bytes after the last whole one do not count.
func firstNonFinite(p []byte) int {
	const exponent = 0x7f800000
	i := 0
	for ; i+8 <= len(p); i += 8 { // two at a time
		v := binary.LittleEndian.Uint64(p[i:])
		if uint32(v)&exponent == exponent || uint32(v>>32)&exponent == exponent {
			break
		}
	}
	for ; i+4 <= len(p); i += 4 {
		if binary.LittleEndian.Uint32(p[i:])&exponent == exponent {
			return i / 4
		}
	}
	return -1
}

func (w *uploadWalk) addTensor() error {
	named, err := scanTensor(w.body)
	if err != nil {
		return err
	}
	named.DataOffset = w.tensor
	if w.payload {
		named.DataOffset, named.DataSize = w.at, w.n
	}
	w.body = w.body[:0]
	w.out.Tensors = append(w.out.Tensors, named)
	return nil
}

// end is the index of a whole message.
func (w *uploadWalk) end() (*Results, error) {
	if w.step != atTag || len(w.number) > 0 {
		return nil, w.fault(errors.New("the message is cut off"))
	}
	return w.out, nil
}
