package taskrunner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"fx/schema"
)

// misbehave says what the double does wrong, by behaviour: what it prints instead
// of the answer to run. A behaviour that is not here is in runDouble.
var misbehave = map[string]string{
	"not JSON":            "Epoch 1/10 \x1b[2J loss 0.5",
	"NaN":                 `{"id":%d,"ok":true,"metrics":{"loss":NaN},"data_size":1,"tensors":false}`,
	"huge number":         `{"id":%d,"ok":true,"metrics":{"loss":1e999},"data_size":1,"tensors":false}`,
	"null metric":         `{"id":%d,"ok":true,"metrics":{"loss":null},"data_size":1,"tensors":false}`,
	"text metric":         `{"id":%d,"ok":true,"metrics":{"loss":"0.5"},"data_size":1,"tensors":false}`,
	"no metrics":          `{"id":%d,"ok":true,"data_size":1,"tensors":false}`,
	"missing metric":      `{"id":%d,"ok":true,"metrics":{},"data_size":1,"tensors":false}`,
	"extra metric":        `{"id":%d,"ok":true,"metrics":{"loss":1,"leak\u001b[2J":2},"data_size":1,"tensors":false}`,
	"no data size":        `{"id":%d,"ok":true,"metrics":{"loss":1},"tensors":false}`,
	"bad data size":       `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":-2,"tensors":false}`,
	"huge data size":      `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":3000000000,"tensors":false}`,
	"no tensors":          `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":1}`,
	"no file":             `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":1,"tensors":true}`,
	"wrong id":            `{"id":1%d,"ok":true,"metrics":{"loss":1},"data_size":1,"tensors":false}`,
	"no ok":               `{"id":%d,"metrics":{"loss":1},"data_size":1,"tensors":false}`,
	"ok and error":        `{"id":%d,"ok":true,"error":"x","metrics":{"loss":1},"data_size":1,"tensors":false}`,
	"unknown field":       `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":1,"tensors":false,"patient":"x"}`,
	"field twice":         `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":1,"data_size":2,"tensors":false}`,
	"two objects":         `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":1,"tensors":false}{}`,
	"no reason":           `{"id":%d,"ok":false}`,
	"says why":            `{"id":%d,"ok":false,"error":"no such \u202ecolumn\u001b[2J: age"}`,
	"answers unasked":     `{"id":%d,"ok":true,"metrics":{"loss":1},"data_size":1,"tensors":false}` + "\n" + `{"id":99,"ok":true}`,
	"not UTF-8":           "{\"id\":%d,\"ok\":false,\"error\":\"\xff\"}",
	"says why, at length": `{"id":%d,"ok":false,"error":"` + strings.Repeat("long ", 2000) + `"}`,
}

