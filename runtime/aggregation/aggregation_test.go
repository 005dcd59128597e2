package aggregation

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

type m = map[string]any

// values is a Source in memory.
type values []float32

func (v values) ReadBlock(dst []float32, off int) error {
	copy(dst, v[off:off+len(dst)])
	return nil
}

// fold aggregates one tensor named w.
func fold(a *Algorithm, t Tensor) (value []float64, state [][]float64, err error) {
	if t.Name == "" {
		t.Name = "w"
	}
	state = make([][]float64, len(a.Slots()))
	r, err := a.Begin([]Tensor{t})
	if err != nil {
		return nil, nil, err
	}
	err = r.Fold(t.Name, func(b []float64, s [][]float64) error {
		value = append(value, b...)
		for i := range s {
			state[i] = append(state[i], s[i]...)
		}
		return nil
	})
	return value, state, err
}

// mustNew makes an algorithm with settings that the test knows to be good.
func mustNew(t *testing.T, template string) *Algorithm {
	t.Helper()
	a, err := New(schema.Component{Template: template, Settings: settings[template]})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// settings of the algorithms that cannot do without.
var settings = map[string]map[string]any{
	ours + "NormClipping": {"norm": 1000000, "then": map[string]any{"template": openfl + "Median"}},
}

// everyone is who takes part where the number does not matter: enough for all.
func everyone(n int) []Update {
	v := make(values, n)
	for i := range v {
		v[i] = float32(i%977)/8 - 50
	}
	updates := make([]Update, 7)
	for i := range updates {
		updates[i] = Update{string(rune('a' + i)), float64(10 + i), v}
	}
	return updates
}

// Every algorithm must give one value per element, in blocks of bounded size,
// and as much state as it has slots; must leave the model alone where all
// collaborators do, and, unless it steps with a rate of its own, give back what
// they agree on; must give the same bits again; and must pass on the errors of
// its sources and its sink.
func TestContract(t *testing.T) {
	made := 0
	for template, build := range table() {
		if build == nil {
			continue
		}
		made++
		t.Run(template, func(t *testing.T) {
			a := mustNew(t, template)
			for _, n := range []int{0, 1, 3, BlockElements - 1, BlockElements, BlockElements + 1, 3*BlockElements + 5} {
				contract(t, a, n)
			}
			discard := func([]float64, [][]float64) error { return nil }
			broken := everyone(5)
			broken[len(broken)-1].Data = failing{}
			if _, _, err := fold(a, Tensor{Elements: 5, Base: make(values, 5), Updates: broken}); err == nil || !strings.Contains(err.Error(), "source failed") || !strings.Contains(err.Error(), `"g"`) {
				t.Errorf("a failing source gives %v, want its error and whose it is", err)
			}
			r, err := a.Begin([]Tensor{{Name: "w", Elements: 1, Base: make(values, 1), Updates: everyone(1)}})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Fold("w", func([]float64, [][]float64) error { return errors.New("sink failed") }); err == nil || !strings.Contains(err.Error(), "sink failed") {
				t.Errorf("a failing sink gives %v", err)
			}
			if err := r.Fold("v", discard); err == nil {
				t.Error("a tensor that the round does not have gives no error")
			}
			if _, _, err := fold(a, Tensor{Elements: 1}); err == nil {
				t.Error("no updates give no error")
			}
			if _, _, err := fold(a, Tensor{Elements: 1, Updates: everyone(1)[:a.Least()-1]}); err == nil {
				t.Errorf("%d updates give no error", a.Least()-1)
			}
			if _, _, err := fold(a, Tensor{Elements: 1, Base: make(values, 1), Updates: everyone(1)[:a.Least()]}); err != nil {
				t.Errorf("%d updates give %v", a.Least(), err)
			}
			swapped, twice := everyone(1), everyone(1)
			swapped[0], swapped[1] = swapped[1], swapped[0]
			twice[1].Collaborator = "a"
			for name, updates := range map[string][]Update{"updates out of name order": swapped, "one collaborator twice": twice} {
				if _, _, err := fold(a, Tensor{Elements: 1, Updates: updates}); err == nil {
					t.Errorf("%s: no error", name)
				}
			}
			if _, _, err := fold(a, Tensor{Elements: 1, Updates: everyone(1), State: make([]Source, len(a.Slots())+1)}); err == nil {
				t.Error("too much state gives no error")
			}
			if r, err := a.Begin(nil); err != nil || r == nil {
				t.Errorf("a task that trained nothing gives %v", err)
			}
		})
	}
	if made < 14 {
		t.Errorf("only %d algorithms were tested", made)
	}
}

// steps are the algorithms that go their own way from what updates say.
var steps = []string{"squares", "mean"}

func contract(t *testing.T, a *Algorithm, n int) {
	t.Helper()
	updates := everyone(n)
	v := updates[0].Data.(values)
	base := make(values, n)
	for i := range base {
		base[i] = float32(i % 31)
	}
	var got []float64
	state := make([][]float64, len(a.Slots()))
	r, err := a.Begin([]Tensor{{Name: "w", Elements: n, Base: base, Updates: updates}})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Fold("w", func(b []float64, s [][]float64) error {
		if len(b) == 0 || len(b) > BlockElements {
			t.Errorf("a block has %d elements", len(b))
		}
		if len(s) != len(a.Slots()) {
			t.Errorf("a block has state for %d slots, want %d", len(s), len(a.Slots()))
		}
		for i := range s {
			if len(s[i]) != len(b) {
				t.Errorf("%d values of state for %d elements", len(s[i]), len(b))
			}
			state[i] = append(state[i], s[i]...)
		}
		got = append(got, b...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("got %d elements, want %d", len(got), n)
	}
	own := len(a.Slots()) > 0 && slices.Contains(steps, a.Slots()[0])
	for i, x := range got {
		if !own && !near(x, v[i]) {
			t.Fatalf("element %d: all collaborators say %v, the algorithm %v", i, v[i], x)
		}
		if own && base[i] != v[i] && (x > float64(base[i])) != (v[i] > base[i]) {
			t.Fatalf("element %d: collaborators move %v to %v, the algorithm to %v", i, base[i], v[i], x)
		}
	}
	if again, _, err := fold(a, Tensor{Elements: n, Base: base, Updates: updates}); err != nil || !slices.Equal(again, got) {
		t.Error("a second run gives other bits")
	}
	still, _, err := fold(a, Tensor{Elements: n, Base: v, Updates: updates})
	for i, x := range still {
		if !near(x, v[i]) {
			t.Fatalf("element %d: nobody changes %v, the algorithm gives %v", i, v[i], x)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	// What the sites' optimizers add is no part of the model: nothing steps it.
	extra, _, err := fold(a, Tensor{Elements: n, Base: base, Extra: true, Updates: updates})
	for i, x := range extra {
		if !near(x, v[i]) {
			t.Fatalf("element %d of a tensor that training added: all say %v, the algorithm %v", i, v[i], x)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// near allows for the rounding of float64, not for that of float32.
func near(x float64, v float32) bool { return math.Abs(x-float64(v)) <= 1e-13*max(1, math.Abs(x)) }

type failing struct{}

func (failing) ReadBlock([]float32, int) error { return errors.New("source failed") }

// The first round of OpenFL's worked trace: 100 samples against 300.
func TestWeightedAverage(t *testing.T) {
	got, _, err := fold(mustNew(t, ""), Tensor{Elements: 6, Updates: []Update{
		{"one", 100, values{0, 1, 2, 3, 4, 5}},
		{"two", 300, values{0, 2, 4, 6, 8, 10}},
	}})
	if want := []float64{0, 1.75, 3.5, 5.25, 7, 8.75}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// random makes k updates of n elements around a base of zeros.
func random(n, k int) ([]Update, []float64) {
	r := rand.New(rand.NewPCG(1, 2))
	updates := make([]Update, k)
	sizes := make([]float64, k)
	for i := range updates {
		v := make(values, n)
		for j := range v {
			v[j] = float32(r.NormFloat64())
		}
		sizes[i] = float64(r.IntN(1000) + 1)
		updates[i] = Update{fmt.Sprintf("site-%04d", i), sizes[i], v}
	}
	return updates, sizes
}

// Blocks must not show in the result: it equals the sum written out plainly.
func TestWeightedAverageAgainstPlainLoop(t *testing.T) {
	const n, k = 2*BlockElements + 77, 7
	updates, sizes := random(n, k)
	got, _, err := fold(mustNew(t, ""), Tensor{Elements: n, Updates: updates})
	if err != nil {
		t.Fatal(err)
	}
	shares, err := Weights(sizes)
	if err != nil {
		t.Fatal(err)
	}
	total := sum(shares)
	for j := range n {
		var want float64
		for i, u := range updates {
			want += float64(shares[i] * float64(u.Data.(values)[j]))
		}
		if want /= total; got[j] != want {
			t.Fatalf("element %d is %v, want %v", j, got[j], want)
		}
	}
}

// A tensor that is folded in many blocks has the values of its pieces folded
// one by one, however small the blocks are because of many collaborators.
func TestBlocksDoNotShow(t *testing.T) {
	const n, k = 9000, 300
	updates, _ := random(n, k)
	for template := range table() {
		if table()[template] == nil || strings.HasSuffix(template, "GeometricMedian") || strings.HasSuffix(template, "Krum") || strings.HasSuffix(template, "Bulyan") {
			continue // these look at all elements before they choose
		}
		a := mustNew(t, template)
		got, _, err := fold(a, Tensor{Elements: n, Base: make(values, n), Updates: updates})
		if err != nil {
			t.Fatal(err)
		}
		for off := 0; off < n; off += 1000 {
			piece := make([]Update, k)
			for i, u := range updates {
				piece[i] = u
				piece[i].Data = u.Data.(values)[off : off+1000]
			}
			want, _, err := fold(a, Tensor{Elements: 1000, Base: make(values, 1000), Updates: piece})
			if err != nil || !slices.Equal(got[off:off+1000], want) {
				t.Errorf("%s: elements from %d on differ, %v", template, off, err)
			}
		}
	}
}

func TestWeights(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []float64
		want  []float64
		err   string
	}{
		{"sizes", []float64{100, 300}, []float64{0.25, 0.75}, ""},
		{"one has none", []float64{0, 5}, []float64{0, 1}, ""},
		{"all unknown", []float64{-1, -1, -1, -1}, []float64{0.25, 0.25, 0.25, 0.25}, ""},
		{"some unknown", []float64{-1, 5}, nil, "data size is -1"},
		{"negative", []float64{-3, 5}, nil, "data size is -3"},
		{"all zero", []float64{0, 0}, nil, "add up to 0"},
		{"not a number", []float64{math.NaN()}, nil, "NaN"},
		{"infinite", []float64{math.Inf(1), 1}, nil, "+Inf"},
		{"overflow", []float64{math.MaxFloat64, math.MaxFloat64}, nil, "+Inf"},
		{"none", nil, nil, "there are none"},
	} {
		got, err := Weights(tt.sizes)
		if tt.err == "" && (err != nil || !slices.Equal(got, tt.want)) {
			t.Errorf("%s: got %v, %v, want %v", tt.name, got, err, tt.want)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.err)
		}
	}
}

func TestScalar(t *testing.T) {
	got, err := Scalar([]Reported{{"one", 10, 2.5}, {"two", 30, 5}})
	if err != nil || got != 4.375 {
		t.Errorf("got %v, %v, want 4.375", got, err)
	}
	if _, err := Scalar([]Reported{{"two", 1, 1}, {"one", 1, 1}}); err == nil {
		t.Error("metrics out of name order give no error")
	}
	if _, err := Scalar(nil); err == nil {
		t.Error("no metrics give no error")
	}
}

// Stepping from the base is a float32 addition, whose result may differ from
// the rounded average in the last bit.
func TestNext(t *testing.T) {
	base := []float32{1, 0.1, 16777216}
	avg := []float64{1.75, 0.30000000000000004, 3}
	want := []float32{1.75, base[1] + float32(avg[1]-float64(base[1])), base[2] + float32(-16777213)}
	out := make([]float32, 3)
	Next(base, avg, true, out)
	if !slices.Equal(out, want) {
		t.Errorf("with deltas: got %v, want %v", out, want)
	}
	plain := []float32{1.75, 0.3, 3}
	for _, b := range [][]float32{nil, base} {
		Next(b, avg, b == nil, out)
		if !slices.Equal(out, plain) {
			t.Errorf("base %v: got %v, want %v", b, out, plain)
		}
	}
	tiny, huge := []float32{1e-8}, []float64{3.14159265}
	Next(tiny, huge, true, out[:1])
	if out[0] != tiny[0]+float32(huge[0]-float64(tiny[0])) {
		t.Errorf("got %v", out[0])
	}
	// One pair where the two roundings differ, so that the switch matters.
	r := rand.New(rand.NewPCG(3, 4))
	differ := false
	for range 10000 {
		b, a := []float32{float32(r.NormFloat64())}, []float64{r.NormFloat64()}
		var stepped, rounded [1]float32
		Next(b, a, true, stepped[:])
		Next(b, a, false, rounded[:])
		differ = differ || stepped != rounded
	}
	if !differ {
		t.Error("the delta switch never changes a bit")
	}
}

func TestFromReader(t *testing.T) {
	src := FromReader(bytes.NewReader(tensor.AppendFloat32s(nil, []float32{1, 2, 3, 4})))
	got := make([]float32, 2)
	if err := src.ReadBlock(got, 1); err != nil || !slices.Equal(got, []float32{2, 3}) {
		t.Errorf("got %v, %v, want [2 3]", got, err)
	}
	if err := src.ReadBlock(got, 3); err == nil {
		t.Error("reading past the end gives no error")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		c    schema.Component
		want string
	}{
		{schema.Component{Template: "src.agg.Mine"}, "is no aggregation type"},
		{schema.Component{Template: "WeightedAverage"}, `did you mean "openfl.interface.aggregation_functions.WeightedAverage"`},
		{schema.Component{Template: openfl + "FedBaggingXGBoost"}, "is not supported; allowed: fx.aggregation.Bulyan, "},
		{schema.Component{Template: openfl + "WeightedAverage", Settings: m{"x": 1}}, "takes no settings, found x"},
		{schema.Component{Template: ours + "Krumm"}, `did you mean "fx.aggregation.Krum"`},
		{schema.Component{Template: ours + "Krum", Settings: m{"byzantine": 0}}, "byzantine is 0; allowed is an integer from 1 to 10000"},
		{schema.Component{Template: ours + "Krum", Settings: m{"byzantine": 1.0}}, "byzantine is 1; allowed is an integer"},
		{schema.Component{Template: ours + "Krum", Settings: m{"keep": 2}}, `has no setting "keep"; allowed: byzantine`},
		{schema.Component{Template: ours + "TrimmedMean", Settings: m{"byzantin": 2}}, `did you mean "byzantine"`},
		{schema.Component{Template: ours + "FedAvgM", Settings: m{"momentum": 1}}, "momentum is 1; allowed is a number from 0 to below 1"},
		{schema.Component{Template: openfl + "AdamAdaptiveAggregation", Settings: m{"learning_rate": 0}}, "learning_rate is 0; allowed is a number above 0"},
		{schema.Component{Template: openfl + "AdamAdaptiveAggregation", Settings: m{"learning_rate": math.NaN()}}, "learning_rate is NaN"},
		{schema.Component{Template: openfl + "AdamAdaptiveAggregation", Settings: m{"learning_rate": "0.1"}}, `learning_rate is "0.1"`},
		{schema.Component{Template: openfl + "AdamAdaptiveAggregation", Settings: m{"betas": []any{0.9}}}, "a list of two numbers"},
		{schema.Component{Template: openfl + "AdamAdaptiveAggregation", Settings: m{"betas": []any{0.9, 1}}}, "a list of two numbers"},
		{schema.Component{Template: openfl + "YogiAdaptiveAggregation", Settings: m{"params": m{"w": 1}}}, "only Python code can set it"},
		{schema.Component{Template: openfl + "AdagradAdaptiveAggregation", Settings: m{"epsilon": 0}}, "epsilon is 0"},
		{schema.Component{Template: ours + "NormClipping"}, "norm is missing"},
		{schema.Component{Template: ours + "NormClipping", Settings: m{"norm": -1}}, "norm is -1; allowed is a number above 0"},
		{schema.Component{Template: ours + "NormClipping", Settings: m{"norm": 1, "then": "Median"}}, "then is \"Median\"; allowed is a map with a template"},
		{schema.Component{Template: ours + "NormClipping", Settings: m{"norm": 1, "then": m{"template": ours + "Krum", "keep": 3}}}, "allowed is a map with a template and its settings"},
		{schema.Component{Template: ours + "NormClipping", Settings: m{"norm": 1, "then": m{"template": ours + "Krumm"}}}, `in then, "fx.aggregation.Krumm" is no aggregation type`},
		{schema.Component{Template: ours + "NormClipping", Settings: m{"norm": 1, "then": m{"template": ours + "Krum", "settings": m{"byzantine": 0}}}}, "byzantine is 0"},
		{schema.Component{Template: ours + "NormClipping", Settings: m{"norm": 1, "then": m{"template": ours + "NormClipping", "settings": m{"norm": 1}}}}, "one is enough"},
	} {
		_, err := New(tt.c)
		if !errors.Is(err, schema.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want an ErrInvalid with %q", tt.c, err, tt.want)
		}
	}
}

// What an algorithm needs to be told apart from: how many results.
func TestLeast(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings m
		want     int
	}{
		{openfl + "Median", nil, 1},
		{ours + "TrimmedMean", m{"byzantine": 3}, 7},
		{ours + "Krum", m{"byzantine": 2}, 7},
		{ours + "MultiKrum", m{"byzantine": 2}, 7},
		{ours + "MultiKrum", m{"byzantine": 2, "keep": 6}, 10},
		{ours + "Bulyan", m{"byzantine": 2}, 11},
		{ours + "NormClipping", m{"norm": 1.5, "then": m{"template": ours + "Krum"}}, 5},
	} {
		a, err := New(schema.Component{Template: tt.name, Settings: tt.settings})
		if err != nil || a.Least() != tt.want {
			t.Errorf("%s %v: got %v, %v, want %d", tt.name, tt.settings, a, err, tt.want)
		}
	}
}

// A hostile site cannot move what the robust algorithms make by more than the
// honest ones disagree, and moves the average as far as it likes.
func TestHostileUpdate(t *testing.T) {
	honest := func(name string, at float32) Update { return Update{name, 10, values{at, -at, 1}} }
	updates := []Update{
		honest("a", 0.9), honest("b", 1), honest("c", 1.1), {"d", 1e9, values{1e9, 1e9, 1e9}}, honest("e", 0.95), honest("f", 1.05), honest("g", 1.02),
	}
	for _, template := range []string{openfl + "Median", ours + "TrimmedMean", ours + "Krum", ours + "MultiKrum", ours + "Bulyan"} {
		got, _, err := fold(mustNew(t, template), Tensor{Elements: 3, Base: make(values, 3), Updates: updates})
		if err != nil || got[0] < 0.9 || got[0] > 1.1 || got[2] != 1 {
			t.Errorf("%s: got %v, %v, want what the honest say", template, got, err)
		}
	}
	if got, _, err := fold(mustNew(t, ""), Tensor{Elements: 3, Updates: updates}); err != nil || got[0] < 1e8 {
		t.Errorf("average: got %v, %v; the example is too weak", got, err)
	}
	clipped, err := New(schema.Component{Template: ours + "NormClipping", Settings: m{"norm": 3}})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := fold(clipped, Tensor{Elements: 3, Base: make(values, 3), Updates: updates})
	if norm := math.Sqrt(got[0]*got[0] + got[1]*got[1] + got[2]*got[2]); err != nil || norm > 3.0001 {
		t.Errorf("clipped: got %v of norm %v, %v; want at most 3", got, norm, err)
	}
}

// Whole updates are chosen, not tensors: d is nearest to the others in v alone,
// and far off in w.
func TestKrumChoosesWholeUpdates(t *testing.T) {
	v, w := make([]Update, 5), make([]Update, 5)
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		v[i] = Update{name, 1, values{float32(i) - 2.9}}
		w[i] = Update{name, 1, values{0.1 * float32(i)}}
	}
	w[3].Data = values{50}
	a := mustNew(t, ours+"Krum")
	r, err := a.Begin([]Tensor{{Name: "v", Elements: 1, Updates: v}, {Name: "w", Elements: 1, Updates: w}})
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for _, name := range []string{"v", "w"} {
		if err := r.Fold(name, func(b []float64, _ [][]float64) error { got = append(got, b...); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	i := slices.IndexFunc(v, func(u Update) bool { return float64(u.Data.(values)[0]) == got[0] })
	if i < 0 || i == 3 || float64(w[i].Data.(values)[0]) != got[1] {
		t.Errorf("got %v, want both tensors of one honest update", got)
	}
}

// BenchmarkFold folds 8 updates of 4 MiB each, and copies the same bytes for
// comparison: bytes per second are those of the updates, and x-copy and
// x-average say how many times the copy and the weighted average fit into it.
func BenchmarkFold(b *testing.B) {
	const n, k = 1 << 20, 8
	updates := make([]Update, k)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range updates {
		v := make([]float32, n)
		for j := range v {
			v[j] = float32(rng.NormFloat64())
		}
		updates[i] = Update{string(rune('a' + i)), float64(i + 1), FromReader(bytes.NewReader(tensor.AppendFloat32s(nil, v)))}
	}
	zeros := FromReader(bytes.NewReader(make([]byte, 4*n)))
	perOp := map[string]float64{}
	measure := func(name string, work func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(4 * n * k)
			b.ReportAllocs()
			for b.Loop() {
				work(b)
			}
			perOp[name] = float64(b.Elapsed()) / float64(b.N)
			for _, other := range []string{"copy", "WeightedAverage"} {
				if perOp[other] > 0 && other != name {
					b.ReportMetric(perOp[name]/perOp[other], "x-"+other)
				}
			}
		})
	}
	dst := make([]float32, BlockElements)
	measure("copy", func(b *testing.B) {
		for off := 0; off < n; off += len(dst) {
			for _, u := range updates {
				if err := u.Data.ReadBlock(dst, off); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(table())), func(name string) bool {
		return name == "" || table()[name] == nil || strings.HasSuffix(name, ".WeightedAverage")
	})
	for _, template := range append([]string{openfl + "WeightedAverage"}, names...) {
		a, err := New(schema.Component{Template: template, Settings: settings[template]})
		if err != nil {
			b.Fatal(err)
		}
		tensors := []Tensor{{Name: "w", Elements: n, Base: zeros, Updates: updates}}
		for range a.Slots() {
			tensors[0].State, tensors[0].Step = append(tensors[0].State, zeros), 1
		}
		measure(template[strings.LastIndex(template, ".")+1:], func(b *testing.B) {
			r, err := a.Begin(tensors)
			if err == nil {
				err = r.Fold("w", func([]float64, [][]float64) error { return nil })
			}
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
