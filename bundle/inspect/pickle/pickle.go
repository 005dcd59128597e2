// Package pickle walks pickled data opcode by opcode and says which functions and
// classes loading it would call. It builds no objects: its stack holds only what
// is needed to know which text becomes the name of a function.
package pickle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Result is what a walk found.
type Result struct {
	Protocol int
	Opcodes  int64
	Bytes    int64    // walked, the STOP opcode included
	Globals  []string // module.name of everything that is looked up, in order of appearance
	Calls    []string // what REDUCE, INST, OBJ and NEWOBJ call, in order of appearance
	Dynamic  bool     // a name is made while loading, or comes from the extension registry
	Problem  string   // why the walk ended before STOP; "" if it did not
	Stopped  bool     // STOP was reached
}

// Bounds of a walk. A pickle that needs more is reported, not followed.
const (
	maxStack   = 1 << 18
	maxMemo    = 1 << 18
	maxText    = 1 << 10 // bytes of a text that are kept: names are shorter
	maxLine    = 1 << 16
	maxNames   = 4096
	maxOpcodes = 1 << 27
)

// item is what is known of an object on the stack.
type item struct {
	kind itemKind
	text string // of a text or a global; what was called, of a result
}

type itemKind uint8

const (
	other itemKind = iota
	mark
	text
	global
	result
)

var (
	errStop = errors.New("stop")
	errRaw  = errors.New("raw array data follows, which is not pickle; what stands behind it was not walked")
)

// broken is an opcode that makes no sense where it stands.
type broken string

func (b broken) Error() string { return string(b) }

type walker struct {
	r     *bufio.Reader
	out   *Result
	stack []item
	memo  map[uint64]item
	seen  map[string]bool
}

// Walk reads one pickle, of any protocol, to its STOP opcode. It reads no byte
// behind it from r, so that several in a row can be walked one by one.
func Walk(r *bufio.Reader) *Result {
	w := &walker{r: r, out: &Result{}, memo: map[uint64]item{}, seen: map[string]bool{}}
	for {
		err := w.step()
		if err == nil {
			continue
		}
		switch {
		case errors.Is(err, errStop):
			w.out.Stopped = true
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			w.out.Problem = fmt.Sprintf("it ends at byte %d without STOP", w.out.Bytes)
		default:
			w.out.Problem = fmt.Sprintf("at byte %d: %v", w.out.Bytes, err)
		}
		return w.out
	}
}

func (w *walker) byte() (byte, error) {
	b, err := w.r.ReadByte()
	if err == nil {
		w.out.Bytes++
	}
	return b, err
}

func (w *walker) number(width int) (uint64, error) {
	var v uint64
	for i := range width {
		b, err := w.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b) << (8 * i)
	}
	return v, nil
}

// data reads n bytes and keeps the first of them.
func (w *walker) data(n uint64) (string, error) {
	keep := make([]byte, min(n, maxText))
	got, err := io.ReadFull(w.r, keep)
	w.out.Bytes += int64(got)
	if err != nil {
		return "", err
	}
	for rest := n - uint64(len(keep)); rest > 0; {
		step := min(rest, 1<<20)
		skipped, err := w.r.Discard(int(step))
		w.out.Bytes += int64(skipped)
		if err != nil {
			return "", err
		}
		rest -= step
	}
	if n > maxText {
		return "", nil // no name is that long
	}
	return string(keep), nil
}

func (w *walker) line() (string, error) {
	var b []byte
	for {
		c, err := w.byte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return strings.TrimSuffix(string(b), "\r"), nil
		}
		if b = append(b, c); len(b) > maxLine {
			return "", broken("a line is longer than any that pickle writes")
		}
	}
}

func (w *walker) push(i item) error {
	if len(w.stack) >= maxStack {
		return broken("the stack is deeper than is followed")
	}
	w.stack = append(w.stack, i)
	return nil
}

func (w *walker) pop() (item, error) {
	n := len(w.stack)
	if n == 0 {
		return item{}, broken("an opcode takes from an empty stack")
	}
	i := w.stack[n-1]
	w.stack = w.stack[:n-1]
	return i, nil
}

func (w *walker) popN(n int) error {
	for range n {
		if _, err := w.pop(); err != nil {
			return err
		}
	}
	return nil
}

// popMark takes everything above the last mark, and the mark.
func (w *walker) popMark() ([]item, error) {
	for i := len(w.stack) - 1; i >= 0; i-- {
		if w.stack[i].kind == mark {
			above := slices.Clone(w.stack[i+1 : min(len(w.stack), i+3)])
			w.stack = w.stack[:i]
			return above, nil
		}
	}
	return nil, broken("an opcode needs a mark that is not there")
}

func (w *walker) remember(key uint64) error {
	if len(w.stack) == 0 {
		return broken("nothing is on the stack to remember")
	}
	if len(w.memo) >= maxMemo {
		if _, known := w.memo[key]; !known {
			if top := w.stack[len(w.stack)-1]; top.kind == text || top.kind == global {
				return broken("more is remembered than is followed")
			}
			return nil
		}
	}
	w.memo[key] = w.stack[len(w.stack)-1]
	return nil
}

func (w *walker) recall(key uint64) error {
	i, ok := w.memo[key]
	if !ok && len(w.memo) < maxMemo {
		return broken("an object is recalled that was never remembered")
	}
	return w.push(i)
}

// named is a global that is looked up.
func (w *walker) named(module, name string) item {
	full := module + "." + name
	w.note(&w.out.Globals, "global ", full)
	return item{global, full}
}

// note adds a name to a list once.
func (w *walker) note(list *[]string, kind, name string) {
	if !w.seen[kind+name] && len(*list) < maxNames {
		w.seen[kind+name] = true
		*list = append(*list, name)
	}
}

// called is a callable that is called.
func (w *walker) called(f item) item {
	switch f.kind {
	case global:
		w.note(&w.out.Calls, "call ", f.text)
		return item{result, f.text}
	case result:
		w.out.Dynamic = true // what a call returned is called
	default:
		w.out.Dynamic = true
	}
	return item{kind: result}
}

func decimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, broken(fmt.Sprintf("%.20q is no number", s))
	}
	return n, nil
}
