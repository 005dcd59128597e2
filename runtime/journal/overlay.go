package journal

import (
	"errors"
	"io/fs"
	"slices"
)

// Overlay is a store that reads what it has in Top, then what is in Base, and
// writes to Top alone: a round can be done again on a journal that must not
// change. The zero value is not usable.
type Overlay struct{ Base, Top Store }

// Draft implements [Store].
func (o Overlay) Draft() (Draft, error) { return o.Top.Draft() }

// Open implements [Store].
func (o Overlay) Open(name string) (Object, error) {
	object, err := o.Top.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return o.Base.Open(name)
	}
	return object, err
}

// List implements [Store].
func (o Overlay) List(prefix string) ([]string, error) {
	top, err1 := o.Top.List(prefix)
	base, err2 := o.Base.List(prefix)
	names := slices.Concat(top, base)
	slices.Sort(names)
	return slices.Compact(names), errors.Join(err1, err2)
}

// Remove implements [Store]; what is in Base stays.
func (o Overlay) Remove(name string) error { return o.Top.Remove(name) }
