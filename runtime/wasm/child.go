package wasm

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
)

// ChildName is what the program is called when it is to be a module's host.
const ChildName = "fxrun-wasm"

// Exit codes of the child that are not the module's own, from sysexits(3).
const (
	ExitUsage   = 64 // its arguments are wrong
	ExitInvalid = 65 // the module cannot be run: ErrInvalid
	ExitTrapped = 70 // the module trapped, or the host failed
)

// boxFolders are the folders of package sandbox, and what a module may do there.
// Whatever else a box shows it can read once it is named with -mount.
var boxFolders = []Mount{
	{Guest: "/workspace"},
	{Guest: "/data"},
	{Guest: "/inputs"},
	{Guest: "/io", Write: true},
	{Guest: "/scratch", Write: true},
}

// Child is the first statement of a main function, or of TestMain. When the
// program was started as fxrun-wasm it runs a module and exits with its code;
// otherwise it returns at once.
//
//	fxrun-wasm [-memory BYTES] [-mount GUEST=HOST]… MODULE [ARGUMENT]…
//
// The module has the process's environment and standard streams, and those of
// the box's folders that are there. -mount says that one of them, or another,
// is elsewhere, as in a box without a root of its own; HOST may be empty to take
// one away. /io and /scratch are writable, everything else is not.
func Child() {
	if len(os.Args) > 0 && filepath.Base(os.Args[0]) == ChildName {
		os.Exit(child(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
	}
}

func child(args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c, err := parse(args)
	if err != nil {
		complain(stderr, err)
		return ExitUsage
	}
	c.Env, c.Stdin, c.Stdout, c.Stderr = workingDir(env), stdin, stdout, stderr
	code, err := Run(context.Background(), c)
	switch {
	case errors.Is(err, ErrInvalid):
		complain(stderr, err)
		return ExitInvalid
	case err != nil:
		complain(stderr, err)
		return ExitTrapped
	case code&0xff == 0 && code != 0:
		return 1 // an operating system has 8 bits for it, and these would say that all is well
	}
	return code
}

func parse(args []string) (Config, error) {
	var c Config
	elsewhere := map[string]string{}
	flags := flag.NewFlagSet(ChildName, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // complain says it
	flags.Int64Var(&c.Memory, "memory", 0, "")
	flags.Func("mount", "", func(value string) error {
		guest, host, ok := strings.Cut(value, "=")
		if !ok || !path.IsAbs(guest) || path.Clean(guest) != guest {
			return errors.New("GUEST=HOST was expected, such as /data=/srv/data")
		}
		elsewhere[guest] = host
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() == 0 {
		return c, errors.New("no module is named")
	}
	c.Module, c.Args = flags.Arg(0), flags.Args()[1:]
	c.Mounts = place(elsewhere)
	return c, nil
}

// place gives the box's folders that are there, and those that were named.
func place(elsewhere map[string]string) []Mount {
	var mounts []Mount
	for _, m := range boxFolders {
		host, named := elsewhere[m.Guest]
		delete(elsewhere, m.Guest)
		if !named {
			m.Host = m.Guest
			if info, err := os.Stat(m.Host); err != nil || !info.IsDir() {
				continue
			}
		} else if m.Host = host; host == "" {
			continue
		}
		mounts = append(mounts, m)
	}
	for guest, host := range elsewhere {
		if host != "" {
			mounts = append(mounts, Mount{Host: host, Guest: guest})
		}
	}
	return mounts
}

// workingDir adds the folder that relative names begin at, which WASI itself does
// not have: Go's runtime takes it from PWD.
func workingDir(env []string) []string {
	for _, variable := range env {
		if strings.HasPrefix(variable, "PWD=") {
			return env
		}
	}
	return append(env, "PWD=/workspace")
}

// complain writes an error as one line of printable text, however long and odd
// the names are that a module has given its functions.
func complain(w io.Writer, err error) {
	text := strings.ReplaceAll(strings.ReplaceAll(err.Error(), "\n\t", "; "), "\n", "; ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	fmt.Fprintf(w, "%s: %.2000s\n", ChildName, text)
}
