//go:build linux

package taskrunner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fx/runtime/sandbox"
	"fx/runtime/tensor"
)

// behaviourVariable makes the test binary a task runner: the double.
const behaviourVariable = "FX_TEST_BEHAVIOUR"

func TestMain(m *testing.M) {
	sandbox.Child()
	if behaviour := os.Getenv(behaviourVariable); behaviour != "" {
		os.Exit(runDouble(behaviour))
	}
	os.Exit(m.Run())
}

// asked is any request, as a runner reads it.
type asked struct {
	ID         int            `json:"id"`
	Op         string         `json:"op"`
	Task       string         `json:"task"`
	Round      int            `json:"round"`
	Metrics    []string       `json:"metrics"`
	Inputs     string         `json:"inputs"`
	Output     string         `json:"output"`
	Scratch    string         `json:"scratch"`
	Arguments  map[string]any `json:"arguments"`
	TaskRunner struct {
		Settings map[string]any `json:"settings"`
	} `json:"task_runner"`
}

func runDouble(behaviour string) int {
	in, out := bufio.NewReaderSize(os.Stdin, 2<<20), os.Stdout
	var hello asked
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return 0
		}
		var r asked
		if err := json.Unmarshal(line, &r); err != nil {
			return 70
		}
		fmt.Fprintf(os.Stderr, "asked %s %d\n", r.Op, r.ID)
		switch r.Op {
		case "hello":
			hello = r
			switch behaviour {
			case "no hello":
				hang()
			case "no protocol":
				fmt.Fprintf(out, `{"id":%d,"ok":true,"name":"x"}`+"\n", r.ID)
			case "another protocol":
				fmt.Fprintf(out, `{"id":%d,"ok":true,"name":"x","protocol":"fx-task/2"}`+"\n", r.ID)
			case "no name":
				fmt.Fprintf(out, `{"id":%d,"ok":true,"protocol":"fx-task/1"}`+"\n", r.ID)
			case "hello fails":
				fmt.Fprintf(out, `{"id":%d,"ok":false,"error":"no module named numpy"}`+"\n", r.ID)
			case "runs only":
				fmt.Fprintf(out, `{"id":%d,"ok":true,"protocol":"fx-task/1","name":"x","capabilities":["run"]}`+"\n", r.ID)
			default:
				fmt.Fprintf(out, `{"id":%d,"ok":true,"protocol":"fx-task/1","name":"double","version":"1"}`+"\n", r.ID)
			}
		case "bye":
			fmt.Fprintf(out, `{"id":%d,"ok":true}`+"\n", r.ID)
			return 0
		case "init":
			if err := os.WriteFile(r.Output, oneTensor(1), 0o600); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 71
			}
			fmt.Fprintf(out, `{"id":%d,"ok":true,"tensors":true}`+"\n", r.ID)
		case "run":
			if code := doubleRun(behaviour, &r, &hello, out); code >= 0 {
				return code
			}
		}
	}
}

// hang waits for a signal that ends the process.
func hang() {
	for {
		_ = syscall.Pause()
	}
}

