package pickle

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"
)

func walk(data string) *Result { return Walk(bufio.NewReader(strings.NewReader(data))) }

func TestWalk(t *testing.T) {
	for _, c := range []struct {
		name, data string
		globals    []string
		calls      []string
		dynamic    bool
		problem    string
	}{
		{"none", "N.", nil, nil, false, ""},
		{"a call", "cos\nsystem\n(S'id'\ntR.", []string{"os.system"}, []string{"os.system"}, false, ""},
		{"named, not called", "cos\nsystem\n.", []string{"os.system"}, nil, false, ""},
		{"stack global", "\x80\x04\x8c\x02os\x8c\x06system\x93)R.", []string{"os.system"}, []string{"os.system"}, false, ""},
		{"from the memo", "\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93)R.", []string{"os.system"}, []string{"os.system"}, false, ""},
		{"duplicated", "\x80\x04\x8c\x02os2\x93.", []string{"os.os"}, nil, false, ""},
		{"a made-up name", "\x80\x04N\x8c\x06system\x93)R.", nil, nil, true, ""},
		{"the call of a result", "\x80\x02cos\nsystem\n)R)R.", []string{"os.system"}, []string{"os.system"}, true, ""},
		{"the extension registry", "\x80\x02\x83\x01\x02.", []string{"extension registry.513"}, nil, true, ""},
		{"no STOP", "N", nil, nil, false, "it ends at byte 1 without STOP"},
		{"no opcode", "\xff", nil, nil, false, "at byte 1: 0xff is no opcode"},
		{"an empty stack", "R.", nil, nil, false, "at byte 1: an opcode takes from an empty stack"},
		{"no mark", "t.", nil, nil, false, "at byte 1: an opcode needs a mark that is not there"},
		{"a memo that is empty", "h\x07.", nil, nil, false, "at byte 2: an object is recalled that was never remembered"},
		{"protocol 9", "\x80\x09.", nil, nil, false, "at byte 2: protocol 9 does not exist"},
		{"a length beyond the end", "\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", nil, nil, false, "it ends at byte 11 without STOP"},
	} {
		r := walk(c.data)
		if !slices.Equal(r.Globals, c.globals) || !slices.Equal(r.Calls, c.calls) || r.Dynamic != c.dynamic || r.Problem != c.problem || r.Stopped != (c.problem == "") {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func TestClassify(t *testing.T) {
	for name, want := range map[string]Class{
		"collections.OrderedDict": Allowed, "torch._utils._rebuild_tensor_v2": Allowed, "torch.FloatStorage": Allowed, "numpy.dtype": Allowed,
		"os.system": Code, "posix.system": Code, "builtins.eval": Code, "builtins.getattr": Code, "numpy.os.system": Code, "numpy.load": Code,
		"torch.x.y.FakeStorage": Unknown, "src.model.Net": Unknown, "sklearn.svm.SVC": Unknown, "numpy.__builtins__": Code,
	} {
		if got := Classify(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// TestWalkReadsNoFurther: what stands behind STOP is left to the next walk.
func TestWalkReadsNoFurther(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("N.N.rest"))
	for range 2 {
		if out := Walk(r); !out.Stopped || out.Bytes != 2 {
			t.Fatalf("%+v", out)
		}
	}
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(r); err != nil || rest.String() != "rest" {
		t.Errorf("left is %q, %v", rest.String(), err)
	}
}

func FuzzWalk(f *testing.F) {
	for _, s := range []string{"N.", "cos\nsystem\n(S'id'\ntR.", "\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93)R.", "(S'id'\nios\nsystem\n.", "\x80\x02]q\x00(K\x01K\x02e."} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out := Walk(bufio.NewReader(bytes.NewReader(data)))
		if out.Bytes > int64(len(data)) {
			t.Errorf("walked %d of %d bytes", out.Bytes, len(data))
		}
		if out.Stopped != (out.Problem == "") {
			t.Errorf("stopped %t, problem %q", out.Stopped, out.Problem)
		}
	})
}
