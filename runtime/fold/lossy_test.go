package fold

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"

	"fx/runtime/aggregation"
	"fx/runtime/tensor"
)

// Decoding may give what nobody has sent: such a model is not stored.
func TestSteppedValuesAreFinite(t *testing.T) {
	raw := func(v ...float32) *bytes.Reader { return bytes.NewReader(tensor.AppendFloat32s(nil, v)) }
	for name, tt := range map[string]struct {
		s    *stepped
		want string
	}{
		"a sum":     {&stepped{name: "w", values: raw(0, 3e38), base: aggregation.FromReader(raw(1, 3e38))}, `"w": its next value at element 1 would be +Inf`},
		"a value":   {&stepped{name: "w", values: raw(float32(math.NaN()))}, `"w": its next value at element 0 would be NaN`},
		"both fine": {&stepped{name: "w", values: raw(-3e38), base: aggregation.FromReader(raw(3e38))}, ""},
	} {
		_, err := io.ReadAll(tt.s)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
