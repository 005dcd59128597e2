package pickle

import (
	"fmt"
	"strings"
)

// Opcodes by what they do to the stack; Python's pickletools documents all.
var (
	// pushes other, after an argument of so many bytes
	plain = map[byte]int{'J': 4, 'K': 1, 'M': 2, 'N': 0, 'G': 8, 0x88: 0, 0x89: 0, ')': 0, ']': 0, '}': 0, 0x8f: 0, 0x97: 0}
	// pushes other, after a line
	lines = map[byte]bool{'F': true, 'I': true, 'L': true, 'P': true}
	// pushes text or bytes, after a length of so many bytes
	texts = map[byte]int{'T': 4, 'U': 1, 'X': 4, 0x8c: 1, 0x8d: 8, 'B': 4, 'C': 1, 0x8e: 8, 0x96: 8, 0x8a: 1, 0x8b: 4}
	// takes so many and pushes other
	takes = map[byte]int{'Q': 1, 0x85: 1, 0x86: 2, 0x87: 3}
	// takes to the mark and pushes other
	marks = map[byte]bool{'d': true, 'l': true, 't': true, 0x91: true}
)

// step does one opcode.
func (w *walker) step() error {
	op, err := w.byte()
	if err != nil {
		return err
	}
	if w.out.Opcodes++; w.out.Opcodes > maxOpcodes {
		return broken("it has more opcodes than are followed")
	}
	if width, ok := plain[op]; ok {
		if _, err := w.number(width); err != nil {
			return err
		}
		return w.push(item{})
	}
	if width, ok := texts[op]; ok {
		return w.text(op, width)
	}
	if n, ok := takes[op]; ok {
		if err := w.popN(n); err != nil {
			return err
		}
		return w.push(item{})
	}
	if lines[op] {
		if _, err := w.line(); err != nil {
			return err
		}
		return w.push(item{})
	}
	if marks[op] {
		if _, err := w.popMark(); err != nil {
			return err
		}
		return w.push(item{})
	}
	return w.special(op)
}

func (w *walker) text(op byte, width int) error {
	n, err := w.number(width)
	if err != nil {
		return err
	}
	s, err := w.data(n)
	if err != nil {
		return err
	}
	if op == 0x8a || op == 0x8b { // long integers
		return w.push(item{})
	}
	return w.push(item{text, s})
}

func (w *walker) special(op byte) error {
	switch op {
	case '.':
		return errStop
	case '(':
		return w.push(item{kind: mark})
	case '0':
		return w.popN(1)
	case '1':
		_, err := w.popMark()
		return err
	case '2':
		top, err := w.pop()
		if err != nil {
			return err
		}
		if err := w.push(top); err != nil {
			return err
		}
		return w.push(top)
	case 'S', 'V':
		s, err := w.line()
		if err != nil {
			return err
		}
		if op == 'S' {
			s = strings.Trim(s, `'"`)
		}
		return w.push(item{text, s})
	case 'a', 's', 'e', 'u', 0x90:
		return w.fill(op)
	case 'c', 'i', 0x93:
		return w.lookup(op)
	case 'R', 'o', 0x81, 0x92:
		return w.reduce(op)
	case 'b':
		return w.build()
	case 0x82, 0x83, 0x84:
		return w.extension(op)
	case 0x80:
		v, err := w.number(1)
		if err != nil {
			return err
		}
		if v > 5 {
			return broken(fmt.Sprintf("protocol %d does not exist", v))
		}
		w.out.Protocol = max(w.out.Protocol, int(v))
		return nil
	case 0x95:
		_, err := w.number(8)
		return err
	case 0x98:
		return nil
	case 'p', 'q', 'r', 0x94, 'g', 'h', 'j':
		return w.memory(op)
	}
	return broken(fmt.Sprintf("%#02x is no opcode", op))
}

// fill puts what is above into a container below.
func (w *walker) fill(op byte) error {
	switch op {
	case 'a':
		return w.popN(1)
	case 's':
		return w.popN(2)
	}
	_, err := w.popMark()
	return err
}

// lookup is GLOBAL, INST and STACK_GLOBAL.
func (w *walker) lookup(op byte) error {
	if op == 0x93 {
		name, err := w.pop()
		if err != nil {
			return err
		}
		module, err := w.pop()
		if err != nil {
			return err
		}
		if name.kind != text || module.kind != text || name.text == "" || module.text == "" {
			w.out.Dynamic = true
			return w.push(item{})
		}
		return w.push(w.named(module.text, name.text))
	}
	module, err := w.line()
	if err != nil {
		return err
	}
	name, err := w.line()
	if err != nil {
		return err
	}
	g := w.named(module, name)
	if op == 'c' {
		return w.push(g)
	}
	if _, err := w.popMark(); err != nil {
		return err
	}
	return w.push(w.called(g))
}

// reduce is REDUCE, OBJ, NEWOBJ and NEWOBJ_EX.
func (w *walker) reduce(op byte) error {
	if op == 'o' {
		above, err := w.popMark()
		if err != nil {
			return err
		}
		if len(above) == 0 {
			return broken("OBJ has no class")
		}
		return w.push(w.called(above[0]))
	}
	n := 1
	if op == 0x92 {
		n = 2
	}
	if err := w.popN(n); err != nil {
		return err
	}
	f, err := w.pop()
	if err != nil {
		return err
	}
	return w.push(w.called(f))
}

// build is BUILD: the object below gets its state. Behind that of joblib's array
// wrapper stands raw data.
func (w *walker) build() error {
	if err := w.popN(1); err != nil {
		return err
	}
	if len(w.stack) == 0 {
		return broken("BUILD has no object")
	}
	if top := w.stack[len(w.stack)-1]; top.kind == result && strings.HasPrefix(top.text, "joblib.numpy_pickle.NumpyArrayWrapper") {
		return errRaw
	}
	return nil
}

func (w *walker) extension(op byte) error {
	n, err := w.number(1 << (op - 0x82))
	if err != nil {
		return err
	}
	w.out.Dynamic = true
	return w.push(w.named("extension registry", fmt.Sprint(n)))
}

// memory is PUT, MEMOIZE and GET in all widths.
func (w *walker) memory(op byte) error {
	var key uint64
	var err error
	switch op {
	case 'p', 'g':
		var s string
		if s, err = w.line(); err == nil {
			key, err = decimal(s)
		}
	case 'q', 'h':
		key, err = w.number(1)
	case 'r', 'j':
		key, err = w.number(4)
	case 0x94:
		key = uint64(len(w.memo))
	}
	if err != nil {
		return err
	}
	if op == 'g' || op == 'h' || op == 'j' {
		return w.recall(key)
	}
	return w.remember(key)
}
