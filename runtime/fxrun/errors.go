package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"fx/bundle/approval"
	"fx/ca/identity"
	"fx/ca/trust"
	"fx/cli/ui"
	"fx/runtime/collaborator"
	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/runtime/transport"
	"fx/schema"
)

// classify gives the exit code of what other packages return.
func classify(err error) ui.ExitCode {
	if _, ok := errors.AsType[*transport.Failure](err); ok && !errors.Is(err, collaborator.ErrIncomplete) {
		return ui.Unreachable
	}
	switch {
	case errors.Is(err, collaborator.ErrIncomplete):
		return ui.Incomplete
	case errors.Is(err, identity.ErrUntrusted):
		return ui.Untrusted
	case errors.Is(err, schema.ErrInvalid), errors.Is(err, identity.ErrInvalid), errors.Is(err, tensor.ErrInvalid):
		return ui.Invalid
	}
	return ui.OK
}

// connectionError gives a failed connection its cause in --json and its hint.
type connectionError struct{ failure *transport.Failure }

func (e *connectionError) Error() string { return e.failure.Error() }
func (e *connectionError) Unwrap() error { return e.failure }

// Details implements [ui.Detailed].
func (e *connectionError) Details() map[string]any {
	return map[string]any{"cause": e.failure.Cause, "address": e.failure.Addr, "detail": e.failure.Detail}
}

// explain adds to err what the user interface shows beyond the message.
func explain(err error) error {
	f, ok := errors.AsType[*transport.Failure](err)
	if !ok || errors.Is(err, collaborator.ErrIncomplete) {
		return err
	}
	var out error = &connectionError{failure: f}
	if f.Hint != "" {
		out = ui.Hint(out, "%s", f.Hint)
	}
	return out
}

// unapprovedError gives a refusal of the policy its cause in --json.
type unapprovedError struct{ error }

func (e *unapprovedError) Unwrap() error { return e.error }

// Details implements [ui.Detailed].
func (e *unapprovedError) Details() map[string]any {
	return map[string]any{"cause": transport.CauseNotApproved}
}

// unapproved adds to a refusal of the policy who must do what.
func unapproved(err error, path string) error {
	if r, ok := errors.AsType[*approval.Refusal](err); ok {
		return ui.Hint(&unapprovedError{err}, "%s", r.Hint(path))
	}
	return err
}

// uncertified adds to the lack of a certificate how to come by one.
func uncertified(err error, config trust.Config) error {
	crt, _, _ := identity.Files(config.CertDir, config.Role, strings.ToLower(config.Name))
	if _, missing := os.Stat(crt); errors.Is(missing, fs.ErrNotExist) {
		return ui.Hint(err, "fxctl cert request --role %s --name %s", config.Role, config.Name)
	}
	return err
}

// unusable is a plan that this program refuses although it is well formed.
func unusable(format string, a ...any) error {
	return fmt.Errorf(format+": %w", append(a, schema.ErrInvalid)...)
}

// diskHint adds to the trouble of a disk what to look at. Nothing is lost: the same
// command goes on where it was.
func diskHint(err error) error {
	if !journal.DiskTrouble(err) {
		return err
	}
	return ui.Hint(err, "df -h shows how full the disk is; once it takes files again, start the same command: nothing that was acknowledged is lost")
}
