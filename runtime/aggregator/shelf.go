package aggregator

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"fx/runtime/journal"
	"fx/runtime/tensor"
	"fx/runtime/transport"
)

// shelf keeps the files open that collaborators download from: the current
// round's and those of the round before, each once, however many read it. Their
// contents are sent from where they are mapped, and are never copied.
type shelf struct {
	journal *journal.Journal

	mu    sync.Mutex
	files map[shelfKey]*shelved
	lent  map[*journal.Mapping]int // downloads under way
	sent  atomic.Int64             // bytes since pages were evicted
}

type shelfKey struct {
	steps bool // else the model
	round int
}

// shelved is an open file.
type shelved struct {
	shelf   *shelf
	model   *journal.Model // one of the two
	steps   *journal.Steps
	mapping *journal.Mapping // nil where the store cannot map
	users   int
	gone    bool // from the shelf
}

func newShelf(j *journal.Journal) *shelf {
	return &shelf{journal: j, files: map[shelfKey]*shelved{}, lent: map[*journal.Mapping]int{}}
}

// borrow opens a file, or finds it open. The caller gives it back.
func (s *shelf) borrow(key shelfKey) (*shelved, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[key]
	if !ok {
		f = &shelved{shelf: s}
		if err := f.open(key); err != nil {
			return nil, err
		}
		s.files[key] = f
	}
	f.users++
	return f, nil
}

func (f *shelved) open(key shelfKey) (err error) {
	if key.steps {
		if f.steps, err = f.shelf.journal.Steps(key.round); err == nil {
			f.mapping, err = f.steps.Map()
		}
	} else if f.model, err = f.shelf.journal.Model(key.round); err == nil {
		f.mapping, err = f.model.Map()
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		f.close()
	}
	return err
}

func (s *shelf) model(round int) (*shelved, error) { return s.borrow(shelfKey{round: round}) }

// giveBack ends a loan of borrow's.
func (f *shelved) giveBack() {
	f.shelf.mu.Lock()
	defer f.shelf.mu.Unlock()
	if f.users--; f.users == 0 && f.gone {
		f.close()
	}
}

func (f *shelved) close() { // all of them were only read
	if f.mapping != nil {
		f.mapping.Release()
	}
	if f.model != nil {
		_ = f.model.Close()
	}
	if f.steps != nil {
		_ = f.steps.Close()
	}
}

// turn takes down what the round that begins has no use for.
func (s *shelf) turn(round int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.files {
		if key.round == round || key.round == round-1 {
			continue
		}
		delete(s.files, key)
		if f.gone = true; f.users == 0 {
			f.close()
		}
	}
}

// evictEvery is how many bytes are sent before the pages that they came from are
// taken out of this process's memory.
const evictEvery = 2 << 20

// lend has a request answered from mapped memory.
func (s *shelf) lend(ctx context.Context, m *journal.Mapping) {
	m.Retain()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent[m]++
	transport.Lend(ctx, func() {
		s.mu.Lock()
		if s.lent[m]--; s.lent[m] == 0 {
			delete(s.lent, m)
			m.Evict()
		}
		s.mu.Unlock()
		m.Release()
	})
}

// Sent is told that n bytes were written to a connection, by the goroutine that
// wrote them ([transport.ServerOptions]). That bounds the pages of model files in
// memory whatever else keeps the processors busy: who brings them in takes them
// out.
func (a *Aggregator) Sent(n int) {
	if a.shelf.sent.Add(int64(n)) >= evictEvery {
		a.shelf.evict()
	}
}

// evict has those wait that go on sending meanwhile.
func (s *shelf) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent.Load() < evictEvery {
		return // another has
	}
	for m := range s.lent {
		m.Evict()
	}
	s.sent.Store(0)
}

// payload is the content of a tensor's message: small ones are copied, those that
// lie in a mapped file as they are (from is not nil) are lent, and all others are
// written to a draft first, which is mapped and has no name.
func (a *Aggregator) payload(ctx context.Context, n tensor.Named, data io.Reader, from *journal.Mapping) ([]byte, error) {
	if n.DataSize >= transport.MinLoan {
		if section, ok := data.(*io.SectionReader); ok && from != nil {
			_, off, size := section.Outer()
			a.shelf.lend(ctx, from)
			return from.Bytes(off, size), nil
		}
		b, err := a.spooled(ctx, n.DataSize, data)
		if !errors.Is(err, errors.ErrUnsupported) {
			return b, err
		}
	}
	b := make([]byte, n.DataSize)
	_, err := io.ReadFull(data, b)
	return b, err
}

// spooled is a payload in a mapped draft. Nothing was read if the store cannot
// map its drafts.
func (a *Aggregator) spooled(ctx context.Context, size int64, data io.Reader) (_ []byte, err error) {
	d, err := a.o.Journal.Store().Draft()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Discard()) }() // the mapping stays
	if !journal.Mappable(d) {
		return nil, errors.ErrUnsupported
	}
	if _, err := io.CopyN(d, data, size); err != nil {
		return nil, err
	}
	m, err := journal.Map(d)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	a.shelf.lend(ctx, m)
	return m.Bytes(0, size), nil
}
