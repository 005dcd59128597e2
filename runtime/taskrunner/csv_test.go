package taskrunner

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadCSV(t *testing.T) {
	got, err := readCSV(t.Context(), "x.csv", strings.NewReader("1,2.5,0\r\n-3e2,\"+4\",1\n\n.5,6.,2"), 2, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := &samples{features: 2, x: []float64{0.5, 1.25, -150, 2, 0.25, 3}, labels: []int{0, 1, 2}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReadCSVRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "x.csv: the file has no samples"},
		{"header", "a,b,label\n1,2,0\n", `x.csv:1: column 1 is "a"; a number was expected`},
		{"short row", "1,2,0\n1,2\n", "x.csv:2: the row has 2 values; 2 features and a label were expected"},
		{"long row", "1,2,3,0\n", "x.csv:1: the row has 4 values"},
		{"empty value", "1,,0\n", `column 2 is ""`},
		{"not a number", "NaN,1,0\n", `column 1 is "NaN"`},
		{"infinite", "1,-inf,0\n", `column 2 is "-inf"`},
		{"too large", "1e999,1,0\n", `column 1 is "1e999"`},
		{"too large once scaled", "1e308,1,0\n", `column 1 is "1e308"`},
		{"hexadecimal", "0x1p3,1,0\n", `column 1 is "0x1p3"`},
		{"space", " 1,1,0\n", `column 1 is " 1"`},
		{"label over", "1,2,3\n", `label is "3"; a class number from 0 to 2`},
		{"label under", "1,2,-1\n", `label is "-1"`},
		{"label fraction", "1,2,1.0\n", `label is "1.0"`},
		{"label zero padded", "1,2,01\n", `label is "01"`},
		{"quote", "1,2,0\n1,\"2,0\n", "x.csv:2: column"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readCSV(t.Context(), "x.csv", strings.NewReader(tt.text), 2, 3, 0.1)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	cause := errors.New("disk on fire")
	if _, err := readCSV(t.Context(), "x.csv", iotest.ErrReader(cause), 2, 3, 1); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("got %v, want %v", err, cause)
	}
}

// A file without end must not be read to the end.
func TestReadCSVIsBounded(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("1,2,0\n"), repeat("3,4,1\n"))
	_, err := readCSV(t.Context(), "x.csv", endless, 1<<20, 2, 1)
	if err == nil || !strings.Contains(err.Error(), "x.csv:1") {
		t.Errorf("got %v", err)
	}
	wide := samples{features: maxCSVValues + 1}
	if err := wide.add(make([]string, maxCSVValues+2), 2, 1); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

type repeat string

func (r repeat) Read(b []byte) (int, error) { return copy(b, r), nil }

func TestMissingData(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ dir, want string }{
		{"", "no data folder was given"},
		{filepath.Join(dir, "absent"), "train.csv"},
	} {
		l := &csvLoader{dir: tt.dir, features: 1, classes: 2, batch: 1, scale: 1}
		if _, err := l.train(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want an error with %q", tt.dir, err, tt.want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "valid.csv"), []byte("1,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &csvLoader{dir: dir, features: 1, classes: 2, batch: 1, scale: 1}
	if s, err := l.valid(t.Context()); err != nil || s.rows() != 1 {
		t.Errorf("got %v, %v", s, err)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("1,2,0\n3,4,1\n")
	f.Add("\"1\",2,0\r\n\n")
	f.Add("1e308,2,0\n")
	f.Add("a,b\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := readCSV(t.Context(), "x.csv", strings.NewReader(text), 2, 3, 0.5)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x.csv") {
				t.Fatalf("error %v does not name the file", err)
			}
			return
		}
		if len(s.x) != 2*len(s.labels) || len(s.labels) == 0 {
			t.Fatalf("%d values for %d labels", len(s.x), len(s.labels))
		}
		for _, v := range s.x {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("a feature is %v", v)
			}
		}
		for _, l := range s.labels {
			if l < 0 || l > 2 {
				t.Fatalf("label %d", l)
			}
		}
	})
}
