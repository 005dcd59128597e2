package schema

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// oracle loads and dumps YAML documents with PyYAML: a JSON list of texts in, a
// JSON list of dumps (null where PyYAML refuses the document) out.
const oracle = `
import json, sys, yaml
out = []
for text in json.load(sys.stdin):
    try:
        out.append(yaml.dump(yaml.safe_load(text)))
    except Exception:
        out.append(None)
json.dump(out, sys.stdout)
`

// python returns the interpreter named by FX_PYTHON, else python3, if it can
// import yaml.
func python(t *testing.T) string {
	t.Helper()
	name := os.Getenv("FX_PYTHON")
	if name == "" {
		name = "python3"
	}
	if out, err := exec.Command(name, "-c", "import yaml").CombinedOutput(); err != nil {
		t.Skipf("%s with PyYAML is not here (set FX_PYTHON): %v %s", name, err, out)
	}
	return name
}

func askPyYAML(t *testing.T, interpreter string, documents []string) []*string {
	t.Helper()
	in, err := json.Marshal(documents)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, "-c", oracle)
	cmd.Stdin = strings.NewReader(string(in))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var dumps []*string
	if err := json.Unmarshal(out, &dumps); err != nil || len(dumps) != len(documents) {
		t.Fatalf("%d answers for %d documents, %v", len(dumps), len(documents), err)
	}
	return dumps
}

// Generated documents, loaded and dumped by both, byte for byte: more than
// 10,000 where FX_PYTHON names an interpreter. A document depends on nothing but
// FX_SEED (1 if it is not set) and its number.
func TestDumpAgainstPyYAML(t *testing.T) {
	interpreter := python(t)
	count, enough := 2_000, 1_000
	if os.Getenv("FX_PYTHON") != "" {
		count, enough = 15_000, 10_000
	}
	seed := uint64(1)
	if text := os.Getenv("FX_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	documents := make([]string, count)
	for i := range documents {
		g := generator{r: rand.New(rand.NewPCG(seed, uint64(i)))}
		documents[i] = g.document()
	}
	dumps := askPyYAML(t, interpreter, documents)
	bad, compared := 0, 0
	for i, document := range documents {
		root, err := ReadYAML("x.yaml", []byte(document), MaxPlanBytes)
		switch {
		case err != nil && dumps[i] == nil:
			continue
		case err != nil:
			if deliberate(err) {
				continue
			}
			t.Errorf("refused, but PyYAML reads it: %v\n%s", err, document)
			bad++
		case dumps[i] == nil:
			t.Errorf("read, but PyYAML refuses it\n%s", document)
			bad++
		default:
			compared++
			if got := string(Dump(root)); got != *dumps[i] {
				t.Errorf("document:\n%s\ngot:\n%s\nwant:\n%s", document, got, *dumps[i])
				bad++
			}
		}
		if bad > 5 {
			t.FailNow()
		}
	}
	t.Logf("seed %d: %d of %d documents compared, the others refused by both or, deliberately, by us", seed, compared, count)
	if compared < enough {
		t.Errorf("only %d of %d documents could be compared; %d are wanted", compared, count, enough)
	}
}

// deliberate tells whether an error is about what only we refuse: duplicate
// keys, and dates and NaN as keys.
func deliberate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "already on line") || strings.Contains(text, ": a key ")
}

// generator makes YAML text that exercises types, quoting, folding and sharing.
type generator struct {
	r       *rand.Rand
	anchors []string // of containers that are complete
	next    int
}

var plainScalars = []string{
	"a", "abc", "a:b", ":a", "a,b", "it's", "1e-3", "1.5e3", "1.0e-3", "1.e+5", "0o7", "08", "07", "0x1F", "0b101", "-0b1", "+12", "1_000", "1_0.5_0",
	"y", "n", "yes", "No", "on", "OFF", "true", "False", "null", "~", "Null", "nULL", "--", "?x", "a]", `a\b`, ".", "..", "...x", "src.x.Y", "1:30", "190:20:30.15", "1:60",
	".5", "-.5", "+.inf", "-.INF", ".nan", ".NaN", "1.", "0.1", "123456789012345680.0", "1.0e+16", "1.0e-05", "0.0001", "0.00001", "-0.0", "-0", "00", "0_", "3.14159265358979",
	"2001-01-01", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.1234567 Z", "2001-1-1 1:02:03", "2001-02-30", "12e03", "1__0", "_1", "9223372036854775807",
	"plan/defaults/network.yaml", "a#b", "a 'b' c", `a "b" c`, "a  b", "http://x.y/z?q=1", "100%", "x&y", "*", "<", "!x", "@x", "1,2", "-x", "?", "-", "é", "日本", "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9 and more of it until it is folded twice or so, I hope",
}

