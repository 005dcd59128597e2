package command_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"fx/cli/command"
)

// TestMain lets this test binary be fxctl when a script calls it by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fxctl": func() { os.Exit(int(command.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))) },
	})
}

// TestScripts runs testdata/script/*.txtar: each is a session as a user would
// type it. Beyond testscript's own commands there is
//
//	exits CODE PROGRAM ARGS…
//
// which runs a program and requires that very exit code, and
//
//	zip FILE DIR
//
// which packs what is in a folder, as OpenFL's export does. `registry` is in
// registry_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "zip": zipFolder, "registry": startRegistry},
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("cannot run %v: %v", args[1:], err)
		}
		got = code.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
