package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DecodeJSON reads one JSON document into v: at most limit bytes, UTF-8, known
// fields only, no key twice in an object (letter case ignored, as encoding/json
// ignores it), nothing after the document. The error is Findings.
func DecodeJSON(name string, data []byte, limit int, v any) error {
	whole := Finding{Severity: SeverityError, File: name}
	switch {
	case len(data) > limit:
		whole.ID, whole.Message = "too-large", "the document is too large"
		whole.Found, whole.Allowed = fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d bytes", limit)
		return Findings{whole}
	case !utf8.Valid(data):
		whole.ID, whole.Message = "not-text", "the document is not UTF-8 text"
		return Findings{whole}
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil { // one document, and well-formed
		return jsonFinding(whole, data, 0, err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := walkJSON(d, 0); err != nil {
		return jsonFinding(whole, data, d.InputOffset(), err)
	}
	d = json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return jsonFinding(whole, data, d.InputOffset(), err)
	}
	return nil
}

// walkJSON checks depth and duplicate keys of the next value.
func walkJSON(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("the document is nested deeper than %d levels", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			text, _ := key.(string)
			folded := strings.ToLower(text)
			if seen[folded] {
				return fmt.Errorf("the key %q occurs twice", text)
			}
			seen[folded] = true
		}
		if err := walkJSON(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func jsonFinding(f Finding, data []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	f.ID, f.Message = "json", strings.TrimPrefix(err.Error(), "json: ")
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(data)) && strings.Contains(f.Message, "unexpected end"):
		f.ID, f.Message, offset = "json-syntax", "the document ends too early", syntax.Offset
	case errors.As(err, &syntax):
		f.ID, offset = "json-syntax", syntax.Offset-1
	case errors.As(err, &mistyped):
		f.ID, f.Path, offset = "type", mistyped.Field, mistyped.Offset
		f.Message = "wrong type"
		f.Found, f.Allowed = mistyped.Value, mistyped.Type.String()
	case strings.Contains(f.Message, "unknown field"):
		f.ID = "unknown-key"
		if key := strings.TrimPrefix(f.Message, "unknown field "); key != f.Message {
			if i := bytes.Index(data, []byte(key)); i >= 0 {
				offset = int64(i)
			}
		}
	}
	before := data[:max(0, min(int(offset), len(data)))]
	f.Line = 1 + bytes.Count(before, []byte("\n"))
	f.Column = utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return Findings{f}
}
