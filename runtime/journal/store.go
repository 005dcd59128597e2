// Package journal is the durable record of a federation: a store of immutable
// objects, and on it the accepted results, closed rounds and models that an
// aggregator needs to carry on after any interruption.
//
// An object is written as a draft, made durable, and then appears under its
// name at once and whole, or not at all. It never changes afterwards. Start-up
// and recovery are the same: read what is there.
package journal

import (
	"errors"
	"io"
)

// ErrExists is returned when an object of that name was already committed.
var ErrExists = errors.New("object exists")

// Store holds named, immutable objects. Names are slash-separated; a name is
// never both an object and a prefix of others. The operations are what a
// directory and an object store can both do.
type Store interface {
	// Draft begins a new object that nobody sees before it is committed.
	Draft() (Draft, error)
	// Open returns an object, or an error that is fs.ErrNotExist.
	Open(name string) (Object, error)
	// List returns the names of all objects under a prefix (a folder), sorted.
	List(prefix string) ([]string, error)
	// Remove deletes an object; one that is absent is no error.
	Remove(name string) error
}

// Draft is an object being written. Exactly one of Commit and Discard must be
// called in the end; Discard after Commit does nothing.
type Draft interface {
	io.Writer
	io.ReaderAt
	Size() int64
	// Commit makes the content durable and gives it its name, or returns
	// ErrExists and leaves the object that was there.
	Commit(name string) error
	Discard() error
}

// Object is a committed object, open for reading.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}
