package codec

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// What is encoded here, a real OpenFL decodes to the same bits, again and again:
// protobuf gives the entries of a map in another order each time.
func TestOpenFLDecodesWhatIsEncoded(t *testing.T) {
	python := os.Getenv("FX_OPENFL_PYTHON")
	if python == "" {
		t.Skip("FX_OPENFL_PYTHON names no Python that has openfl")
	}
	cmd := exec.Command(python, "testdata/vectors.py", "decode")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(out)
	answers.Buffer(nil, 64<<20)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, v := range vectors(t) {
		p := v.pipeline(t)
		for _, n := range []int{0, 20, 150} { // 0: the vector's own values
			values, shape := floats(t, v.Values), v.Shape
			if n > 0 {
				values, shape = make([]float32, n), []int{n}
				for i := range values {
					values[i] = float32(rng.IntN(7) - 3)
				}
			}
			message := encode(t, p, v.Tensor, shape, values)
			if err := json.NewEncoder(in).Encode(vector{Pipeline: v.Pipeline, Settings: v.Settings, Message: message}); err != nil {
				t.Fatal(err)
			}
			if !answers.Scan() {
				t.Fatalf("%s %v, tensor %s: OpenFL gave up: %v", v.Pipeline, v.Settings, v.Tensor, answers.Err())
			}
			var answer struct {
				Shape  []int  `json:"shape"`
				Values string `json:"values"`
			}
			if err := json.Unmarshal(answers.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			_, want := decode(t, p, message)
			if got := floats(t, answer.Values); !slices.Equal(got, want) || !slices.Equal(answer.Shape, shape) {
				t.Errorf("%s %v, tensor %s of %v: OpenFL decodes %v, want %v", v.Pipeline, v.Settings, v.Tensor, shape, got, want)
			}
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
