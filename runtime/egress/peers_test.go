package egress

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"math"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

// TestForPeers writes what this package computes to the folder that FX_PEERS
// names, for scripts/peers/accountant.sh to compute again in Python.
func TestForPeers(t *testing.T) {
	dir := os.Getenv("FX_PEERS")
	if dir == "" {
		t.Skip("FX_PEERS is not set: scripts/peers/accountant.sh does it")
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type account struct {
		Multiplier float64 `json:"multiplier"`
		Privacy
	}
	var accounts []account
	for _, multiplier := range []float64{0.5, 1, 1.1, 4, 20, 100} {
		c := contract(t, schema.Egress{Filters: []schema.EgressFilter{settings("clip", "norm", 1.0), settings("noise", "noise_multiplier", multiplier)}})
		for _, delta := range []float64{1e-3, 1e-5, 1e-9} {
			var p Privacy
			for releases := 1; releases <= 100; releases++ {
				if p = p.after(c.mu(), delta); releases == 1 || releases == 10 || releases == 100 {
					accounts = append(accounts, account{multiplier, p})
				}
			}
		}
	}
	b, err := json.Marshal(accounts)
	if err != nil {
		t.Fatal(err)
	}
	write("accounts.json", b)

	const n = 200_000
	r := mathrand.New(mathrand.NewPCG(7, 8))
	base, trained := make([]float32, n), make([]float32, n)
	for i := range base {
		base[i] = float32(r.NormFloat64())
		trained[i] = base[i] + float32(0.01*r.NormFloat64())
	}
	from, to := tensor.AppendFloat32s(nil, base), tensor.AppendFloat32s(nil, trained)
	write("base.f32", from)
	write("trained.f32", to)
	const norm, multiplier = 1.5, 0.02
	info := tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{n}}
	file := func(data []byte) *tensor.File {
		var b bytes.Buffer
		if err := tensor.WriteSafetensors(&b, nil, []tensor.Source{{Info: info, Data: bytes.NewReader(data)}}); err != nil {
			t.Fatal(err)
		}
		f, err := tensor.OpenSafetensors(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	round := Training{Task: "train", Made: file(to), Base: file(from), Random: rand.Reader}
	for name, filters := range map[string][]schema.EgressFilter{
		"clipped.f32": {settings("clip", "norm", norm)},
		"noised.f32":  {settings("clip", "norm", norm), settings("noise", "noise_multiplier", multiplier)},
	} {
		c, err := NewContract(Terms{Tasks: tasks, Model: []tensor.Info{info}, Plan: schema.Egress{Filters: filters}})
		if err != nil {
			t.Fatal(err)
		}
		sources, _, err := c.Changed(round, []tensor.Info{info})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(sources[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		write(name, b)
	}
	least, most, err := Span(bytes.NewReader(to))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]Filter{"bits5.f32": {Bits: 5}, "float16.f32": {To: "float16"}, "bfloat16.f32": {To: "bfloat16"}} {
		b, err := io.ReadAll(f.Quantised(bytes.NewReader(to), least, most))
		if err != nil {
			t.Fatal(err)
		}
		write(name, b)
	}
	step, _ := grid(norm * multiplier)
	b, err = json.Marshal(map[string]float64{"norm": norm, "sigma": norm * multiplier, "step": step, "max": math.MaxFloat32})
	if err != nil {
		t.Fatal(err)
	}
	write("settings.json", b)
}
