// Command guest does what the tests tell it, one line per order: it is built for
// WASI preview 1 and answers with what its system calls answered.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

//go:wasmimport wasi_snapshot_preview1 sock_accept
//go:noescape
func sockAccept(fd int32, flags int32, into unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_shutdown
//go:noescape
func sockShutdown(fd int32, how int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_times
//go:noescape
func setTimes(fd int32, access, modified int64, flags int32) uint32

var kept [][]byte

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		os.Stdout.WriteString(strings.ReplaceAll(do(words[0], words[1:]), "\n", " ") + "\n")
	}
}

func do(verb string, a []string) string {
	switch verb {
	case "args":
		return strings.Join(os.Args, " ")
	case "env":
		return strings.Join(os.Environ(), " ")
	case "pwd":
		return answer(os.Getwd())
	case "read":
		b, err := os.ReadFile(a[0])
		return answer(string(b), err)
	case "readat": // PATH OFFSET
		f, err := os.Open(a[0])
		if err != nil {
			return answer("", err)
		}
		defer f.Close()
		b := make([]byte, 4)
		n, err := f.ReadAt(b, number(a[1]))
		return answer(string(b[:n]), err)
	case "large": // PATH: a read of all that fits into a buffer of 64 MiB
		f, err := os.Open(a[0])
		if err != nil {
			return answer("", err)
		}
		defer f.Close()
		n, err := f.Read(make([]byte, 64<<20))
		return answer(strconv.Itoa(n), err)
	case "write":
		return answer("written", os.WriteFile(a[0], []byte(a[1]), 0o600))
	case "append":
		f, err := os.OpenFile(a[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return answer("", err)
		}
		_, err = f.WriteString(a[1])
		return answer("written", errors.Join(err, f.Close()))
	case "create":
		f, err := os.OpenFile(a[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return answer("", err)
		}
		return answer("created", f.Close())
	case "writero": // writes to a file that was opened to read
		f, err := os.Open(a[0])
		if err != nil {
			return answer("", err)
		}
		defer f.Close()
		_, err = f.WriteString("x")
		return answer("written", err)
	case "closed": // reads from a descriptor that was closed
		f, err := os.Open(a[0])
		if err != nil {
			return answer("", err)
		}
		fd := int(f.Fd())
		f.Close()
		_, err = syscall.Read(fd, make([]byte, 1))
		return answer("read", err)
	case "descriptors": // reads from the descriptors that nobody gave
		for fd := 20; fd < 200; fd++ {
			if _, err := syscall.Read(fd, make([]byte, 1)); !errors.Is(err, syscall.EBADF) {
				return "descriptor " + strconv.Itoa(fd) + " is open"
			}
		}
		return "none"
	case "stat":
		info, err := os.Stat(a[0])
		if err != nil {
			return answer("", err)
		}
		return info.Mode().Type().String() + " " + strconv.FormatInt(info.Size(), 10)
	case "lstat":
		info, err := os.Lstat(a[0])
		if err != nil {
			return answer("", err)
		}
		return info.Mode().Type().String()
	case "list": // twice, by one handle
		f, err := os.Open(a[0])
		if err != nil {
			return answer("", err)
		}
		defer f.Close()
		first, err := f.Readdirnames(-1)
		if err != nil {
			return answer("", err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return answer("", err)
		}
		again, err := f.Readdirnames(-1)
		if len(again) != len(first) {
			return "a second look differs"
		}
		return answer(strings.Join(first, " "), err)
	case "readlink":
		return answer(os.Readlink(a[0]))
	case "mkdir":
		return answer("made", os.Mkdir(a[0], 0o700))
	case "unlink":
		return answer("removed", syscall.Unlink(a[0]))
	case "rmdir":
		return answer("removed", syscall.Rmdir(a[0]))
	case "rename":
		return answer("renamed", os.Rename(a[0], a[1]))
	case "link":
		return answer("linked", os.Link(a[0], a[1]))
	case "symlink":
		return answer("linked", os.Symlink(a[0], a[1]))
	case "truncate":
		return answer("truncated", os.Truncate(a[0], number(a[1])))
	case "chtimes":
		return answer("changed", os.Chtimes(a[0], time.Time{}, time.Unix(number(a[1]), 0)))
	case "clock":
		if now := time.Now(); now.Year() < 2024 || time.Since(now) < 0 {
			return "wrong"
		}
		return "right"
	case "sleep":
		start := time.Now()
		time.Sleep(20 * time.Millisecond)
		if time.Since(start) < 20*time.Millisecond {
			return "short"
		}
		return "slept"
	case "random":
		b := make([]byte, 16)
		rand.Read(b)
		return hex.EncodeToString(b)
	case "dial":
		_, err := net.DialTimeout("tcp", a[0], time.Second)
		return answer("connected", err)
	case "listen":
		_, err := net.Listen("tcp", "127.0.0.1:0")
		return answer("listening", err)
	case "sockets": // asks every descriptor for a connection
		var fd int32
		for i := int32(0); i < 64; i++ {
			if errno := sockAccept(i, 0, unsafe.Pointer(&fd)); errno == 0 {
				return "accepted"
			}
			if errno := sockShutdown(i, 3); errno == 0 {
				return "shut down"
			}
		}
		return "none"
	case "grow": // until there is no more, up to 1 GiB
		for range 1 << 10 {
			kept = append(kept, make([]byte, 1<<20))
		}
		return "grown"
	case "spin":
		for i := 0; ; i++ {
		}
	case "recurse":
		return strconv.Itoa(recurse(1))
	case "panic":
		panic("the guest's own")
	case "times": // of standard output, which belongs to no folder
		return "errno " + strconv.Itoa(int(setTimes(1, 1, 1, 1)))
	case "exit":
		os.Exit(int(number(a[0])))
	}
	return "unknown order"
}

func recurse(n int) int { return 1 + recurse(n+1) }

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func answer(text string, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return text
}
