package journal

import (
	"errors"
	"fmt"
	"io"

	"fx/schema"
)

// ErrDamaged is wrapped by errors about a journal in which something is not as it
// was written. They wrap [schema.ErrInvalid], too.
var ErrDamaged = errors.New("the journal is damaged")

type damagedError struct{ cause error }

func (e *damagedError) Error() string   { return "the journal is damaged: " + e.cause.Error() }
func (e *damagedError) Unwrap() []error { return []error{ErrDamaged, schema.ErrInvalid, e.cause} }

// Damagef is an error that wraps [ErrDamaged].
func Damagef(format string, a ...any) error { return &damagedError{fmt.Errorf(format, a...)} }

// SetAside takes a result that nobody has decided about, and that is damaged, out of
// its round, so that it can be asked for again. It stays in the journal, under
// damaged/, until a person removes it. It returns that name.
func (j *Journal) SetAside(round int, task, collaborator string) (string, error) {
	name := resultName(round, task, collaborator)
	sum, err := j.digest(name)
	if err != nil {
		return "", err
	}
	o, err := j.store.Open(name)
	if err != nil {
		return "", err
	}
	aside := "damaged/" + name + "." + sum
	_, err = j.create(aside, func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(o, 0, o.Size()))
		return err
	})
	if err := errors.Join(err, o.Close()); err != nil {
		return "", err
	}
	return aside, j.store.Remove(name)
}
