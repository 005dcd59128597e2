package main

import (
	"encoding/json"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"fx/cli/ui"
	"fx/runtime/sandbox"
)

// TestDoctor tries every layer, on whatever host this is.
func TestDoctor(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the box is for Linux")
	}
	var out, messages strings.Builder
	code := run([]string{"fxrun", "doctor", "--box", "confined"}, strings.NewReader(""), &out, &messages)
	for _, line := range []string{
		`^LAYER +STATE +DETAIL`, `user namespace +(ok|missing)`, `cgroup memory +(ok|missing)`, `full: (yes|no)`, `confined: (yes|no)`,
	} {
		if !regexp.MustCompile(`(?m)` + line).MatchString(out.String()) {
			t.Errorf("no line %q in\n%s", line, out.String())
		}
	}
	out.Reset()
	again := run([]string{"fxrun", "doctor", "--box", "confined", "--json"}, strings.NewReader(""), &out, &messages)
	var r doctorResult
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if again != code || r.OK != (code == ui.OK) || len(r.Levels) != 2 || len(r.Layers) < 10 {
		t.Errorf("exit codes %d and %d, result %+v", code, again, r)
	}
	if (code != ui.OK) != strings.Contains(messages.String(), "cannot make a box") {
		t.Errorf("exit code %d, messages %q", code, messages.String())
	}
}

func TestDoctorSaysWhatToChange(t *testing.T) {
	const fix = "set user.max_user_namespaces above 0"
	r := &doctorResult{
		Level: "full",
		Levels: []sandbox.Finding{
			{Layer: "full", Whole: true, Detail: "no user namespaces", Fix: fix},
			{Layer: "confined", Whole: true, OK: true, Detail: "landlock 7, seccomp"},
		},
		Layers: []sandbox.Finding{
			{Layer: "user namespace", Detail: "clone: operation not permitted\x1b[2J", Fix: fix},
			{Layer: "landlock", OK: true, Detail: "version 7"},
		},
	}
	var text strings.Builder
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"missing", `\x1b[2J`, "To get user namespace: " + fix, "full: no: no user namespaces\n", "confined: yes\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if n := strings.Count(text.String(), fix); n != 1 {
		t.Errorf("the same advice %d times in\n%s", n, text.String())
	}
	if err := r.judge(); err == nil || !strings.Contains(err.Error(), "no user namespaces") {
		t.Errorf("%v, want why there is no full box", err)
	}
	r.Level = "confined"
	if err := r.judge(); err != nil {
		t.Errorf("%v, want nothing: a confined box works", err)
	}
}
