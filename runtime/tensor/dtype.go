package tensor

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// DType is an element type, spelled as the safetensors format spells it.
type DType string

// The element types that occupy whole bytes.
const (
	Bool   DType = "BOOL"
	U8     DType = "U8"
	I8     DType = "I8"
	F8E5M2 DType = "F8_E5M2"
	F8E4M3 DType = "F8_E4M3"
	F8E8M0 DType = "F8_E8M0"
	U16    DType = "U16"
	I16    DType = "I16"
	F16    DType = "F16"
	BF16   DType = "BF16"
	U32    DType = "U32"
	I32    DType = "I32"
	F32    DType = "F32"
	U64    DType = "U64"
	I64    DType = "I64"
	F64    DType = "F64"
	C64    DType = "C64"
)

var dtypeSizes = map[DType]int{
	Bool: 1, U8: 1, I8: 1, F8E5M2: 1, F8E4M3: 1, F8E8M0: 1,
	U16: 2, I16: 2, F16: 2, BF16: 2,
	U32: 4, I32: 4, F32: 4,
	U64: 8, I64: 8, F64: 8, C64: 8,
}

// Size is the number of bytes of one element, 0 for an unknown type.
func (d DType) Size() int { return dtypeSizes[d] }

func knownDTypes() string {
	var names []string
	for d := range dtypeSizes {
		names = append(names, string(d))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// checkName refuses names that are empty, too long, or not printable as text.
func checkName(name string) error {
	switch {
	case name == "":
		return invalidf("a tensor has no name")
	case len(name) > MaxName:
		return invalidf("a tensor's name has %d bytes; at most %d are allowed", len(name), MaxName)
	case !utf8.ValidString(name):
		return invalidf("tensor name %q is not UTF-8", name)
	case name == metadataKey:
		return invalidf("a tensor may not be named %q", metadataKey)
	}
	return nil
}
