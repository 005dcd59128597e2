package wasm_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fx/runtime/wasm"
)

// What follows writes modules byte by byte, as the binary format of the
// WebAssembly core specification says (section 5.5).

const wasiName = "wasi_snapshot_preview1"

func section(id byte, items ...[]byte) []byte {
	body := append([]byte{byte(len(items))}, slices.Concat(items...)...)
	if len(body) > 127 {
		panic("a section of these tests has at most 127 bytes")
	}
	return append([]byte{id, byte(len(body))}, body...)
}

func name(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func join(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			b = append(b, p...)
		case string:
			b = append(b, name(p)...)
		case int:
			b = append(b, byte(p))
		}
	}
	return b
}

var (
	noArguments = []byte{0x60, 0, 0}
	twoNumbers  = []byte{0x60, 2, 0x7f, 0x7f, 1, 0x7f} // (i32, i32) -> i32
)

func body(code ...byte) []byte {
	return append([]byte{byte(len(code) + 2), 0}, append(code, 0x0b)...)
}

func assemble(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), slices.Concat(sections...)...)
}

// program is a module that does as code says in _start.
func program(code ...byte) []byte {
	return assemble(
		section(1, noArguments),
		section(3, []byte{0}),
		section(5, []byte{0, 1}),
		section(7, join("_start", 0, 0), join("memory", 2, 0)),
		section(10, body(code...)),
	)
}

// importing is a module with one import.
func importing(what []byte) []byte {
	return assemble(
		section(1, noArguments, twoNumbers),
		section(2, what),
		section(3, []byte{0}),
		section(5, []byte{0, 1}),
		section(7, join("_start", 0, 0), join("memory", 2, 0)),
		section(10, body()),
	)
}

// Instructions.
const (
	unreachable = 0x00
	call        = 0x10
	i32const    = 0x41
)

// calling is a program that can call one function of WASI, its function 0.
func calling(function string, signature []byte, code ...byte) []byte {
	return assemble(
		section(1, noArguments, signature),
		section(2, join(wasiName, function, 0, 1)),
		section(3, []byte{0}),
		section(5, []byte{0, 1}),
		section(7, join("_start", 0, 1), join("memory", 2, 0)),
		section(10, body(code...)),
	)
}

// exiting is a program that ends with a code.
func exiting(code ...byte) []byte {
	return calling("proc_exit", []byte{0x60, 1, 0x7f, 0}, append(append([]byte{i32const}, code...), call, 0)...)
}

