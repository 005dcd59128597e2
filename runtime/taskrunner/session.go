package taskrunner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"fx/runtime/sandbox"
)

// How long to wait for what should take no time.
const (
	exitGrace   = 2 * time.Second         // from the end of a process's output to its end
	byeGrace    = 5 * time.Second         // for bye, and again to exit
	drainGrace  = 2 * time.Second         // for the rest of its log after its end
	logSilence  = 30 * time.Millisecond   // its log is complete when it has said nothing for so long
	readBuffer  = 64 << 10                // bytes
	taskLogName = "task.log"              // in Options.Scratch
	ioPattern   = "output-%d.safetensors" // below sandbox.IODir; the number is the request's
)

// session is one boxed process that speaks the task protocol.
type session struct {
	box     *sandbox.Process
	in      *os.File // its standard input
	out     *os.File // its standard output
	answers *bufio.Reader
	drained chan struct{} // closed when its standard error has ended
	stderr  *os.File
	hello   helloAnswer
	last    int // id of the last request
	limits  sandbox.Limits
	log     *taskLog
}

// startSession starts the process; the pipes to it are the only channel.
func startSession(ctx context.Context, b sandbox.Box, log *taskLog) (s *session, err error) {
	var ours, theirs [3]*os.File // stdin, stdout, stderr
	defer func() {
		for i := range theirs {
			closeAll(theirs[i])
			if err != nil {
				closeAll(ours[i])
			}
		}
	}()
	for i := range ours {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("cannot make a pipe for the task code: %v", err)
		}
		if ours[i], theirs[i] = r, w; i == 0 {
			ours[i], theirs[i] = w, r
		}
	}
	b.Stdin, b.Stdout, b.Stderr = theirs[0], theirs[1], theirs[2]
	p, err := sandbox.Start(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("cannot start the task code: %w", err)
	}
	s = &session{box: p, in: ours[0], out: ours[1], stderr: ours[2], answers: bufio.NewReaderSize(ours[1], readBuffer),
		drained: make(chan struct{}), limits: b.Limits, log: log}
	go func() {
		defer close(s.drained)
		log.copy(s.stderr)
	}()
	return s, nil
}

func closeAll(f *os.File) {
	if f != nil {
		_ = f.Close() // a pipe
	}
}

// ask sends one request and reads the answer to it. The request must have the id
// that next gave. After an error that is no *taskError the session is of no more
// use. When ctx ends or limit has passed, everything in the box is killed.
func (s *session) ask(ctx context.Context, limit time.Duration, r any, into reply) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	s.log.begin()
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stopped := context.AfterFunc(bounded, func() {
		s.box.Kill()
		_ = s.out.SetReadDeadline(time.Unix(1, 0)) // long past: whatever holds the other end
		_ = s.in.SetWriteDeadline(time.Unix(1, 0))
	})
	answer, err := s.exchange(line)
	switch {
	case stopped():
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return fmt.Errorf("it did not answer within %v and was stopped", limit)
	}
	if errors.Is(err, errEnded) {
		return s.ending()
	}
	if err != nil {
		return err
	}
	return decode(answer, s.last, into)
}

var errEnded = errors.New("the process has closed its end")

func (s *session) exchange(request []byte) (answer []byte, err error) {
	if _, err := s.in.Write(request); err != nil {
		return nil, errEnded
	}
	for {
		part, err := s.answers.ReadSlice('\n')
		answer = append(answer, part...)
		switch {
		case len(answer) > maxLine+1:
			return nil, fmt.Errorf("it wrote a line of more than %d bytes on its standard output: %q", maxLine, cut(answer))
		case err == nil:
			return answer[:len(answer)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(answer) > 0:
			return nil, fmt.Errorf("it ended, or closed its standard output, in the middle of a line: %q", cut(answer))
		default:
			return nil, errEnded
		}
	}
}

// next gives the id of the next request.
func (s *session) next(op string) request {
	s.last++
	return request{ID: s.last, Op: op}
}

// ending says how a process ended that should have answered.
func (s *session) ending() error {
	exit, ended := s.wait(exitGrace)
	switch {
	case !ended:
		return errors.New("it closed its standard input or output without answering")
	case exit.OutOfMemory:
		allowed := ""
		if s.limits.Memory > 0 {
			allowed = fmt.Sprintf(" of the %s that it may use", size(s.limits.Memory))
		}
		return fmt.Errorf("it ran out of memory%s and was ended; give it more with --box-memory, or box.memory in the plan", allowed)
	case exit.OutOfScratch:
		return errors.New("it wrote more than it may and was ended; give it more with --box-scratch, or box.scratch in the plan")
	case exit.Signal != "":
		return fmt.Errorf("it was ended by the signal %s instead of answering", exit.Signal)
	}
	return fmt.Errorf("it exited with code %d instead of answering", exit.Code)
}

// wait waits for the end of the process for some time.
func (s *session) wait(limit time.Duration) (sandbox.Exit, bool) {
	ended := make(chan sandbox.Exit, 1)
	go func() { ended <- s.box.Wait() }()
	select {
	case exit := <-ended:
		return exit, true
	case <-time.After(limit):
		return sandbox.Exit{}, false
	}
}

// bye ends the process in an orderly way, as far as it takes part.
func (s *session) bye() {
	var a byeAnswer
	if err := s.ask(context.Background(), byeGrace, &struct{ request }{s.next(opBye)}, &a); err != nil {
		return
	}
	_ = s.in.Close()
	s.wait(byeGrace)
}

// end kills what is left and lets go of everything. The log is complete then.
func (s *session) end() {
	s.box.Kill()
	s.box.Wait()
	select {
	case <-s.drained:
	case <-time.After(drainGrace):
	}
	closeAll(s.in)
	closeAll(s.out)
	closeAll(s.stderr)
	<-s.drained
}