// doubleRun does a task; -1 lives on.
func doubleRun(behaviour string, r, hello *asked, out *os.File) int {
	if text, known := misbehave[behaviour]; known {
		if strings.Contains(text, "%d") {
			text = fmt.Sprintf(text, r.ID)
		}
		_, _ = io.WriteString(out, text+"\n")
		return -1
	}
	tensors := "false"
	switch behaviour {
	case "long line":
		_, _ = out.Write(bytes.Repeat([]byte("x"), 2*maxLine))
		return -1
	case "half a line":
		_, _ = io.WriteString(out, `{"id":`)
		return 0
	case "closes output":
		_ = out.Close()
		hang()
	case "exits":
		fmt.Fprintln(os.Stderr, "Traceback: \x1b[31mthe end\u202e")
		return 3
	case "signal":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	case "eats memory":
		var all [][]byte
		for range 512 { // MiB; more than it is given, less than would hurt where nothing holds it
			all = append(all, bytes.Repeat([]byte("x"), 1<<20))
		}
		return len(all[0]) % 100
	case "hangs":
		hang()
	case "bad tensors", "link", "device", "sparse":
		tensors = "true"
		var err error
		switch behaviour {
		case "bad tensors":
			err = os.WriteFile(r.Output, []byte("these are no tensors at all"), 0o600)
		case "link":
			err = os.Symlink(r.Inputs, r.Output)
		case "device":
			err = syscall.Mkfifo(r.Output, 0o600)
		case "sparse":
			if err = os.WriteFile(r.Output, nil, 0o600); err == nil {
				err = os.Truncate(r.Output, 1<<40)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case "writes code":
		err := os.WriteFile("/workspace/src/new.py", nil, 0o600)
		if err == nil {
			return 72
		}
		if err := os.WriteFile("/workspace/logs/log", nil, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 73
		}
	case "looks around":
		return doubleLooks(r, hello.TaskRunner.Settings, hello.Scratch, out)
	case "copies":
		tensors = "true"
		if err := doubleCopies(r.Inputs, r.Output); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 74
		}
	default:
		tensors = "true"
		if err := os.WriteFile(r.Output, oneTensor(float32(r.Round)), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 75
		}
	}
	var metrics []string
	for i, name := range r.Metrics {
		metrics = append(metrics, fmt.Sprintf("%q:%g", name, 0.5/float64(i+1)))
	}
	fmt.Fprintf(out, `{"id":%d,"ok":true,"metrics":{%s},"data_size":7,"tensors":%s}`+"\n", r.ID, strings.Join(metrics, ","), tensors)
	return -1
}

// doubleLooks says through its metrics what a runner gets.
func doubleLooks(r *asked, settings map[string]any, scratch string, out *os.File) int {
	yes := map[bool]float64{true: 1}
	data, dataErr := os.ReadFile("/data/rows.csv")
	inputs, inputsErr := os.ReadFile(r.Inputs)
	_, realKept := settings["rate"].(float64)
	writeErr := os.WriteFile(r.Inputs, nil, 0o600)
	metrics := map[string]float64{
		"data":     yes[dataErr == nil && string(data) == "1,2\n"],
		"inputs":   yes[inputsErr == nil && bytes.Equal(inputs, oneTensor(5))],
		"readonly": yes[writeErr != nil],
		"settings": yes[realKept && settings["name"] == "x"],
		"epochs":   r.Arguments["epochs"].(float64),
		"round":    float64(r.Round),
		"env":      yes[os.Getenv("PLAN") == "p" && os.Getenv("SITE") == "s" && os.Getenv("HOME") == scratch && os.Getenv("SECRET") == ""],
	}
	if err := json.NewEncoder(out).Encode(map[string]any{"id": r.ID, "ok": true, "metrics": metrics, "data_size": -1, "tensors": false}); err != nil {
		return 76
	}
	return -1
}

// doubleCopies maps its input and writes it as its output, which is the least
// that a task which makes a new model of the same size can do.
func doubleCopies(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		return err
	}
	return syscall.Munmap(data)
}

// oneTensor is a safetensors file with one value.
func oneTensor(v float32) []byte {
	var b bytes.Buffer
	err := tensor.WriteSafetensors(&b, nil, []tensor.Source{{
		Info: tensor.Info{Name: "w", DType: tensor.F32, Shape: []int{1}}, Data: bytes.NewReader(tensor.AppendFloat32s(nil, []float32{v})),
	}})
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// doubleExecutable is the test binary at a place that every user can reach.
func doubleExecutable(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := reachable(t)
	to := filepath.Join(dir, "double")
	err = os.Link(self, to)
	if err != nil {
		err = copyFile(to, self)
	}
	if err := errors.Join(err, os.Chmod(to, 0o755)); err != nil {
		t.Fatal(err)
	}
	return to
}

// reachable is a temporary folder that task code may enter, whoever it runs as.
func reachable(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fx-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
