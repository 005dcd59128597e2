package workspace

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goProgram builds the template wasm-go as an ordinary program.
func goProgram(t *testing.T, dir string) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("the template is built by the go command: %v", err)
	}
	code(t, "wasm-go", dir)
	build := exec.Command("go", "build", "-trimpath", "-o", "digits", ".")
	build.Dir = filepath.Join(dir, "src")
	build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the template: %v\n%s", err, out)
	}
	return filepath.Join(build.Dir, "digits")
}

var goSettings = map[string]any{"module": "src/model.wasm", "learning_rate": 0.4, "batch_size": 32, "seed": 7}

// Ten rounds of three sites with unlike digits. What they learn together is measured
// on the images that none of them has.
func TestWasmGoLearns(t *testing.T) {
	dir := t.TempDir()
	binary := goProgram(t, dir)
	names, folders := digitsAt(t, dir)
	var sites []*program
	for i, folder := range folders {
		sites = append(sites, startProgram(t, []string{binary}, names[i], folder, goSettings, map[string]any{}))
	}
	judge := startProgram(t, []string{binary}, "judge", filepath.Join(dir, "data", holdout), goSettings, map[string]any{})
	global, local := filepath.Join(dir, "global"), filepath.Join(dir, "local")
	first := sites[0].initial(global)
	if len(first["weight"]) != 640 || len(first["bias"]) != 10 || slices.Max(first["weight"]) != 0 {
		t.Errorf("the initial model is %v", first)
	}
	for round := range 10 {
		var models []tensors
		var weights []float64
		for _, site := range sites {
			request := order("train_task", round, global, local, map[string]any{"epochs": 10}, "loss")
			answer := site.must(request)
			if loss := metric(t, answer, "loss"); loss <= 0 || loss > 2 || answer["tensors"] != true {
				t.Errorf("training gave %v", answer)
			}
			learned := readModel(t, local)
			site.must(request)
			if again := readModel(t, local); fmt.Sprint(again) != fmt.Sprint(learned) {
				t.Error("the same task gave another model")
			}
			models = append(models, learned)
			weights = append(weights, answer["data_size"].(float64))
		}
		average(t, global, models, weights)
	}
	answer := judge.work("validate_task", 10, global, "", "accuracy", "loss")
	accuracy := metric(t, answer, "accuracy")
	t.Logf("accuracy %.3f, loss %.3f, of %v images", accuracy, metric(t, answer, "loss"), answer["data_size"])
	if accuracy < 0.93 || answer["tensors"] != false {
		t.Errorf("the federation reaches %.3f, want 0.93: %v", accuracy, answer)
	}
}

func TestWasmGoRefuses(t *testing.T) {
	dir := t.TempDir()
	binary := goProgram(t, dir)
	_, folders := digitsAt(t, dir)
	site := startProgram(t, []string{binary}, "a", folders[0], goSettings, map[string]any{})
	global, other := filepath.Join(dir, "global"), filepath.Join(dir, "other")
	site.initial(global)
	average(t, other, []tensors{{"bias": make([]float32, 11), "weight": make([]float32, 640)}}, []float64{1})
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := startProgram(t, []string{binary}, "b", t.TempDir(), goSettings, map[string]any{})
	for _, tt := range []struct {
		name    string
		site    *program
		request map[string]any
		want    string
	}{
		{"an operation", site, map[string]any{"op": "stop"}, `no operation "stop"`},
		{"a protocol", site, map[string]any{"op": "hello", "protocol": "fx-task/2"}, "fx-task/1"},
		{"a setting", site, map[string]any{"op": "hello", "protocol": "fx-task/1", "task_runner": map[string]any{"settings": map[string]any{"rate": 1}}}, "rate"},
		{"a function", site, order("fit", 0, global, "", nil), `no function "fit"`},
		{"an argument", site, order("train_task", 0, global, other, map[string]any{"epoch": 1}), "epoch"},
		{"a metric", site, order("validate_task", 0, global, "", nil, "auc"), `no metric "auc"`},
		{"no model", site, order("validate_task", 0, "", "", nil), "without a model"},
		{"a model of another shape", site, order("validate_task", 0, other, "", nil), `tensor "bias"`},
		{"a broken model", site, order("validate_task", 0, broken, "", nil), "header"},
		{"no data", empty, order("validate_task", 0, global, "", nil), "valid.csv"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := tt.site.ask(tt.request)
			if text, _ := answer["error"].(string); answer["ok"] != false || !strings.Contains(text, tt.want) {
				t.Errorf("got %v, want an error with %q", answer, tt.want)
			}
		})
	}
}