var quotedScalars = []string{
	`""`, `''`, `" "`, `"a\nb"`, `"a\n\nb\n"`, `"\ta"`, `"\x85\xa0\u2028\u2029\ufeff"`, `"\e\a\b\0\r\v\f"`, `"\U0001F4A1 x"`, `'it''s'`, `"1.0"`, `'yes'`, `"~"`, `'=' `, `'<<'`, `"a: b"`, `"a #b"`, `"a:"`, `" x"`, `"x "`, `"- x"`, `"? x"`, `"---"`, `"--- x"`, `"..."`, `"[x"`, `"{x"`, `"#x"`, `"&x"`, `"*x"`, `"!x"`, `"|x"`, `">x"`, `"'x"`, `"\"x"`, `"%x"`, `"@x"`, "\"`x\"", `"1:30"`, `"0x10"`, `"2001-01-01"`, `"a\n b"`, `"a \nb"`, `"x\\y"`, `","`, `"x\u00e9"`, `"\x7f"`, `"\uFFFD\uE000"`,
	`"it's: quoted, long, and has many   words so that the single quoted form must fold at least once, or twice: who knows; it's all the same to me"`,
	`"trailing newline and a long text that will have to be folded somewhere around column eighty\nsecond line\n\n\nfifth line that is also quite long, longer than the others by far, so fold it\n"`,
	`"tabs\tmake it double quoted and then the folding uses backslashes at the end of a line, which is a different rule altogether, isn't it? \\ \" yes"`,
	`"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"`,
}

func (g *generator) pick(list []string) string { return list[g.r.IntN(len(list))] }

func (g *generator) word() string {
	letters := []rune("abz019 .:-_#'\"é,[]{}!?=<~%\\/\t")
	var b strings.Builder
	n := g.r.IntN(30)
	if g.r.IntN(6) == 0 {
		n = 60 + g.r.IntN(120)
	}
	for range n {
		b.WriteRune(letters[g.r.IntN(len(letters))])
	}
	text, err := json.Marshal(b.String()) // JSON strings are YAML double-quoted strings
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (g *generator) scalar() string {
	switch g.r.IntN(10) {
	case 0, 1, 2, 3:
		return g.pick(plainScalars)
	case 4, 5:
		return g.pick(quotedScalars)
	case 6:
		return g.word()
	case 7:
		return floatText((g.r.Float64() - 0.5) * pow10(g.r.IntN(40)-20))
	case 8:
		return fmt.Sprint(g.r.Int64N(1<<40) - 1<<39)
	default:
		return "w" + fmt.Sprint(g.r.IntN(100))
	}
}

func pow10(n int) float64 {
	v := 1.0
	for ; n > 0; n-- {
		v *= 10
	}
	for ; n < 0; n++ {
		v /= 10
	}
	return v
}

func (g *generator) document() string { return g.block(0, 0) }

// block writes a map in block style at the indentation.
func (g *generator) block(indent, depth int) string {
	var b strings.Builder
	pad := strings.Repeat(" ", indent)
	for i := range 1 + g.r.IntN(5) {
		key := fmt.Sprintf("k%d", g.r.IntN(1000)*10+i)
		switch g.r.IntN(12) {
		case 0:
			key = g.word()
		case 1:
			key = g.pick(quotedScalars)
		case 2:
			key = g.pick(plainScalars)
		}
		if len(key) > 100 || strings.Contains(key, `\n`) {
			b.WriteString(pad + "? " + key + "\n" + pad + ":")
		} else {
			b.WriteString(pad + key + ":")
		}
		g.value(&b, indent, depth)
	}
	return b.String()
}

func (g *generator) value(b *strings.Builder, indent, depth int) {
	choice := g.r.IntN(10)
	if depth > 4 && choice < 5 {
		choice = 5
	}
	anchor, name := "", ""
	if choice < 5 && g.r.IntN(3) == 0 {
		g.next++
		name = fmt.Sprintf("a%d", g.next)
		anchor = " &" + name
	}
	switch choice {
	case 0, 1:
		b.WriteString(anchor + "\n" + g.block(indent+1+g.r.IntN(3), depth+1))
	case 2, 3:
		pad := strings.Repeat(" ", indent+g.r.IntN(3))
		b.WriteString(anchor + "\n")
		for range 1 + g.r.IntN(4) {
			b.WriteString(pad + "-")
			g.value(b, len(pad)+1, depth+1)
		}
	case 4:
		b.WriteString(anchor + " " + g.flow(depth+1) + "\n")
	case 5:
		if len(g.anchors) > 0 {
			b.WriteString(" *" + g.pick(g.anchors) + "\n")
			return
		}
		b.WriteString("\n")
	default:
		b.WriteString(" " + g.scalar() + "\n")
	}
	if name != "" {
		g.anchors = append(g.anchors, name)
	}
}

func (g *generator) flow(depth int) string {
	var items []string
	for range g.r.IntN(4) {
		switch {
		case depth < 6 && g.r.IntN(4) == 0:
			items = append(items, g.flow(depth+1))
		default:
			items = append(items, fmt.Sprintf("x%d", g.r.IntN(1000)))
		}
	}
	if g.r.IntN(2) == 0 {
		return "[" + strings.Join(items, ", ") + "]"
	}
	for i := range items {
		items[i] = fmt.Sprintf("f%d: %s", i, items[i])
	}
	return "{" + strings.Join(items, ", ") + "}"
}
