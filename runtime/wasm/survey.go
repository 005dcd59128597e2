package wasm

import (
	"errors"
	"fmt"
)

// Bounds on what a module may declare. The engine makes room for what is declared
// before it looks whether that is there: a module of 15 bytes could ask it for a
// hundred gigabytes. Both are those of web browsers (WebAssembly JavaScript
// Interface, section 8, "Implementation-defined Limits").
const (
	maxLocals = 50_000     // of a function
	maxTable  = 10_000_000 // entries that a table begins with
)

// Sections of a module, by number.
const (
	customSection = 0
	typeSection   = 1
	importSection = 2
	tableSection  = 4
	exportSection = 7
	startSection  = 8
	elemSection   = 9
	codeSection   = 10
	dataSection   = 11
	countSection  = 12
)

// survey checks that a module has no more of anything than its bytes can hold, and
// returns it without its custom sections: they have names and debugging tables,
// which the module does not need to run. Whether the rest is valid, the engine
// says.
func survey(module []byte) ([]byte, error) {
	const head = 8
	out := append(make([]byte, 0, len(module)), module[:head]...)
	c := &cursor{data: module[head:]}
	for len(c.data) > 0 {
		before := c.data
		id := c.byte()
		body := c.take(c.number())
		if c.err == nil && id != customSection {
			out = append(out, before[:len(before)-len(c.data)]...)
			inner := &cursor{data: body}
			inner.section(id)
			c.err = inner.err
		}
		if c.err != nil {
			return nil, fmt.Errorf("section %d: %w", id, c.err)
		}
	}
	return out, nil
}

var errShort = errors.New("it declares more than it has")

// cursor reads on in a part of a module. After an error it reads zeros.
type cursor struct {
	data []byte
	err  error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.data = nil
}

// take reads n bytes.
func (c *cursor) take(n uint32) []byte {
	if uint64(n) > uint64(len(c.data)) {
		c.fail(errShort)
		return nil
	}
	b := c.data[:n]
	c.data = c.data[n:]
	return b
}

func (c *cursor) byte() byte {
	if b := c.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// number reads an unsigned LEB128 of 32 bits.
func (c *cursor) number() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := c.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	c.fail(errors.New("a number has more than 32 bits"))
	return 0
}

// signed skips a signed LEB128 of up to 64 bits.
func (c *cursor) signed() {
	for range 10 {
		if c.byte() < 0x80 {
			return
		}
	}
	c.fail(errors.New("a number has more than 64 bits"))
}

// each reads a number of items, each of which has at least one byte, and then the
// items.
func (c *cursor) each(item func()) {
	n := c.number()
	if uint64(n) > uint64(len(c.data)) {
		c.fail(errShort)
	}
	for ; n > 0 && c.err == nil; n-- {
		item()
	}
}

// bytes reads a number of bytes, and the bytes: a name, a list of types, data.
func (c *cursor) bytes() { c.take(c.number()) }

func (c *cursor) section(id byte) {
	switch id {
	case typeSection:
		c.each(func() {
			if form := c.byte(); form != 0x60 && c.err == nil {
				c.fail(fmt.Errorf("a type has the form %#x; only functions, 0x60, are known", form))
			}
			c.bytes() // parameters, a byte each
			c.bytes() // results
		})
	case importSection:
		c.each(func() {
			c.bytes()
			c.bytes()
			c.imported()
		})
	case tableSection:
		c.each(c.table)
	case exportSection:
		c.each(func() {
			c.bytes()
			c.byte()
			c.number()
		})
	case elemSection:
		c.each(c.elements)
	case codeSection:
		c.each(func() {
			body := &cursor{data: c.take(c.number())}
			body.locals()
			if body.err != nil {
				c.fail(body.err)
			}
		})
	case dataSection:
		c.each(c.segment)
	case startSection, countSection:
		c.number()
	default: // functions, memories and globals, whose number is what matters
		c.each(func() { c.byte() })
	}
}

func (c *cursor) imported() {
	switch kind := c.byte(); kind {
	case 0:
		c.number()
	case 1:
		c.table()
	case 2:
		c.limits()
	case 3:
		c.take(2)
	default:
		c.fail(fmt.Errorf("an import has the kind %#x", kind))
	}
}

func (c *cursor) table() {
	c.byte()
	if n := c.limits(); n > maxTable {
		c.fail(fmt.Errorf("a table has %d entries; at most %d are allowed", n, maxTable))
	}
}

// limits reads the size that something has at first, and may have at most.
func (c *cursor) limits() uint32 {
	hasMost := c.byte()&1 != 0
	least := c.number()
	if hasMost {
		c.number()
	}
	return least
}

func (c *cursor) locals() {
	total := uint64(0)
	c.each(func() {
		total += uint64(c.number())
		c.byte()
	})
	if total > maxLocals {
		c.fail(fmt.Errorf("a function has %d variables; at most %d are allowed", total, maxLocals))
	}
}

// elements reads a part of a table's contents. The bits of its flags: 1 not put
// into a table at once; 2 with a table's number, or a declaration; 4 expressions
// and not numbers of functions.
func (c *cursor) elements() {
	flags := c.number()
	if flags > 7 {
		c.fail(fmt.Errorf("elements have the flags %#x", flags))
	}
	if flags&1 == 0 {
		if flags&2 != 0 {
			c.number()
		}
		c.expression()
	}
	if flags&3 != 0 {
		c.byte()
	}
	if flags&4 != 0 {
		c.each(c.expression)
		return
	}
	c.each(func() { c.number() })
}

// segment reads data for a memory, with its place unless flags say that it has none.
func (c *cursor) segment() {
	flags := c.number()
	if flags > 2 {
		c.fail(fmt.Errorf("data has the flags %#x", flags))
	}
	if flags == 2 {
		c.number()
	}
	if flags != 1 {
		c.expression()
	}
	c.bytes()
}

// expression skips a constant expression.
func (c *cursor) expression() {
	for c.err == nil {
		switch op := c.byte(); op {
		case 0x0b: // end
			return
		case 0x23, 0xd2: // global.get, ref.func
			c.number()
		case 0x41, 0x42: // i32.const, i64.const
			c.signed()
		case 0x43: // f32.const
			c.take(4)
		case 0x44: // f64.const
			c.take(8)
		case 0xd0: // ref.null
			c.byte()
		case 0xfd: // v128.const
			c.number()
			c.take(16)
		default:
			c.fail(fmt.Errorf("a constant has the instruction %#x", op))
		}
	}
}
