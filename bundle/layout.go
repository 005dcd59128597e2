package bundle

import "sort"

// layout says where everything is in the data tar, the concatenation of all
// uncompressed data frames. It is a pure function of paths, sizes and frameMax:
// a bundle stores none of it.
type layout struct {
	files   []File
	members []member
	ends    []int64 // ends[i] is where data frame i ends in the data tar
}

// member places one file in the data tar.
type member struct {
	header  int64 // where its header starts
	content int64 // where its content starts
	end     int64 // where the padding after its content ends
}

// deriveLayout applies the cutting rule: small files share frames, a large
// file's content has frames of its own, of exactly frameMax bytes but the last.
// It stops when more than limit frames would be needed; with limit < 0 there is
// none. Otherwise the count has to be exactly limit.
func deriveLayout(files []File, frameMax int64, limit int) (*layout, error) {
	l := &layout{files: files, members: make([]member, len(files))}
	var at, start int64 // in the data tar; start of the current frame
	cut := func() {
		l.ends = append(l.ends, at)
		start = at
	}
	for i, f := range files {
		header := int64(len(tarHeader(f)))
		entry := header + f.Size + pad(f.Size)
		small := f.Size <= frameMax
		if small && at > start && at-start+entry > frameMax {
			cut()
		}
		l.members[i] = member{header: at, content: at + header, end: at + entry}
		if small {
			at += entry
			continue
		}
		if need := int64(len(l.ends)) + f.Size/frameMax; limit >= 0 && need > int64(limit) {
			return nil, fault(CauseFrameCount, "the files need more than the %d frames that the manifest lists", limit)
		}
		at += header
		cut()
		for rest := f.Size; rest > 0; rest -= frameMax {
			at += min(rest, frameMax)
			cut()
		}
		at += pad(f.Size) // the padding opens the next frame
	}
	at += endOfTar
	cut()
	if limit >= 0 && len(l.ends) != limit {
		return nil, fault(CauseFrameCount, "the manifest lists %d frames, its files need %d", limit, len(l.ends))
	}
	return l, nil
}

// span returns where data frame i starts and ends in the data tar.
func (l *layout) span(i int) (from, to int64) {
	if i > 0 {
		from = l.ends[i-1]
	}
	return from, l.ends[i]
}

// usize returns the uncompressed size of data frame i.
func (l *layout) usize(i int) int64 {
	from, to := l.span(i)
	return to - from
}

// largest returns the uncompressed size of the largest data frame.
func (l *layout) largest() (most int64) {
	for i := range l.ends {
		most = max(most, l.usize(i))
	}
	return most
}

// frameAt returns the data frame that holds the byte at an offset of the tar.
func (l *layout) frameAt(at int64) int {
	return sort.Search(len(l.ends), func(i int) bool { return l.ends[i] > at })
}

// memberAt returns the first member that ends after an offset of the tar, which
// is len(files) in the closing zero blocks.
func (l *layout) memberAt(at int64) int {
	return sort.Search(len(l.members), func(i int) bool { return l.members[i].end > at })
}

// piece is a run of bytes inside one frame that is all header, all content or
// all zero padding.
type piece struct {
	file    int   // index of the file; len(files) for the closing zero blocks
	what    int   // pieceHeader, pieceContent or pieceZero
	from    int64 // offset inside the header or the content
	at, end int64 // in the data tar
}

const (
	pieceHeader = iota
	pieceContent
	pieceZero
)

// pieces lists what data frame i consists of, in order and without a gap.
func (l *layout) pieces(i int) []piece {
	from, to := l.span(i)
	var list []piece
	add := func(file, what int, start, end int64) {
		if a, e := max(start, from), min(end, to); a < e {
			list = append(list, piece{file: file, what: what, from: a - start, at: a, end: e})
		}
	}
	k := l.memberAt(from)
	for ; k < len(l.members) && l.members[k].header < to; k++ {
		m := l.members[k]
		data := m.content + l.files[k].Size
		add(k, pieceHeader, m.header, m.content)
		add(k, pieceContent, m.content, data)
		add(k, pieceZero, data, m.end)
	}
	tail := l.ends[len(l.ends)-1]
	add(len(l.files), pieceZero, tail-endOfTar, tail)
	return list
}
