package python

import (
	"bytes"
	"compress/bzip2"
	"compress/zlib"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/url"
	"strings"
)

// decoders turn data into other data. What they make of constants is computed
// here; what they make of anything else is "decoded".
var decoders = map[string]func(string) (string, bool){
	"base64.b64decode": unbase64, "base64.standard_b64decode": unbase64, "base64.decodebytes": unbase64, "base64.decodestring": unbase64,
	"base64.urlsafe_b64decode": func(s string) (string, bool) {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
		return string(b), err == nil
	},
	"base64.b32decode": func(s string) (string, bool) {
		b, err := base32.StdEncoding.DecodeString(s)
		return string(b), err == nil
	},
	"base64.b16decode": unhex, "binascii.unhexlify": unhex, "binascii.a2b_hex": unhex, "bytes.fromhex": unhex, "bytearray.fromhex": unhex,
	"binascii.a2b_base64": unbase64,
	"zlib.decompress":     unzlib,
	"bz2.decompress": func(s string) (string, bool) {
		return bounded(bzip2.NewReader(strings.NewReader(s)), nil)
	},
	"gzip.decompress": nil, "lzma.decompress": nil, "base64.b85decode": nil, "base64.a85decode": nil, "marshal.dumps": nil,
	"codecs.decode": nil, "codecs.getdecoder()": nil, "binascii.a2b_uu": nil, "binascii.rlecode_hqx": nil, "zlib.decompressobj().decompress": nil,
	"cryptography.fernet.Fernet().decrypt": nil, "Crypto.Cipher.AES.new().decrypt": nil, "quopri.decodestring": nil, "uu.decode": nil,
	"urllib.parse.unquote": func(s string) (string, bool) { u, err := url.PathUnescape(s); return u, err == nil },
}

func unbase64(s string) (string, bool) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.Join(strings.Fields(s), ""), "="))
	return string(b), err == nil
}

func unhex(s string) (string, bool) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	return string(b), err == nil
}

func unzlib(s string) (string, bool) { return bounded(zlib.NewReader(strings.NewReader(s))) }

func bounded(r io.Reader, err error) (string, bool) {
	if err != nil {
		return "", false
	}
	b, err := io.ReadAll(io.LimitReader(r, maxFolded))
	return string(b), err == nil
}

func rot13(s string) string {
	return string(bytes.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, []byte(s)))
}

// decode is what a decoder makes of its argument.
func decode(name string, args []arg) value {
	if len(args) == 0 || !args[0].val.isText() || len(args[0].val.text) > maxFolded {
		return value{kind: vDecoded}
	}
	text := args[0].val.text
	if name == "codecs.decode" && len(args) > 1 && strings.Contains(strings.ToLower(args[1].val.text), "rot") {
		return value{kind: vText, text: rot13(text), made: true}
	}
	if f := decoders[name]; f != nil {
		if out, ok := f(text); ok {
			return value{kind: vBytes, text: out, made: true}
		}
	}
	return value{kind: vDecoded}
}

// method is what a method of a constant returns.
func method(v value, name string, args []arg) value {
	text := func(i int) string {
		if i < len(args) && args[i].val.isText() {
			return args[i].val.text
		}
		return ""
	}
	made := func(s string) value { return value{kind: v.kind, text: s, made: true} }
	if v.kind == vDecoded {
		return v
	}
	if !v.isText() {
		return value{}
	}
	switch name {
	case "join":
		return join(v, args)
	case "decode", "encode":
		out := made(v.text)
		out.kind = vText
		if name == "encode" {
			out.kind = vBytes
		}
		if strings.Contains(strings.ToLower(text(0)), "rot") {
			out.text = rot13(v.text)
		}
		return out
	case "replace":
		if len(args) >= 2 && len(v.text)*max(1, len(text(1))) <= maxFolded {
			return made(strings.ReplaceAll(v.text, text(0), text(1)))
		}
	case "lower", "casefold":
		return made(strings.ToLower(v.text))
	case "upper":
		return made(strings.ToUpper(v.text))
	case "strip":
		if len(args) == 0 {
			return made(strings.TrimSpace(v.text))
		}
		return made(strings.Trim(v.text, text(0)))
	case "format":
		out := v.text
		for i, g := range args {
			if !g.val.isText() || len(out) > maxFolded {
				return value{}
			}
			if g.name != "" {
				out = strings.ReplaceAll(out, "{"+g.name+"}", g.val.text)
				continue
			}
			if !strings.Contains(out, "{}") {
				out = strings.ReplaceAll(out, "{"+string(rune('0'+min(i, 9)))+"}", g.val.text)
			}
			out = strings.Replace(out, "{}", g.val.text, 1)
		}
		return made(out)
	case "split":
		var parts []string
		if len(args) == 0 {
			parts = strings.Fields(v.text)
		} else if text(0) != "" {
			parts = strings.Split(v.text, text(0))
		}
		out := value{kind: vList}
		for _, p := range parts[:min(len(parts), maxItems)] {
			out.items = append(out.items, made(p))
		}
		return out
	}
	return value{}
}

