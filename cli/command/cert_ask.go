package command

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/term"

	"fx/cli/ui"
)

// ask asks a question by one of the console's methods. An interruption ends it
// at once, and leaves the terminal as it was, with its echo: a read that waits
// for a line would go on waiting.
func ask[T any](ctx context.Context, k *ui.Console, method func(question, flag string) (T, error), question, flag string) (T, error) {
	var none T
	in, ok := k.In.(interface{ Fd() uintptr })
	if !ok || !k.Interactive() {
		return method(question, flag) // which says that there is no terminal
	}
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return none, fmt.Errorf("cannot ask %q: %v", question, err)
	}
	type reply struct {
		value T
		err   error
	}
	replies := make(chan reply, 1)
	go func() {
		value, err := method(question, flag)
		replies <- reply{value, err}
	}()
	select {
	case r := <-replies:
		return r.value, r.err
	case <-ctx.Done():
		_, _ = fmt.Fprintln(k.Err) // the question's line is still open
		interrupted := errors.New("interrupted; nothing was done")
		return none, ui.Code(ui.Interrupted, errors.Join(interrupted, term.Restore(int(in.Fd()), before)))
	}
}
