package schema

import (
	"fmt"
	"math"
	"reflect"
	"strings"
)

// DecodeYAML reads one small YAML document into v, a pointer to a struct: at
// most limit bytes, YAML as in a plan, no duplicate keys, known fields only. A
// field is named by its yaml tag, else its json tag, else its lower-case name;
// bool, string, integers, floats, slices, string-keyed maps, structs, pointers
// and any are understood. Absent keys leave fields as they are; null sets the
// zero value. The error is Findings.
func DecodeYAML(name string, data []byte, limit int, v any) error {
	root, fs := readYAML(name, data, limit)
	if len(fs) > 0 {
		return fs.Err()
	}
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic(fmt.Sprintf("DecodeYAML into %T", v))
	}
	b := binder{}
	b.bind(root, target.Elem(), "")
	return b.out.Err()
}

type binder struct{ out Findings }

func (b *binder) mistyped(n *Node, path, allowed string) {
	f := n.finding("type", path, "wrong type")
	f.Found, f.Allowed, f.Hint = n.Describe(), allowed, YAMLHint(n, allowed)
	b.out = append(b.out, f)
}

func (b *binder) bind(n *Node, v reflect.Value, path string) {
	if n.Kind == KindNull {
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		b.bind(n, v.Elem(), path)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.Any()))
	case reflect.Struct:
		b.structure(n, v, path)
	case reflect.Map:
		b.dictionary(n, v, path)
	case reflect.Slice:
		if n.Kind != KindList {
			b.mistyped(n, path, "a list")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
		for i, item := range n.Items {
			b.bind(item, v.Index(i), Index(path, i))
		}
	case reflect.String:
		if n.Kind != KindString {
			b.mistyped(n, path, "a string")
			return
		}
		v.SetString(n.Text)
	case reflect.Bool:
		if n.Kind != KindBool {
			b.mistyped(n, path, "true or false")
			return
		}
		v.SetBool(n.Bool)
	default:
		b.numeric(n, v, path)
	}
}

func (b *binder) numeric(n *Node, v reflect.Value, path string) {
	switch {
	case v.CanInt():
		if n.Kind != KindInt || v.OverflowInt(n.Int) {
			b.mistyped(n, path, "an integer")
			return
		}
		v.SetInt(n.Int)
	case v.CanUint():
		if n.Kind != KindInt || n.Int < 0 || v.OverflowUint(uint64(n.Int)) {
			b.mistyped(n, path, "an integer that is not negative")
			return
		}
		v.SetUint(uint64(n.Int))
	case v.CanFloat():
		value, ok := n.number()
		if !ok || math.IsInf(value, 0) {
			b.mistyped(n, path, "a number")
			return
		}
		v.SetFloat(value)
	default:
		panic(fmt.Sprintf("DecodeYAML cannot fill a %s", v.Type()))
	}
}

func (b *binder) structure(n *Node, v reflect.Value, path string) {
	if n.Kind != KindMap {
		b.mistyped(n, path, "a map")
		return
	}
	index := map[string]int{}
	var names []string
	for i := range v.NumField() {
		if name := fieldName(v.Type().Field(i)); name != "" {
			index[name] = i
			names = append(names, name)
		}
	}
	for _, p := range n.Pairs {
		name := p.Key.KeyText()
		i, ok := index[name]
		if !ok || p.Key.Kind != KindString {
			f := p.Key.finding("unknown-key", Child(path, name), "there is no such key")
			f.Found, f.Allowed, f.Hint = p.Key.Describe(), strings.Join(names, ", "), DidYouMean(name, names)
			b.out = append(b.out, f)
			continue
		}
		b.bind(p.Value, v.Field(i), Child(path, name))
	}
}

func fieldName(f reflect.StructField) string {
	if !f.IsExported() {
		return ""
	}
	for _, tag := range []string{"yaml", "json"} {
		name, _, _ := strings.Cut(f.Tag.Get(tag), ",")
		switch name {
		case "-":
			return ""
		case "":
		default:
			return name
		}
	}
	return strings.ToLower(f.Name)
}

func (b *binder) dictionary(n *Node, v reflect.Value, path string) {
	if n.Kind != KindMap {
		b.mistyped(n, path, "a map")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Pairs)))
	for _, p := range n.Pairs {
		name := p.Key.KeyText()
		if p.Key.Kind != KindString {
			b.mistyped(p.Key, Child(path, name), "a string")
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		b.bind(p.Value, value, Child(path, name))
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), value)
	}
}