// join folds "".join([...]).
func join(v value, args []arg) value {
	if len(args) != 1 {
		return value{}
	}
	list := args[0].val
	if list.isText() {
		out := list
		out.made = true
		return out
	}
	if list.kind == vDecoded {
		return list
	}
	if list.kind != vList {
		return value{}
	}
	var parts []string
	size := 0
	for _, item := range list.items {
		if !item.isText() {
			return value{}
		}
		parts = append(parts, item.text)
		if size += len(item.text) + len(v.text); size > maxFolded {
			return value{}
		}
	}
	return value{kind: v.kind, text: strings.Join(parts, v.text), made: true}
}

// builtin folds calls of builtins that are used to make text.
func builtin(name string, args []arg) (value, bool) {
	if len(args) == 0 {
		return value{}, false
	}
	first := args[0].val
	switch name {
	case "chr":
		if first.kind == vNumber && first.num >= 0 && first.num < 0x110000 {
			return value{kind: vText, text: string(rune(first.num)), made: true}, true
		}
		return value{}, true
	case "ord":
		if first.isText() && first.text != "" {
			return value{kind: vNumber, num: int64([]rune(first.text)[0])}, true
		}
	case "str", "bytes", "bytearray", "list", "tuple", "reversed", "memoryview":
		return convert(name, first), true
	case "int":
		if first.kind == vNumber {
			return first, true
		}
	case "map":
		if len(args) == 2 && first.kind == vRef && first.text == "chr" {
			return chars(args[1].val), true
		}
		if first.kind == vRef && len(args) > 1 && args[1].val.kind == vDecoded {
			return args[1].val, true
		}
	}
	return value{}, false
}

func convert(name string, v value) value {
	switch {
	case v.kind == vDecoded:
		return v
	case name == "reversed":
		one := value{kind: vNumber, num: -1}
		return slice(v, nil, nil, &one)
	case v.isText() && (name == "str" || name == "bytes" || name == "bytearray" || name == "memoryview"):
		v.made = true
		if v.kind = vBytes; name == "str" {
			v.kind = vText
		}
		return v
	case v.kind == vText: // list("abc")
		out := value{kind: vList}
		for _, r := range v.text[:min(len(v.text), maxItems)] {
			out.items = append(out.items, value{kind: vText, text: string(r), made: true})
		}
		return out
	case v.kind == vList && (name == "bytes" || name == "bytearray"):
		out := chars(v)
		out.kind = vBytes
		return out
	case v.kind == vList && name != "str":
		return v
	}
	return value{}
}

// chars is the text of a list of character codes.
func chars(v value) value {
	if v.kind == vBytes {
		return value{kind: vText, text: v.text, made: true}
	}
	var b strings.Builder
	for _, item := range v.items {
		if item.kind != vNumber || item.num < 0 || item.num > 0x10ffff {
			return value{}
		}
		b.WriteRune(rune(item.num))
	}
	if b.Len() == 0 {
		return value{}
	}
	return value{kind: vText, text: b.String(), made: true}
}
