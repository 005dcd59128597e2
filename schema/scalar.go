package schema

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The implicit types of a plain scalar, as PyYAML's Resolver defines them
// (YAML 1.1 with its own restrictions: an exponent needs a dot and a sign, "y"
// and "n" are text). The order matters.
var (
	boolPattern  = regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)
	floatPattern = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?` +
		`|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?` +
		`|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*` +
		`|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	intPattern = regexp.MustCompile(`^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)` +
		`|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	timePattern = regexp.MustCompile(`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?` +
		`(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?` +
		`(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?)$`)
	timeParts = regexp.MustCompile(`^([0-9]{4})-([0-9][0-9]?)-([0-9][0-9]?)` +
		`(?:(?:[Tt]|[ \t]+)([0-9][0-9]?):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?` +
		`(?:[ \t]*(Z|([-+])([0-9][0-9]?)(?::([0-9]{2}))?))?)?$`)
)

// tag is the short YAML tag that PyYAML resolves a plain scalar to.
func implicitTag(s string) string {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return "!!null"
	case "<<":
		return "!!merge"
	case "=":
		return "!!value"
	case "!", "&", "*":
		return "!!yaml"
	}
	switch c := s[0]; {
	case strings.IndexByte("yYnNtTfFoO", c) >= 0:
		if boolPattern.MatchString(s) {
			return "!!bool"
		}
	case strings.IndexByte("-+0123456789.", c) >= 0:
		switch {
		case floatPattern.MatchString(s):
			return "!!float"
		case c != '.' && intPattern.MatchString(s):
			return "!!int"
		case c >= '0' && c <= '9' && timePattern.MatchString(s):
			return "!!timestamp"
		}
	}
	return "!!str"
}

// construct fills n from the text of a scalar with the given tag, as PyYAML's
// SafeConstructor does. The error is a reason without a position.
func construct(n *Node, tag, s string) error {
	switch tag {
	case "!!str":
		n.Kind, n.Text = KindString, s
	case "!!null":
		n.Kind = KindNull
	case "!!bool":
		n.Kind = KindBool
		switch strings.ToLower(s) {
		case "yes", "true", "on":
			n.Bool = true
		case "no", "false", "off":
		default:
			return fmt.Errorf("%q is not a boolean", s)
		}
	case "!!int":
		v, err := pythonInt(s)
		if err != nil {
			return err
		}
		n.Kind, n.Int = KindInt, v
	case "!!float":
		v, err := pythonFloat(s)
		if err != nil {
			return err
		}
		n.Kind, n.Float = KindFloat, v
	case "!!timestamp":
		text, err := pythonTime(s)
		if err != nil {
			return err
		}
		n.Kind, n.Text = KindTime, text
	case "!!merge":
		return fmt.Errorf("the merge key << stands for a key, not for a value")
	case "!!value":
		return fmt.Errorf("a lone = has a meaning of its own in YAML 1.1")
	default:
		return fmt.Errorf("the tag %s is not allowed in a plan", tag)
	}
	return nil
}

// pythonInt reads binary, octal, decimal, hexadecimal and base-60 integers with
// underscores. Numbers beyond 64 bits are refused.
func pythonInt(s string) (int64, error) {
	text := strings.ReplaceAll(s, "_", "")
	negative := strings.HasPrefix(text, "-")
	if negative || strings.HasPrefix(text, "+") {
		text = text[1:]
	}
	var v uint64
	var err error
	switch {
	case text == "":
		err = strconv.ErrSyntax
	case strings.HasPrefix(text, "0b"):
		v, err = strconv.ParseUint(text[2:], 2, 64)
	case strings.HasPrefix(text, "0x"):
		v, err = strconv.ParseUint(text[2:], 16, 64)
	case text[0] == '0':
		v, err = strconv.ParseUint(text, 8, 64)
	case strings.Contains(text, ":"):
		v, err = sexagesimal(text)
	default:
		v, err = strconv.ParseUint(text, 10, 64)
	}
	switch {
	case err != nil && strings.Contains(err.Error(), strconv.ErrRange.Error()), err == nil && v > math.MaxInt64:
		return 0, fmt.Errorf("the integer %s does not fit into 64 bits", shorten(s))
	case err != nil:
		return 0, fmt.Errorf("%q is not an integer", shorten(s))
	case negative:
		return -int64(v), nil
	}
	return int64(v), nil
}

func sexagesimal(text string) (uint64, error) {
	var v uint64
	for _, part := range strings.Split(text, ":") {
		digit, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return 0, err
		}
		if v > (math.MaxInt64-digit)/60 || digit > math.MaxInt64 {
			return 0, strconv.ErrRange
		}
		v = v*60 + digit
	}
	return v, nil
}

func pythonFloat(s string) (float64, error) {
	text := strings.ToLower(strings.ReplaceAll(s, "_", ""))
	sign := 1.0
	if strings.HasPrefix(text, "-") {
		sign = -1
	}
	text = strings.TrimLeft(text, "+-")
	switch {
	case text == ".inf":
		return math.Inf(int(sign)), nil
	case text == ".nan":
		return math.NaN(), nil
	case strings.Contains(text, ":"):
		parts := strings.Split(text, ":")
		value, base := 0.0, 1.0
		for i := len(parts) - 1; i >= 0; i-- {
			digit, err := strconv.ParseFloat(parts[i], 64)
			if err != nil || math.IsInf(base, 0) {
				return 0, fmt.Errorf("%q is not a number", shorten(s))
			}
			value += digit * base
			base *= 60
		}
		return sign * value, nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(value, 0) || strings.ContainsAny(text, "xpin") {
		return 0, fmt.Errorf("%q is not a number", shorten(s))
	}
	return sign * value, nil
}

// pythonTime returns str() of the date or datetime that PyYAML makes.
func pythonTime(s string) (string, error) {
	m := timeParts.FindStringSubmatch(s)
	bad := fmt.Errorf("%q looks like a date, but is none", s)
	if m == nil {
		return "", bad
	}
	n := make([]int, len(m))
	for i := range m {
		n[i], _ = strconv.Atoi(m[i]) // empty groups are zero
	}
	day := time.Date(n[1], time.Month(n[2]), n[3], 0, 0, 0, 0, time.UTC)
	if n[1] < 1 || day.Year() != n[1] || int(day.Month()) != n[2] || day.Day() != n[3] {
		return "", bad
	}
	text := day.Format(time.DateOnly)
	if m[4] == "" {
		return text, nil
	}
	if n[4] > 23 || n[5] > 59 || n[6] > 59 {
		return "", bad
	}
	text += fmt.Sprintf(" %02d:%02d:%02d", n[4], n[5], n[6])
	if fraction := (m[7] + "000000")[:6]; fraction != "000000" {
		text += "." + fraction
	}
	switch {
	case m[8] == "":
	case m[9] == "":
		text += "+00:00"
	default:
		minutes := n[10]*60 + n[11]
		if minutes >= 24*60 {
			return "", bad
		}
		sign := m[9]
		if minutes == 0 {
			sign = "+"
		}
		text += fmt.Sprintf("%s%02d:%02d", sign, minutes/60, minutes%60)
	}
	return text, nil
}

// scalarText is the text that PyYAML's representer gives to a scalar, and its
// short tag.
func scalarText(n *Node) (text, tag string) {
	switch n.Kind {
	case KindBool:
		return strconv.FormatBool(n.Bool), "!!bool"
	case KindInt:
		return strconv.FormatInt(n.Int, 10), "!!int"
	case KindFloat:
		return floatText(n.Float), "!!float"
	case KindString:
		return n.Text, "!!str"
	case KindTime:
		return n.Text, "!!timestamp"
	default:
		return "null", "!!null"
	}
}

// floatText is Python's repr of a float as PyYAML prints it: shortest digits
// that round-trip, exponent form below 1e-4 and from 1e16, always with a dot.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(scientific, "e")
	if e, _ := strconv.Atoi(exponent); f != 0 && (e < -4 || e >= 16) {
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "e" + exponent
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return plain
}
