package workspace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fx/runtime/tensor"
	"fx/schema"
)

// talk is a conversation with the program of the template histogram.
type talk struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	next int
}

type reply struct {
	ID       int                `json:"id"`
	OK       bool               `json:"ok"`
	Error    string             `json:"error"`
	Protocol string             `json:"protocol"`
	Tensors  bool               `json:"tensors"`
	DataSize int                `json:"data_size"`
	Metrics  map[string]float64 `json:"metrics"`
}

func (k *talk) ask(op string, fields map[string]any) reply {
	k.t.Helper()
	k.next++
	request := map[string]any{"id": k.next, "op": op, "field of the future": true}
	for name, value := range fields {
		request[name] = value
	}
	if err := json.NewEncoder(k.in).Encode(request); err != nil {
		k.t.Fatal(err)
	}
	line, err := k.out.ReadBytes('\n')
	if err != nil {
		k.t.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil || r.ID != k.next {
		k.t.Fatalf("got %q, %v", line, err)
	}
	return r
}

// histogram starts the program in a workspace and says hello.
func histogram(t *testing.T, python, dir, data string, plan *schema.Resolved) *talk {
	t.Helper()
	cmd := exec.Command(python, "-B", "src/histogram.py")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
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
	k := &talk{t: t, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		if r := k.ask("bye", nil); !r.OK {
			t.Errorf("bye: got %+v", r)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	settings := func(c schema.Component) map[string]any {
		return map[string]any{"template": c.Template, "settings": c.Settings}
	}
	r := k.ask("hello", map[string]any{
		"protocol": "fx-task/1", "collaborator": "hospital-a", "workspace": dir, "data": data, "scratch": t.TempDir(),
		"task_runner": settings(plan.TaskRunner), "data_loader": settings(plan.DataLoader), "opt_treatment": "RESET",
	})
	if !r.OK || r.Protocol != "fx-task/1" {
		t.Fatalf("hello: got %+v", r)
	}
	return k
}

// numbers reads a tensor of a safetensors file.
func numbers(t *testing.T, file, name string) []float32 {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tensor.OpenSafetensors(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Section(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, len(b)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return values
}

// decades counts the rows of a site by the plan's bins, and says which are kept.
func decades(t *testing.T, file string, least int) (all, kept []int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	all, kept = make([]int, 10), make([]int, 10)
	for _, row := range rows[1:] {
		age, err := strconv.Atoi(row[slices.Index(rows[0], "age")])
		if err != nil || age < 0 || age > 99 {
			t.Fatalf("%s has the age %q", file, row[1])
		}
		all[age/10]++
	}
	for i, n := range all {
		if n >= least {
			kept[i] = n
		}
	}
	return all, kept
}

// The average of what the sites send is the histogram of all their rows, except
// those in bins which have too few at a site.
func TestHistogramTemplate(t *testing.T) {
	python := interpreter(t, "")
	dir, plan, data := writeTemplate(t, "histogram")
	task := plan.Tasks[0]
	least := task.Kwargs["min_count"].(int)
	output := filepath.Join(t.TempDir(), "output.safetensors")

	k := histogram(t, python, dir, "", plan)
	if r := k.ask("init", map[string]any{"output": output}); !r.OK || !r.Tensors {
		t.Fatalf("init: got %+v", r)
	}
	if got, want := numbers(t, output, "edges"), []float32{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}; !reflect.DeepEqual(got, want) {
		t.Errorf("edges are %v, want %v", got, want)
	}
	if got := numbers(t, output, "histogram"); !reflect.DeepEqual(got, make([]float32, 10)) {
		t.Errorf("the histogram begins as %v", got)
	}
	run := map[string]any{"task": task.Name, "function": task.Function, "round": 0, "arguments": task.Kwargs, "metrics": []string{"shown"}, "inputs": output, "output": output}
	if r := k.ask("run", run); r.OK || !strings.Contains(r.Error, "no data folder") {
		t.Errorf("without data: got %+v", r)
	}
	if r := k.ask("dance", nil); r.OK || !strings.Contains(r.Error, "dance") {
		t.Errorf("an unknown operation: got %+v", r)
	}

	want, sum, total, suppressed := make([]int, 10), make([]float64, 10), 0, 0
	for _, d := range data {
		folder := filepath.Join(dir, filepath.FromSlash(d.Path))
		all, kept := decades(t, filepath.Join(folder, "patients.csv"), least)
		k := histogram(t, python, dir, folder, plan)
		r := k.ask("run", run)
		shares := numbers(t, output, "histogram")
		rows, shown := 0, 0
		for i, n := range kept {
			want[i] += n
			rows += n
			suppressed += all[i] - n
			if n > 0 {
				shown++
			} else if shares[i] != 0 {
				t.Errorf("%s shows bin %d, which has %d rows", d.Name, i, all[i])
			}
			sum[i] += float64(shares[i]) * float64(r.DataSize)
		}
		total += rows
		if !r.OK || !r.Tensors || r.DataSize != rows || r.Metrics["shown"] != float64(shown)/10 || len(r.Metrics) != 1 {
			t.Errorf("%s: got %+v, want %d rows in %d bins", d.Name, r, rows, shown)
		}
	}
	if suppressed == 0 {
		t.Error("no site has a bin with too few rows: the template shows nothing of them")
	}
	for i := range want {
		if got := sum[i] / float64(total); math.Abs(got-float64(want[i])/float64(total)) > 1e-6 {
			t.Errorf("bin %d has the share %v, want %d of %d", i, got, want[i], total)
		}
	}

	nobody := filepath.Join(t.TempDir(), "few")
	if err := os.Mkdir(nobody, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(nobody, "patients.csv"), []byte("age\n7\n8\n9\n100\n-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := histogram(t, python, dir, nobody, plan).ask("run", run)
	if !r.OK || r.DataSize != 0 || r.Metrics["shown"] != 0 || !reflect.DeepEqual(numbers(t, output, "histogram"), make([]float32, 10)) {
		t.Errorf("a site with too few rows: got %+v", r)
	}
}

// The program draws the federation's result for people.
func TestHistogramShow(t *testing.T) {
	python := interpreter(t, "")
	dir, plan, data := writeTemplate(t, "histogram")
	model := filepath.Join(t.TempDir(), "model.safetensors")
	k := histogram(t, python, dir, filepath.Join(dir, filepath.FromSlash(data[0].Path)), plan)
	if r := k.ask("init", map[string]any{"output": model}); !r.OK {
		t.Fatalf("got %+v", r)
	}
	out, err := exec.Command(python, "-B", filepath.Join(dir, "src", "histogram.py"), "show", model).Output()
	if lines := strings.Split(string(out), "\n"); err != nil || len(lines) != 11 || lines[1] != fmt.Sprintf("%5d to %-5d   0.0 %%  ", 10, 20) {
		t.Errorf("got %q, %v", out, err)
	}
}