// declaring is a section that goes on with a number of 4,294,967,295.
func declaring(id byte, before ...byte) []byte {
	body := slices.Concat(before, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	return assemble([]byte{id, byte(len(body))}, body)
}

var modules = []struct {
	name    string
	data    []byte
	invalid bool
	want    string // part of the error, "" if it runs
}{
	{"a program that does nothing", program(), false, ""},
	{"a trap", program(unreachable), false, "unreachable"},
	{"endless recursion", program(call, 0), false, "stack overflow"},
	{"a call that the engine does not expect", calling("fd_filestat_set_times", []byte{0x60, 4, 0x7f, 0x7e, 0x7e, 0x7f, 1, 0x7f},
		i32const, 1, 0x42, 1, 0x42, 1, i32const, 1, call, 0, 0x1a), false, "nil pointer"}, // times of standard output
	{"empty", nil, true, "it is empty"},
	{"text", []byte("(module)"), true, "WebAssembly text"},
	{"native", []byte("\x7fELF\x02\x01\x01"), true, "fx.process.TaskRunner"},
	{"a script", []byte("#!/bin/sh\n"), true, "fx.process.TaskRunner"},
	{"a component", []byte("\x00asm\x0d\x00\x01\x00"), true, "WASI preview 2"},
	{"another version", []byte("\x00asm\x02\x00\x00\x00"), true, "its version of WebAssembly is 02000000"},
	{"noise", []byte("\x1b[2Jnoise and more"), true, `begins with "\x1b[2Jnois"`},
	{"cut short", program()[:20], true, "section"},
	{"something behind the end", append(program(), 0xff, 0xff), true, ""},
	{"no program", assemble(), true, "no function _start"},
	{"_start with arguments", assemble(
		section(1, twoNumbers), section(3, []byte{0}), section(5, []byte{0, 1}),
		section(7, join("_start", 0, 0), join("memory", 2, 0)), section(10, body(i32const, 0)),
	), true, "no function _start"},
	{"no memory", assemble(
		section(1, noArguments), section(3, []byte{0}), section(7, join("_start", 0, 0)), section(10, body()),
	), true, "exports no memory"},
	{"too much memory", assemble(
		section(1, noArguments), section(3, []byte{0}), section(5, join(0, 0x80, 0x80, 0x02)), // 32768 pages
		section(7, join("_start", 0, 0), join("memory", 2, 0)), section(10, body()),
	), true, "memory"},
	{"a foreign function", importing(join("env", "system", 0, 0)), true, `function "system" of "env"`},
	{"a WASI function that is none", importing(join(wasiName, "sock_open", 0, 0)), true, `function "sock_open" of "` + wasiName},
	{"a WASI function of another type", importing(join(wasiName, "fd_close", 0, 0)), true, `function "fd_close"`},
	{"a later WASI", importing(join("wasi:sockets/tcp@0.2.0", "connect", 0, 1)), true, `"wasi:sockets/tcp@0.2.0"`},
	{"a foreign name with control characters", importing(join("\x1b[31m", "\n", 0, 0)), true, `function "\n" of "\x1b[31m"`},
	{"a foreign memory", assemble(
		section(1, noArguments), section(2, join("env", "memory", 2, 0, 1)), section(3, []byte{0}),
		section(7, join("_start", 0, 0), join("memory", 2, 0)), section(10, body()),
	), true, `memory "memory" of "env"`},
	{"a foreign global", importing(join("env", "base", 3, 0x7f, 0)), true, "env"},
	{"a foreign table", importing(join("env", "table", 1, 0x70, 0, 1)), true, "env"},
	{"a start function that traps", assemble(
		section(1, noArguments), section(3, []byte{0}, []byte{0}), section(5, []byte{0, 1}),
		section(7, join("_start", 0, 0), join("memory", 2, 0)), []byte{8, 1, 1}, section(10, body(), body(unreachable)),
	), true, "unreachable"},
	{"custom sections, and any nonsense in them", assemble(
		section(0, name("name"), []byte{0xff, 0xff, 0xff}), program()[8:], section(0, name(".debug_info"), []byte{0xff}),
	), false, ""},
	{"more types than bytes", declaring(1), true, "section 1: it declares more than it has"},
	{"more imports than bytes", declaring(2), true, "section 2: it declares more than it has"},
	{"more functions than bytes", declaring(3), true, "section 3: it declares more than it has"},
	{"more tables than bytes", declaring(4), true, "section 4: it declares more than it has"},
	{"more globals than bytes", declaring(6), true, "section 6: it declares more than it has"},
	{"more exports than bytes", declaring(7), true, "section 7: it declares more than it has"},
	{"more elements than bytes", declaring(9), true, "section 9: it declares more than it has"},
	{"more code than bytes", declaring(10), true, "section 10: it declares more than it has"},
	{"more data than bytes", declaring(11), true, "section 11: it declares more than it has"},
	{"more parameters than bytes", declaring(1, 1, 0x60), true, "section 1: it declares more than it has"},
	{"an import's name longer than the module", declaring(2, 1), true, "section 2: it declares more than it has"},
	{"more functions in a table than bytes", declaring(9, 1, 0, i32const, 0, 0x0b), true, "section 9: it declares more than it has"},
	{"more expressions in a table than bytes", declaring(9, 1, 4, i32const, 0, 0x0b), true, "section 9: it declares more than it has"},
	{"data longer than the module", declaring(11, 1, 0, i32const, 0, 0x0b), true, "section 11: it declares more than it has"},
	{"a large table", declaring(4, 1, 0x70, 0), true, "a table has 4294967295 entries"},
	{"many variables", assemble(section(10, []byte{8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b})), true, "a function has 4294967295 variables"},
	{"a number without end", assemble([]byte{1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}), true, "more than 32 bits"},
	{"types that are no functions", assemble(section(1, []byte{0x5f, 0})), true, "the form 0x5f"},
	{"a constant that computes", assemble(section(11, []byte{0, 0x41, 0, 0x6a, 0x0b, 0})), true, "the instruction 0x6a"},
	{"data outside the memory", assemble(
		section(1, noArguments), section(3, []byte{0}), section(5, []byte{0, 1}),
		section(7, join("_start", 0, 0), join("memory", 2, 0)), section(10, body()),
		section(11, join(0, i32const, 0xff, 0xff, 0x03, 0x0b, "data")), // at 65535
	), true, "data"},
}

func runModule(t testing.TB, data []byte) (int, error) {
	t.Helper()
	return wasm.Run(context.Background(), wasm.Config{Module: moduleFile(t, data), Memory: 1 << 20})
}

func moduleFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestModules(t *testing.T) {
	for _, tt := range modules {
		t.Run(tt.name, func(t *testing.T) {
			code, err := runModule(t, tt.data)
			switch {
			case code != 0:
				t.Errorf("got code %d", code)
			case (err != nil) != (tt.invalid || tt.want != ""), err != nil && !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %q", err, tt.want)
			case errors.Is(err, wasm.ErrInvalid) != tt.invalid:
				t.Errorf("got %v; wraps ErrInvalid: %v, want %v", err, !tt.invalid, tt.invalid)
			}
		})
	}
}

func TestExitCodeIsPassedOn(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want int
	}{
		{"0", exiting(0), 0},
		{"7", exiting(7), 7},
		{"256", exiting(0x80, 2), 256},
	} {
		if got, err := runModule(t, tt.data); got != tt.want || err != nil {
			t.Errorf("%s: got %d, %v", tt.name, got, err)
		}
	}
}

func TestModuleSizeIsLimited(t *testing.T) {
	path := moduleFile(t, program())
	if err := os.Truncate(path, 256<<20+1); err != nil {
		t.Fatal(err)
	}
	_, err := wasm.Run(context.Background(), wasm.Config{Module: path})
	if !errors.Is(err, wasm.ErrInvalid) || !strings.Contains(err.Error(), "at most 268435456") {
		t.Errorf("got %v", err)
	}
}

// A module that cannot be run must say so by an error, whatever its bytes. Those
// that can be run are not: they may never end.
func FuzzModule(f *testing.F) {
	if len(modules) == 0 {
		f.Fatal("there is nothing to begin with")
	}
	for _, m := range modules {
		f.Add(m.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		if err := wasm.Load(moduleFile(t, data), 1<<20); err != nil && !errors.Is(err, wasm.ErrInvalid) {
			t.Errorf("got %v, which is not ErrInvalid", err)
		}
	})
}
