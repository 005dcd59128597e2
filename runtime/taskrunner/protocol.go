package taskrunner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"fx/schema"
)

// Protocol is the version of the task protocol, which docs/task-protocol.md
// describes.
const Protocol = "fx-task/1"

// Limits of the protocol.
const (
	maxLine       = 1 << 20 // bytes of one request or answer, without the line feed
	maxTaskError  = 500     // characters of the error that a task answers with
	maxShownLine  = 200     // bytes of an answer that cannot be read
	maxNameLength = 200     // bytes of a runner's name, its version, a capability, a metric
	maxNames      = 1000    // metrics and capabilities
)

// Operations.
const (
	opHello = "hello"
	opInit  = "init"
	opRun   = "run"
	opBye   = "bye"
)

// request is what all requests begin with.
type request struct {
	ID int    `json:"id"`
	Op string `json:"op"`
}

type helloRequest struct {
	request
	Protocol     string          `json:"protocol"`
	Collaborator string          `json:"collaborator"`
	Workspace    string          `json:"workspace"`
	Data         string          `json:"data"`
	Scratch      string          `json:"scratch"`
	TaskRunner   componentOnWire `json:"task_runner"`
	DataLoader   componentOnWire `json:"data_loader"`
	OptTreatment string          `json:"opt_treatment"`
}

type componentOnWire struct {
	Template string `json:"template"`
	Settings any    `json:"settings"` // from plain
}

type initRequest struct {
	request
	Output string `json:"output"`
}

type runRequest struct {
	request
	Task      string   `json:"task"`
	Function  string   `json:"function"`
	Round     int      `json:"round"`
	Arguments any      `json:"arguments"` // from plain
	Metrics   []string `json:"metrics"`
	Inputs    string   `json:"inputs"`
	Output    string   `json:"output"`
}

// encode makes the line of a request, with its line feed.
func encode(r any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("cannot encode a request to the task code: %v", err)
	}
	if b.Len()-1 > maxLine {
		return nil, fmt.Errorf("a request to the task code would have %d bytes; at most %d are allowed: shorten the settings in the plan", b.Len()-1, maxLine)
	}
	return b.Bytes(), nil
}

// decimal keeps its point in JSON, so that Python reads what the plan's author wrote
// as 1.0 as a float.
type decimal float64

// MarshalJSON implements json.Marshaler.
func (d decimal) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(d), 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return []byte(text), nil
}

