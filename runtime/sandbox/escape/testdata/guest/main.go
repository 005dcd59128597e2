// Command guest is task code in WebAssembly that tries to get out of its box. It
// is called with the bait; it prints a line for each attempt: its name, and what
// it caught or why it caught nothing.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
)

type bait struct{ Key, Secret, TCP, Unix string }

var attempts = map[string]func(bait) (string, error){
	"read a private key by its path":         func(b bait) (string, error) { return read(b.Key) },
	"read the host's password hashes":        func(bait) (string, error) { return read("/etc/shadow") },
	"list home folders":                      func(bait) (string, error) { return list("/root") },
	"climb out of the root with ..":          func(b bait) (string, error) { return read("/scratch" + strings.Repeat("/..", 40) + b.Key) },
	"read the environment of fxrun in /proc": func(bait) (string, error) { return read("/proc/1/environ") },
	"see a secret in the environment":        environment,
	"find a descriptor that was left open":   descriptors,
	"write to the approved code":             func(bait) (string, error) { return write("/workspace/src/code.py") },
	"add a file to the code":                 func(bait) (string, error) { return write("/workspace/src/more.py") },
	"replace the code by renaming": func(bait) (string, error) {
		return "renamed", os.Rename("/workspace/src/code.py", "/scratch/code.py")
	},
	"write to the site's data": func(bait) (string, error) { return write("/data/rows.csv") },
	"delete the site's data":   func(bait) (string, error) { return "deleted", os.Remove("/data/rows.csv") },
	"link the data into scratch, to write there": func(bait) (string, error) {
		if err := os.Link("/data/rows.csv", "/scratch/rows.csv"); err != nil {
			return "", err
		}
		return write("/scratch/rows.csv")
	},
	"reach the key through a symbolic link in scratch": func(b bait) (string, error) {
		if err := os.Symlink(b.Key, "/scratch/link"); err != nil {
			return "", err
		}
		return read("/scratch/link")
	},
	"open a disk or the machine's memory": func(bait) (string, error) { return read("/dev/mem") },
	"connect to the host over TCP": func(b bait) (string, error) {
		c, err := net.Dial("tcp", b.TCP)
		return fmt.Sprint(c), err
	},
	"listen on a port": func(bait) (string, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		c, err := net.Dial("tcp", l.Addr().String()) // Go's network inside a guest reaches the guest alone
		if err != nil {
			return "", err
		}
		return "", fmt.Errorf("only the module itself is at %v", c.RemoteAddr())
	},
	"connect to a Unix socket by its path": func(b bait) (string, error) {
		c, err := net.Dial("unix", b.Unix)
		return fmt.Sprint(c), err
	},
	"look up a name": func(bait) (string, error) {
		a, err := net.LookupHost("example.com")
		return fmt.Sprint(a), err
	},
	"run a program of the host": func(bait) (string, error) {
		out, err := exec.Command("/bin/sh", "-c", "id").Output()
		return string(out), err
	},
	"write to the root folder": func(bait) (string, error) { return write("/new") },
}

func read(name string) (string, error) {
	b, err := os.ReadFile(name)
	return fmt.Sprintf("%.64q", b), err
}

func write(name string) (string, error) {
	return "wrote " + name, os.WriteFile(name, []byte("owned"), 0o600)
}

func list(name string) (string, error) {
	entries, err := os.ReadDir(name)
	return fmt.Sprint(entries), err
}

func environment(b bait) (string, error) {
	if strings.Contains(strings.Join(os.Environ(), "\n"), b.Secret) {
		return "the secret", nil
	}
	return "", fmt.Errorf("not there")
}

func descriptors(bait) (string, error) {
	for fd := uintptr(3); fd < 64; fd++ {
		f := os.NewFile(fd, "")
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			return fmt.Sprint(fd, " ", info.Mode()), nil
		}
	}
	return "", fmt.Errorf("only the folders that it is shown")
}

func main() {
	var b bait
	if err := json.Unmarshal([]byte(os.Args[1]), &b); err != nil {
		panic(err)
	}
	for name, try := range attempts {
		if got, err := try(b); err != nil {
			fmt.Printf("%s\tNOTHING %v\n", name, err)
		} else {
			fmt.Printf("%s\tCAUGHT %s\n", name, got)
		}
	}
}
