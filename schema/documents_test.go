package schema

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseCols(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
		err        string
	}{
		{"names", "collaborators:\n- one\n- 'two'\n", []string{"one", "two"}, ""},
		{"null", "collaborators:\n", nil, ""},
		{"absent", "{}", nil, ""},
		{"nothing", "# none yet\n", nil, ""},
		{"number", "collaborators: [one, 2]", nil, "cols.yaml:1:22: collaborators[1]: a name is a string (found integer 2; allowed a string; put the value in quotes to make it a string)"},
		{"boolean", "collaborators: [no]", nil, "put the word in quotes"},
		{"twice", "collaborators:\n- one\n- one\n", nil, `cols.yaml:3:3: collaborators[1]: the name "one" is already on line 2`},
		{"space", "collaborators: ['a b']", nil, "a word without spaces"},
		{"other key", "collaborator: [one]", nil, `did you mean "collaborators"`},
		{"list", "- one", nil, "a map with one key"},
		{"map", "collaborators: {one: 1}", nil, "wrong type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseCols("cols.yaml", []byte(test.text))
			checkError(t, err, test.err)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseData(t *testing.T) {
	tests := []struct {
		name, text string
		want       []DataPath
		err        string
	}{
		{"lines", "# where\none,data/one\n\ntwo,/mnt/a,b  \r\n", []DataPath{{"one", "data/one"}, {"two", "/mnt/a,b"}}, ""},
		{"nothing", "", nil, ""},
		{"leading space of a path stays", "one, x", []DataPath{{"one", " x"}}, ""},
		{"no comma", "one: data", nil, `data.yaml:1:1: there is no comma in this line (found "one: data"; allowed name,path; this file is not YAML in spite of its name)`},
		{"space in a name", "one ,x", nil, "a word without spaces"},
		{"no path", "a,b\none,", nil, "data.yaml:2:5: there is no path"},
		{"twice", "a,b\na,c", nil, `data.yaml:2:1: the name "a" is already on line 1`},
		{"bytes", "a,\xff", nil, "not UTF-8"},
		{"size", strings.Repeat("#", maxListBytes+1), nil, "too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseData("data.yaml", []byte(test.text))
			checkError(t, err, test.err)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

type document struct {
	Name  string         `json:"name"`
	Count int            `json:"count"`
	Tags  []string       `json:"tags"`
	Inner *document      `json:"inner"`
	More  map[string]int `json:"more"`
	Skip  string         `json:"-"`
}

func TestDecodeJSON(t *testing.T) {
	var d document
	if err := DecodeJSON("d.json", []byte(`{"name":"x","inner":{"count":3},"tags":["a"]}`+"\n"), 100, &d); err != nil || d.Inner.Count != 3 {
		t.Fatalf("%+v, %v", d, err)
	}
	for text, want := range map[string]string{
		`{"nam":"x"}`:             `d.json:1:2: unknown field "nam"`,
		`{"name":1}`:              "wrong type (found number; allowed string)",
		`{"name":"x","name":"y"}`: `the key "name" occurs twice`,
		`{"name":"x","NAME":"y"}`: `the key "NAME" occurs twice`,
		`{} {}`:                   "d.json:1:4: invalid character '{' after top-level value",
		`{}]`:                     "d.json:1:3",
		"{\n  \"name\": }":        "d.json:2:11",
		`{"name":`:                "ends too early",
		``:                        "ends too early",
		"\"\xff\"":                "not UTF-8",
		strings.Repeat("[", 70) + strings.Repeat("]", 70): "nested deeper",
		`"` + strings.Repeat("x", 200):                    "too large",
	} {
		checkError(t, DecodeJSON("d.json", []byte(text), 150, new(document)), want)
	}
}

func TestDecodeYAML(t *testing.T) {
	d := document{Name: "kept", Count: 7}
	if err := DecodeYAML("d.yaml", []byte("tags: [a, b]\ninner: {name: x, more: {k: 1}}\ncount: ~\n"), 100, &d); err != nil {
		t.Fatal(err)
	}
	want := document{Name: "kept", Tags: []string{"a", "b"}, Inner: &document{Name: "x", More: map[string]int{"k": 1}}}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v, want %+v", d, want)
	}
	for text, want := range map[string]string{
		"naem: x":            `d.yaml:1:1: naem: there is no such key (found string "naem"; allowed name, count, tags, inner, more; did you mean "name")`,
		"name: 5":            "d.yaml:1:7: name: wrong type (found integer 5; allowed a string",
		"inner:\n  count: x": "d.yaml:2:10: inner.count: wrong type",
		"tags: [a, 1]":       "d.yaml:1:11: tags[1]: wrong type",
		"tags: a":            "allowed a list",
		"more: {1: 1}":       "allowed a string",
		"name: a\nname: b":   "already on line 1",
		"skip: x":            "no such key",
		"- a":                "allowed a map",
		"a: 1\n---\nb: 1":    "second YAML document",
		"name: *x":           "unknown anchor",
		"name: abc # " + strings.Repeat("x", 200): "too large",
	} {
		checkError(t, DecodeYAML("d.yaml", []byte(text), 150, new(document)), want)
	}
}

// checkError fails unless err says want; want "" means no error.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got error %v, want %q", err, want)
	case want != "" && !errors.Is(fmt.Errorf("wrapped: %w", err), ErrInvalid):
		t.Errorf("%v does not wrap ErrInvalid", err)
	}
}
