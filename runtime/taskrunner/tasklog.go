package taskrunner

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Bounds on what is kept of a task's standard error.
const (
	maxLogFile   = 8 << 20 // bytes; one older file of this size is kept beside it
	maxLogLine   = 4096    // bytes; longer lines are broken
	maxTail      = 20      // lines shown to the operator when a task fails
	maxTailLine  = 500     // characters of each
	maxDebugLine = 1000    // lines per request that go to the operator's log
)

// taskLog keeps what task code writes on its standard error: all of it in a
// file, the last lines for messages.
type taskLog struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File
	written int64
	tail    []string
	lines   int           // since the last request
	heard   chan struct{} // gets a token with every line, if it has room
}

func openTaskLog(path string, log *slog.Logger) (*taskLog, error) {
	f, err := createLog(path)
	if err != nil {
		return nil, err
	}
	return &taskLog{path: path, log: log, file: f, heard: make(chan struct{}, 1)}, nil
}

func createLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the task code's log: %v", err)
	}
	return f, nil
}

// copy reads r to its end. What cannot be written is lost, and said once.
func (l *taskLog) copy(r io.Reader) {
	b := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			l.add(clean(strings.TrimRight(string(line), "\r\n"), maxLogLine))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (l *taskLog) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail = append(l.tail, line); len(l.tail) > maxTail {
		l.tail = l.tail[1:]
	}
	if l.lines++; l.lines <= maxDebugLine {
		l.log.Debug("task code", "line", line)
	} else if l.lines == maxDebugLine+1 {
		l.log.Debug("task code says more, see its log", "file", l.path)
	}
	l.write(line)
	select {
	case l.heard <- struct{}{}:
	default:
	}
}

func (l *taskLog) write(line string) {
	if l.file == nil {
		return
	}
	if l.written+int64(len(line))+1 > maxLogFile {
		l.rotate()
	}
	n, err := io.WriteString(l.file, line+"\n")
	l.written += int64(n)
	if err != nil {
		l.log.Warn("the task code's log is not kept any more", "file", l.path, "error", err.Error())
		_ = l.file.Close() // it is broken already
		l.file = nil
	}
}

// rotate starts a new file. If that goes wrong, the next write says so.
func (l *taskLog) rotate() {
	_ = l.file.Close() // all of it was written, and it need not be durable
	_ = os.Rename(l.path, l.path+".1")
	l.file, _ = createLog(l.path)
	l.written = 0
}

// begin starts the count of lines for a new request.
func (l *taskLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = 0
}

// settle waits until the task code has been silent for a moment: what it wrote
// before its answer may still be in the pipe.
func (l *taskLog) settle(silence time.Duration) {
	for range 2 * maxTail {
		select {
		case <-l.heard:
		case <-time.After(silence):
			return
		}
	}
}

// show tells the operator the last lines, once.
func (l *taskLog) show() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.tail {
		l.log.Error("task code", "line", clean(line, maxTailLine))
	}
	l.tail = nil
}

func (l *taskLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}

// clean makes one line of hostile text that drives no terminal and hides
// nothing: what is not printable (control characters, direction marks, bytes
// that are no UTF-8) is escaped. It is cut after limit characters.
func clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for len(s) > 0 {
		if n++; n > limit {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\t' || strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}
