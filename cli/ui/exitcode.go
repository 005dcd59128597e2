package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ExitCode is what a program of this repository returns to its caller. Codes
// are a contract with scripts: a code never changes its meaning.
type ExitCode int

// The exit codes of both programs.
const (
	OK          ExitCode = 0
	Failed      ExitCode = 1
	Usage       ExitCode = 2
	Invalid     ExitCode = 3
	Untrusted   ExitCode = 4
	Incomplete  ExitCode = 5
	Unreachable ExitCode = 6
	Interrupted ExitCode = 130
)

// exitCodes is the table that help, documentation and tests share.
var exitCodes = []struct {
	Code    ExitCode
	Meaning string
}{
	{OK, "done"},
	{Failed, "failed for a reason that has no code of its own"},
	{Usage, "usage"},
	{Invalid, "a document is invalid (plan, CSR, bundle, policy, model)"},
	{Untrusted, "not trusted (signature, chain, role, revocation, approval, fingerprint)"},
	{Incomplete, "the federation ended without completing"},
	{Unreachable, "could not connect; --json names the cause"},
	{Interrupted, "interrupted"},
}

// WriteExitCodes prints the table of exit codes, one a line.
func WriteExitCodes(w io.Writer) error {
	for _, e := range exitCodes {
		if _, err := fmt.Fprintf(w, "   %3d  %s\n", int(e.Code), e.Meaning); err != nil {
			return err
		}
	}
	return nil
}

// codedError carries an exit code with an error.
type codedError struct {
	code ExitCode
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// Code says that err ends the program with the given code. A nil err stays nil.
func Code(code ExitCode, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code: code, err: err}
}

// Usagef is a mistake on the command line: exit code 2.
func Usagef(format string, a ...any) error {
	return Code(Usage, fmt.Errorf(format, a...))
}

// hintedError carries what a person can type next.
type hintedError struct {
	hint string
	err  error
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// Hint adds a line "hint: …" to err's message: a command that can be typed, or
// what else to do. The outermost hint wins. A nil err stays nil.
func Hint(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return &hintedError{hint: fmt.Sprintf(format, a...), err: err}
}

// hintOf returns the outermost hint of err, or "". Packages that may not import
// this one carry hints through a method `Hint() string`.
func hintOf(err error) string {
	if h, ok := errors.AsType[*hintedError](err); ok {
		return h.hint
	}
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

// codeOf finds the exit code of err: one that was set with [Code], then what
// classify says, then the context's end, then [Failed].
func codeOf(err error, classify func(error) ExitCode) ExitCode {
	if err == nil {
		return OK
	}
	if c, ok := errors.AsType[*codedError](err); ok {
		return c.code
	}
	if classify != nil {
		if c := classify(err); c != OK {
			return c
		}
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}
