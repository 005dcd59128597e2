package python

import "strings"

type vkind uint8

const (
	vUnknown vkind = iota
	vRef           // what a dotted name stands for: a module, a function, or a call's result ("socket.socket()")
	vText          // a constant string
	vBytes         // a constant bytes object
	vNumber
	vList // a list, tuple or set
	vDict
	vDecoded // unknown data that came out of a decoder
)

// value is what is known of an expression.
type value struct {
	kind   vkind
	text   string // the dotted name, or the constant
	num    int64
	items  []value
	keys   []value // of a dict, beside items
	hidden bool    // a name that was reached by text
	made   bool    // text that was put together or decoded
	path   string  // of an unknown value: how it was written, such as self.run
}

func ref(name string) value { return value{kind: vRef, text: name} }

func (v value) isText() bool { return v.kind == vText || v.kind == vBytes }

const maxFolded = 1 << 14 // bytes of constants that are put together

// plus is v + w.
func plus(v, w value) value {
	switch {
	case v.isText() && w.isText() && len(v.text)+len(w.text) <= maxFolded:
		return value{kind: v.kind, text: v.text + w.text, made: true}
	case v.kind == vList && w.kind == vList && len(v.items)+len(w.items) <= maxItems:
		return value{kind: vList, items: append(append([]value{}, v.items...), w.items...)}
	case v.kind == vNumber && w.kind == vNumber:
		return value{kind: vNumber, num: v.num + w.num}
	case v.kind == vDecoded || w.kind == vDecoded:
		return value{kind: vDecoded}
	}
	return value{}
}

// arithmetic folds what is used to hide letters in numbers.
func arithmetic(op string, v, w value) value {
	if v.kind == vText && op == "%" {
		return percent(v.text, w)
	}
	if v.isText() && w.kind == vNumber && op == "*" && w.num >= 0 && int64(len(v.text))*w.num <= maxFolded {
		return value{kind: v.kind, text: strings.Repeat(v.text, int(w.num)), made: true}
	}
	if v.kind == vRef && op == "/" && w.isText() { // Path(...) / "name"
		return ref(v.text)
	}
	if v.kind != vNumber || w.kind != vNumber {
		return value{}
	}
	n := value{kind: vNumber}
	switch op {
	case "-":
		n.num = v.num - w.num
	case "*":
		n.num = v.num * w.num
	case "^":
		n.num = v.num ^ w.num
	case "&":
		n.num = v.num & w.num
	case "|":
		n.num = v.num | w.num
	case "%", "//":
		if w.num == 0 {
			return value{}
		}
		if n.num = v.num / w.num; op == "%" {
			n.num = v.num % w.num
		}
	case "<<", ">>":
		if w.num < 0 || w.num > 32 {
			return value{}
		}
		if n.num = v.num >> w.num; op == "<<" {
			n.num = v.num << w.num
		}
	default:
		return value{}
	}
	return n
}

// percent folds "%s%s" % ("a", "b").
func percent(format string, args value) value {
	list := args.items
	if args.isText() {
		list = []value{args}
	}
	for _, a := range list {
		if !a.isText() || !strings.Contains(format, "%s") || len(format)+len(a.text) > maxFolded {
			return value{}
		}
		format = strings.Replace(format, "%s", a.text, 1)
	}
	if len(list) == 0 {
		return value{}
	}
	return value{kind: vText, text: format, made: true}
}

// index is v[key] for constants.
func index(v, key value) value {
	switch {
	case v.kind == vDict && (key.isText() || key.kind == vNumber):
		for i := len(v.keys) - 1; i >= 0; i-- {
			if k := v.keys[i]; k.kind == key.kind && k.text == key.text && k.num == key.num {
				return v.items[i]
			}
		}
	case v.kind == vList && key.kind == vNumber:
		if n := at(len(v.items), key.num); n >= 0 {
			return v.items[n]
		}
	case v.kind == vDict || v.kind == vList: // whichever it is, a dangerous one counts
		for _, item := range v.items {
			if item.kind == vRef {
				return item
			}
		}
	case v.kind == vText && key.kind == vNumber:
		if n := at(len(v.text), key.num); n >= 0 {
			return value{kind: vText, text: v.text[n : n+1], made: true}
		}
	}
	return value{}
}

func at(length int, n int64) int {
	if n < 0 {
		n += int64(length)
	}
	if n < 0 || n >= int64(length) {
		return -1
	}
	return int(n)
}

// slice is v[from:to:step] for constants; nil stands for a bound left out.
func slice(v value, from, to, step *value) value {
	if v.kind == vDecoded {
		return v
	}
	if !v.isText() && v.kind != vList {
		return value{}
	}
	n := len(v.text)
	if v.kind == vList {
		n = len(v.items)
	}
	by := int64(1)
	if step != nil {
		if step.kind != vNumber || step.num == 0 {
			return value{}
		}
		by = step.num
	}
	a, b := int64(0), int64(n)
	if by < 0 {
		a, b = int64(n)-1, -1
	}
	bound := func(v *value, into *int64) bool {
		if v == nil {
			return true
		}
		if v.kind != vNumber {
			return false
		}
		*into = v.num
		if *into < 0 {
			*into += int64(n)
		}
		*into = max(-1, min(*into, int64(n)))
		return true
	}
	if !bound(from, &a) || !bound(to, &b) {
		return value{}
	}
	out := value{kind: v.kind, made: true}
	var text []byte
	for i := a; by > 0 && i < b || by < 0 && i > b; i += by {
		if i < 0 || i >= int64(n) {
			continue
		}
		if v.kind == vList {
			out.items = append(out.items, v.items[i])
		} else {
			text = append(text, v.text[i])
		}
		if by > maxFolded || by < -maxFolded { // and no overflow
			break
		}
	}
	out.text = string(text)
	return out
}
