package content

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"fx/bundle/inspect/finding"
)

// direction are the characters that change the order in which text is shown.
func direction(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c
}

// invisible are characters that show nothing.
func invisible(r rune) bool {
	switch {
	case r == 0x200b || r == 0x200c || r == 0x200d || r >= 0x2060 && r <= 0x2064 || r == 0xfeff || r == 0xad || r == 0x180e || r == 0x115f || r == 0x1160 || r == 0x3164 || r == 0xffa0 || r == 0x2800:
		return true
	case r >= 0xe0000 && r <= 0xe007f || r >= 0xe0100 && r <= 0xe01ef || r >= 0xfe00 && r <= 0xfe0e:
		return true
	}
	return false
}

// lookalikes are letters of other scripts that look like Latin ones.
const lookalikes = "аеорсухіјѕԁһкмвнтгпԛԝАВЕКМНОРСТУХЅІЈαοικνρυτχβγΑΒΕΖΗΙΚΜΝΟΡΤΥΧօոսցհ"

// unicode looks for text that reads otherwise than it works.
func (s *scanner) unicode(src source, kind string, data []byte) {
	code := kind == "python" || kind == "shell" || kind == "yaml" || kind == "notebook" || kind == "toml" || kind == "other code"
	for i, line := range bytes.Split(data, []byte("\n")) {
		if ascii(line) {
			continue
		}
		text := string(line)
		for at, r := range text {
			switch {
			case direction(r):
				s.add(finding.New("hidden-unicode", src.path, i+1, text, fmt.Sprintf("U+%04X", r)))
			case invisible(r) && (r != 0xfeff || i > 0 || at > 0):
				s.add(finding.New("zero-width", src.path, i+1, text, fmt.Sprintf("U+%04X", r)))
			case r < ' ' && r != '\t' && r != '\f' && (r != '\r' || at < len(text)-1) || r == 0x7f || r >= 0x80 && r < 0xa0:
				s.add(finding.New("control-characters", src.path, i+1, text, fmt.Sprintf("U+%04X", r)))
			default:
				continue
			}
			break
		}
		if !code {
			continue
		}
		for word := range strings.FieldsFuncSeq(stripQuoted(text), func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if deceptive(word) {
				s.add(finding.New("homoglyph", src.path, i+1, text, fmt.Sprintf("%+q", word)))
				break
			}
		}
	}
}

// ascii reports whether a line has nothing but printable ASCII, tabs, and a
// carriage return at its end.
func ascii(line []byte) bool {
	for i, b := range line {
		if b >= 0x7f || b < ' ' && b != '\t' && b != '\f' && (b != '\r' || i < len(line)-1) {
			return false
		}
	}
	return true
}

// stripQuoted drops a comment and what stands in quotes, roughly: a text in a
// message may be in any script.
func stripQuoted(line string) string {
	var b strings.Builder
	quote := rune(0)
	for _, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '#':
			return b.String()
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// deceptive tells a word that mixes Latin with letters that look Latin, that is
// written in styled letters which Python reads as plain ones, or that is made of
// nothing but look-alikes.
func deceptive(word string) bool {
	latin, alike, foreign, styled := 0, 0, 0, 0
	for _, r := range word {
		switch {
		case r < 0x80:
			if r != '_' && !unicode.IsDigit(r) {
				latin++
			}
		case strings.ContainsRune(lookalikes, r):
			alike++
		case r >= 0x1d400 && r <= 0x1d7ff || r >= 0xff21 && r <= 0xff5a:
			styled++
		case unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian):
			foreign++
		}
	}
	return styled > 0 || alike > 0 && latin > 0 || alike > 2 && foreign == 0
}