// plain turns a value of the plan into one that JSON can carry. where names it
// in the error, which wraps schema.ErrInvalid.
func plain(where string, v any) (any, error) {
	switch x := v.(type) {
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return nil, invalidf(where, "the value is %v, which JSON cannot carry to the task code; a finite number was expected", x)
		}
		return decimal(x), nil
	case []any:
		out := make([]any, len(x))
		var err error
		for i, item := range x {
			if out[i], err = plain(schema.Index(where, i), item); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		var err error
		for key, item := range x {
			if out[key], err = plain(schema.Child(where, key), item); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil // nil, bool, int, string
}

// answer is what every answer begins with.
type answer struct {
	ID    *int   `json:"id"`
	OK    *bool  `json:"ok"`
	Error string `json:"error"`
}

func (a *answer) head() *answer { return a }

// reply is an answer to one operation.
type reply interface {
	head() *answer
	check() error // of an answer that is ok
}

type helloAnswer struct {
	answer
	Protocol     string    `json:"protocol"`
	Name         string    `json:"name"`
	Version      string    `json:"version"`
	Capabilities *[]string `json:"capabilities"` // nil is all
}

func (a *helloAnswer) check() error {
	if a.Protocol != Protocol {
		return fmt.Errorf("it speaks the protocol %.100q; %q is needed", a.Protocol, Protocol)
	}
	if a.Name == "" {
		return errors.New("the answer to hello has no name")
	}
	names := []string{a.Name, a.Version}
	if a.Capabilities != nil {
		names = append(names, *a.Capabilities...)
	}
	for _, n := range names {
		if len(n) > maxNameLength || len(names) > maxNames {
			return fmt.Errorf("a name in the answer to hello is longer than %d bytes, or there are more than %d", maxNameLength, maxNames)
		}
	}
	return nil
}

// can says whether the runner has an operation.
func (a *helloAnswer) can(op string) bool {
	return a.Capabilities == nil || slices.Contains(*a.Capabilities, op)
}

type initAnswer struct {
	answer
	Tensors *bool `json:"tensors"`
}

func (a *initAnswer) check() error { return present("tensors", a.Tensors) }

type runAnswer struct {
	answer
	Metrics  map[string]*float64 `json:"metrics"`
	DataSize *int                `json:"data_size"`
	Tensors  *bool               `json:"tensors"`
}

func (a *runAnswer) check() error {
	if err := present("tensors", a.Tensors); err != nil {
		return err
	}
	switch {
	case a.DataSize == nil:
		return errors.New("the answer has no data_size")
	case *a.DataSize < -1 || *a.DataSize > math.MaxInt32: // it travels as an int32
		return fmt.Errorf("data_size is %d; a number of samples from -1 to %d was expected", *a.DataSize, math.MaxInt32)
	case a.Metrics == nil:
		return errors.New(`the answer has no metrics; an object was expected, {} if there are none`)
	}
	return nil
}

// metrics are the values of the metrics that a task lists, in that order. One
// that is missing and one that is not listed are errors.
func (a *runAnswer) metrics(listed []string) ([]Metric, error) {
	var out []Metric
	for _, name := range listed {
		value, made := a.Metrics[name]
		switch {
		case !made:
			return nil, fmt.Errorf("the metric %q is missing; the plan lists %s", name, quoted(listed))
		case value == nil: // no NaN and infinity in JSON, and too large a number is no float64
			return nil, fmt.Errorf("the metric %q is null; a number was expected", name)
		}
		out = append(out, Metric{name, *value})
	}
	if len(a.Metrics) == len(listed) {
		return out, nil
	}
	var extra []string
	for name := range a.Metrics {
		if !slices.Contains(listed, name) {
			extra = append(extra, name)
		}
	}
	slices.Sort(extra)
	return nil, fmt.Errorf("it reports the metrics %s, which the plan does not list under metrics (it lists %s), so they must not leave", quoted(extra), quoted(listed))
}

type byeAnswer struct{ answer }

func (a *byeAnswer) check() error { return nil }

func present(name string, v *bool) error {
	if v == nil {
		return fmt.Errorf("the answer has no %s; true or false was expected", name)
	}
	return nil
}

// taskError is the answer of a runner that could not do what it was asked, and
// lives on.
type taskError struct{ text string }

func (e *taskError) Error() string { return e.text }

// decode reads an answer to the request with this id, strictly. A *taskError is
// what the task code says; any other error is a breach of the protocol.
func decode(line []byte, id int, into reply) error {
	if err := schema.DecodeJSON("answer", line, maxLine, into); err != nil {
		if json.Valid(line) {
			return fmt.Errorf("it answered with an object that does not fit: %s", clean(strings.TrimPrefix(err.Error(), schema.ErrInvalid.Error()+": "), maxTaskError))
		}
		hint := ""
		if bytes.Contains(line, []byte("NaN")) || bytes.Contains(line, []byte("Infinity")) {
			hint = " (JSON has no NaN and no Infinity: a metric must be finite)"
		}
		return fmt.Errorf("it wrote a line on its standard output that is no JSON%s: %q; standard output is for answers only, logs belong on standard error", hint, cut(line))
	}
	head := into.head()
	switch {
	case head.ID == nil || *head.ID != id:
		got := "none"
		if head.ID != nil {
			got = strconv.Itoa(*head.ID)
		}
		return fmt.Errorf("it answered with the id %s; %d was expected", got, id)
	case head.OK == nil:
		return errors.New("its answer has no ok; true or false was expected")
	case !*head.OK && strings.TrimSpace(head.Error) == "":
		return &taskError{"it failed without saying why"}
	case !*head.OK:
		return &taskError{clean(head.Error, maxTaskError)}
	case head.Error != "":
		return fmt.Errorf("its answer is ok and has an error: %q", cut([]byte(head.Error)))
	}
	return into.check()
}

// cut shortens what a message quotes.
func cut(b []byte) []byte {
	if len(b) > maxShownLine {
		return append(slices.Clone(b[:maxShownLine]), "…"...)
	}
	return b
}

// quoted lists names of a plan or of task code, a few of them.
func quoted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	var parts []string
	for _, n := range names[:min(len(names), 10)] {
		parts = append(parts, fmt.Sprintf("%.100q", n))
	}
	if len(names) > len(parts) {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", ")
}
