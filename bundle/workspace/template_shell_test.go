package workspace

import (
	"bytes"
	"encoding/csv"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shellRunner is the script of the template shell.
func shellRunner(t *testing.T, dir string) []string {
	t.Helper()
	for _, tool := range []string{"sh", "jq", "awk", "od"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the template needs %s: %v", tool, err)
		}
	}
	code(t, "shell", dir)
	return []string{filepath.Join(dir, "src/runner.sh")}
}

var shellSettings = map[string]any{"columns": 64, "least_rows": 10}

// Two rounds of three sites give the mean and the mean square of all their rows,
// as if the rows had been together.
func TestShellMeasures(t *testing.T) {
	dir := t.TempDir()
	argv := shellRunner(t, dir)
	names, folders := digitsAt(t, dir)
	var sites []*program
	var pooled [][]float64
	for i, folder := range folders {
		sites = append(sites, startProgram(t, argv, names[i], folder, map[string]any{"command": argv}, shellSettings))
		pooled = append(pooled, readRows(t, filepath.Join(folder, "train.csv"))...)
	}
	global, local := filepath.Join(dir, "global"), filepath.Join(dir, "local")
	first := sites[0].initial(global)
	if len(first["mean"]) != 64 || len(first["square"]) != 64 || len(first) != 2 {
		t.Errorf("the initial model is %v", first)
	}
	var got tensors
	for round := range 2 {
		var models []tensors
		var weights []float64
		for _, site := range sites {
			start := time.Now()
			alike := site.work("similarity_task", round, global, "", "similarity")
			answer := site.work("moments_task", round, global, local, "brightness")
			t.Logf("two tasks took %v", time.Since(start))
			if s := metric(t, alike, "similarity"); (round == 0) != (s == 0) || round > 0 && (s < 0.8 || s > 1) || alike["tensors"] != false {
				t.Errorf("round %d: comparing gave %v", round, alike)
			}
			if b := metric(t, answer, "brightness"); b < 4 || b > 6 || answer["tensors"] != true {
				t.Errorf("round %d: measuring gave %v", round, answer)
			}
			models = append(models, readModel(t, local))
			weights = append(weights, answer["data_size"].(float64))
		}
		got = average(t, global, models, weights)
	}
	n := float64(len(pooled))
	for column := range 64 {
		sum, square := 0.0, 0.0
		for _, row := range pooled {
			sum += row[column]
			square += row[column] * row[column]
		}
		if mean := float64(got["mean"][column]); math.Abs(mean-sum/n) > 2e-6 {
			t.Errorf("column %d: the mean is %v, want %v", column, mean, sum/n)
		}
		if s := float64(got["square"][column]); math.Abs(s-square/n) > 4e-5 {
			t.Errorf("column %d: the mean square is %v, want %v", column, s, square/n)
		}
	}
}

func readRows(t *testing.T, path string) [][]float64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	for _, record := range records {
		var row []float64
		for _, text := range record {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		rows = append(rows, row)
	}
	return rows
}

// The script takes numbers apart itself. What it writes is the float32 nearest to
// the number.
func TestShellWritesFloat32(t *testing.T) {
	dir := t.TempDir()
	argv := shellRunner(t, dir)
	data := t.TempDir()
	numbers := []string{"0", "1", "-1", "16", "0.1", "-0.3", "3.4028234663852886", "16777217", "16777219", "0.000001", "255.99999"}
	line := strings.Join(numbers, ",") + ",7\n"
	if err := os.WriteFile(filepath.Join(data, "train.csv"), []byte(strings.Repeat(line, 4)), 0o644); err != nil {
		t.Fatal(err)
	}
	site := startProgram(t, argv, "a", data, nil, map[string]any{"columns": len(numbers)})
	out := filepath.Join(dir, "out")
	if answer := site.work("moments_task", 0, "", out, "brightness"); answer["data_size"] != 4.0 {
		t.Errorf("got %v", answer)
	}
	got := readModel(t, out)["mean"]
	for i, text := range numbers {
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got[i] != float32(want) {
			t.Errorf("%s is %v, want %v", text, got[i], float32(want))
		}
	}
}

func TestShellRefuses(t *testing.T) {
	dir := t.TempDir()
	argv := shellRunner(t, dir)
	write := func(name, text string) string {
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "train.csv"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return folder
	}
	for _, tt := range []struct {
		name, data string
		request    map[string]any
		want       string
	}{
		{"an operation", "", map[string]any{"op": "stop"}, "no such operation"},
		{"a protocol", "", map[string]any{"op": "hello", "protocol": "fx-task/2"}, "fx-task/1"},
		{"a function", "", order("fit", 0, "", "", nil), "no function fit"},
		{"a metric", write("good", "1,2,0\n1,2,0\n"), order("moments_task", 0, "", "out", nil, "loss"), "its log says why"},
		{"no data", filepath.Join(dir, "nowhere"), order("moments_task", 0, "", "out", nil), "its log says why"},
		{"few rows", write("few", "1,2,0\n"), order("moments_task", 0, "", "out", nil), "there are 1 rows, and the plan asks for 2"},
		{"no rows", write("none", ""), order("moments_task", 0, "", "out", nil), "its log says why"},
		{"a row that is too short", write("short", "1,2\n1,2\n"), order("moments_task", 0, "", "out", nil), "its log says why"},
		{"no number", write("text", "1,inf,0\n1,2,0\n"), order("moments_task", 0, "", "out", nil), "its log says why"},
		{"no model", filepath.Join(dir, "good"), order("similarity_task", 0, "", "", nil, "similarity"), "without a model"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out := tt.request["output"]; out == "out" {
				tt.request["output"] = filepath.Join(t.TempDir(), "out")
			}
			site := startProgram(t, argv, "a", tt.data, nil, map[string]any{"columns": 2, "least_rows": 2})
			answer := site.ask(tt.request)
			if text, _ := answer["error"].(string); answer["ok"] != false || !strings.Contains(text, tt.want) {
				t.Errorf("got %v, want an error with %q", answer, tt.want)
			}
		})
	}
}