// FuzzAnswer: whatever task code answers is either refused with a text that is
// safe to show, or holds what it must.
func FuzzAnswer(f *testing.F) {
	for _, text := range misbehave {
		f.Add([]byte(strings.ReplaceAll(text, "%d", "2")))
	}
	f.Add([]byte(`{"id":2,"ok":true,"protocol":"fx-task/1","name":"x","capabilities":["run"]}`))
	f.Add([]byte(`{"id":2,"ok":true,"metrics":{"loss":0.5},"data_size":3,"tensors":true}`))
	f.Add([]byte(`{"id":2,"ok":true,"tensors":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		hello, initial, run := &helloAnswer{}, &initAnswer{}, &runAnswer{}
		for _, into := range []reply{hello, initial, run, &byeAnswer{}} {
			if err := decode(line, 2, into); err != nil {
				safe(t, err.Error())
				continue
			}
			if *into.head().ID != 2 || !*into.head().OK {
				t.Errorf("%q was taken as an answer to request 2", line)
			}
		}
		if hello.check() == nil && hello.Protocol != Protocol {
			t.Errorf("%q was taken for this protocol", line)
		}
		if err := decode(line, 2, &runAnswer{}); err != nil {
			return
		}
		metrics, err := run.metrics([]string{"loss"})
		if err != nil {
			safe(t, err.Error())
			return
		}
		if len(metrics) != 1 || math.IsNaN(metrics[0].Value) || math.IsInf(metrics[0].Value, 0) || *run.DataSize < -1 {
			t.Errorf("%q gives %v", line, metrics)
		}
	})
}

// safe checks that a text drives no terminal and is short.
func safe(t *testing.T, text string) {
	t.Helper()
	if again := clean(text, math.MaxInt); again != text || len(text) > 8000 {
		t.Errorf("not safe to show: %.8000q", text)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\tb\x1b[2J\u202e\u2028\xff\r\né", 10)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(1, limit%700)
		got := clean(text, limit)
		if !utf8.ValidString(got) || len(got) > 10*limit+3 {
			t.Errorf("clean(%q, %d) is %q", text, limit, got)
		}
		safe(t, got)
	})
}

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		text  string
		limit int
		want  string
	}{
		{"plain", 9, "plain"},
		{"tab\there, \"quotes\" and \\", 99, "tab\there, \"quotes\" and \\"},
		{"\x1b[31mred\x1b[0m\a", 99, `\x1b[31mred\x1b[0m\a`},
		{"user\u202egpj.exe\u2066", 99, `user\u202egpj.exe\u2066`},
		{"Zürich 漢字", 99, "Zürich 漢字"},
		{"a\xffb\x00\u2028", 99, `a\xffb\x00\u2028`},
		{"one\r\ntwo", 99, `one\r\ntwo`},
		{"abcdef", 3, "abc…"},
	} {
		if got := clean(tt.text, tt.limit); got != tt.want {
			t.Errorf("clean(%q) is %q, want %q", tt.text, got, tt.want)
		}
	}
}

// Python must see the same types as the plan's author wrote.
func TestPlainKeepsTypes(t *testing.T) {
	v, err := plain("x", m{"a": 1.0, "b": 1, "c": []any{1e-7, 1e300, -0.5, nil, true, "é<&>"}, "d": m{"e": 100000000000000000000.0}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":1.0,"b":1,"c":[1e-07,1e+300,-0.5,null,true,"é<&>"],"d":{"e":1e+20}}` + "\n"; string(got) != want {
		t.Errorf("got %s want %s", got, want)
	}
	for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		_, err := plain("task_runner.settings", m{"list": []any{m{"x": bad}}})
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), "task_runner.settings.list[0].x: the value is") {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}

// The requests, as docs/task-protocol.md shows them.
func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		r    any
		want string
	}{
		{
			&helloRequest{
				request{1, opHello}, Protocol, "hospital-a", "/workspace", "/data", "/scratch",
				componentOnWire{"fx.process.TaskRunner", m{"rate": decimal(1)}}, componentOnWire{"fx.data.Folder", m{}}, "RESET",
			},
			`{"id":1,"op":"hello","protocol":"fx-task/1","collaborator":"hospital-a","workspace":"/workspace","data":"/data","scratch":"/scratch",` +
				`"task_runner":{"template":"fx.process.TaskRunner","settings":{"rate":1.0}},"data_loader":{"template":"fx.data.Folder","settings":{}},"opt_treatment":"RESET"}`,
		},
		{&initRequest{request{2, opInit}, "/io/output-2.safetensors"}, `{"id":2,"op":"init","output":"/io/output-2.safetensors"}`},
		{
			&runRequest{request{3, opRun}, "train", "train_task", 4, m{"epochs": 1}, []string{}, "", "/io/output-3.safetensors"},
			`{"id":3,"op":"run","task":"train","function":"train_task","round":4,"arguments":{"epochs":1},"metrics":[],"inputs":"","output":"/io/output-3.safetensors"}`,
		},
		{&struct{ request }{request{4, opBye}}, `{"id":4,"op":"bye"}`},
	} {
		got, err := encode(tt.r)
		if err != nil || string(got) != tt.want+"\n" {
			t.Errorf("got %s, %v, want %s", got, err, tt.want)
		}
	}
	if _, err := encode(strings.Repeat("x", maxLine)); err == nil || !strings.Contains(err.Error(), "at most 1048576") {
		t.Errorf("a request that is too long: got %v", err)
	}
}

func TestDecode(t *testing.T) {
	var a runAnswer
	if err := decode([]byte(`{"tensors":true,"metrics":{"b":2,"a":-1e-3},"ok":true,"data_size":-1,"id":7}`), 7, &a); err != nil {
		t.Fatal(err)
	}
	got, err := a.metrics([]string{"a", "b"})
	if want := []Metric{{"a", -1e-3}, {"b", 2}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	var deep bytes.Buffer
	fmt.Fprintf(&deep, `{"id":1,"ok":true,"metrics":%s1%s}`, strings.Repeat("[", 5000), strings.Repeat("]", 5000))
	if err := decode(deep.Bytes(), 1, &runAnswer{}); err == nil {
		t.Error("a deeply nested answer was taken")
	}
	many := map[string]any{"id": 1, "ok": true, "protocol": Protocol, "name": "x", "capabilities": make([]string, maxNames+1)}
	line, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(line, 1, &helloAnswer{}); err == nil {
		t.Error("too many capabilities were taken")
	}
}
