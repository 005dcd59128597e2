package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// Assembled says where the bytes of a bundle came from.
type Assembled struct {
	ID      ID
	Size    int64 // of the file, in bytes
	Fetched int64 // bytes of frames that fetch gave
	Copied  int64 // bytes of frames that were in have
}

// Assemble writes the bundle with the given manifest into w. Frames that one of
// the bundles in have holds are copied from there, the others come from fetch,
// which returns n bytes of the finished file from offset off; neighbours are
// fetched together, up to a few frames at a time. Every frame is compared with
// the manifest's digest before it is written, and the manifest with want. What
// is not a frame is derived and never fetched. Errors wrap schema.ErrInvalid,
// except those of fetch, of have's files and of w.
func Assemble(ctx context.Context, w io.WriterAt, manifest []byte, want ID, have []*Bundle,
	fetch func(ctx context.Context, off, n int64) ([]byte, error), progress func(written int64)) (Assembled, error) {
	if sha256.Sum256(manifest) != want {
		return Assembled{}, fault(CauseManifestDigest, "the manifest does not have the digest %s", want)
	}
	m, err := parseManifest(manifest)
	if err != nil {
		return Assembled{}, err
	}
	l, err := deriveLayout(m.Files, m.FrameMax, len(m.Frames))
	if err != nil {
		return Assembled{}, err
	}
	head := headLen(int64(len(manifest)))
	a := &assembly{w: w, m: m, known: knownFrames(have), fetch: fetch, progress: progress}
	if a.offsets, err = frameOffsets(m, l, head); err != nil {
		return Assembled{}, err
	}
	if err := a.frames(ctx); err != nil {
		return Assembled{}, err
	}
	end := a.offsets[len(m.Frames)]
	table := seekTable(head, int64(len(manifest)), m, l)
	if _, err := w.WriteAt(encodeHead(manifest), 0); err != nil {
		return Assembled{}, fmt.Errorf("cannot write the head frame: %w", err)
	}
	if _, err := w.WriteAt(table, end); err != nil {
		return Assembled{}, fmt.Errorf("cannot write the seek table: %w", err)
	}
	return Assembled{ID: want, Size: end + int64(len(table)), Fetched: a.fetched, Copied: a.copied}, nil
}

// place is where a frame stands in a bundle that is there already.
type place struct {
	b     *Bundle
	frame int
}

func knownFrames(have []*Bundle) map[frame]place {
	known := map[frame]place{}
	for _, b := range have {
		for i, f := range b.manifest.Frames {
			known[f] = place{b, i}
		}
	}
	return known
}

type assembly struct {
	w               io.WriterAt
	m               *manifest
	offsets         []int64
	known           map[frame]place
	fetch           func(ctx context.Context, off, n int64) ([]byte, error)
	progress        func(int64)
	fetched, copied int64
}

const maxFetch = 4 * FrameMax // bytes that are asked for at once, a frame more at most

func (a *assembly) frames(ctx context.Context) error {
	for i := 0; i < len(a.m.Frames); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p, ok := a.known[a.m.Frames[i]]; ok {
			if err := a.copy(i, p); err != nil {
				return err
			}
			i++
			continue
		}
		next := i + 1
		for ; next < len(a.m.Frames) && a.offsets[next]-a.offsets[i] < maxFetch; next++ {
			if _, ok := a.known[a.m.Frames[next]]; ok {
				break
			}
		}
		n := a.offsets[next] - a.offsets[i]
		data, err := a.fetch(ctx, a.offsets[i], n)
		if err != nil {
			return err
		}
		if int64(len(data)) != n {
			return fault(CauseFileCut, "got %d bytes at %d, want %d", len(data), a.offsets[i], n)
		}
		for ; i < next; i++ {
			if err := a.write(i, data[:a.m.Frames[i].csize]); err != nil {
				return err
			}
			data = data[a.m.Frames[i].csize:]
		}
		a.fetched += n
	}
	return nil
}

func (a *assembly) copy(i int, p place) error {
	data := make([]byte, a.m.Frames[i].csize)
	if err := readFullAt(p.b.r, data, p.b.offsets[p.frame]); err != nil {
		return fmt.Errorf("cannot copy frame %d from the bundle that is there: %w", i+1, err)
	}
	a.copied += int64(len(data))
	return a.write(i, data)
}

func (a *assembly) write(i int, data []byte) error {
	if sha256.Sum256(data) != a.m.Frames[i].sha256 {
		return fault(CauseFrameSum, "frame %d does not have the digest that the manifest states", i+1)
	}
	if _, err := a.w.WriteAt(data, a.offsets[i]); err != nil {
		return fmt.Errorf("cannot write frame %d: %w", i+1, err)
	}
	if a.progress != nil {
		a.progress(int64(len(data)))
	}
	return nil
}
