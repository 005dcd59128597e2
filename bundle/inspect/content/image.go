package content

import (
	"bytes"
	"encoding/binary"
	"io"
)

// png walks the chunks to the last.
func (s *scanner) png(src source, _ *File, _ []byte) string {
	h := make([]byte, 8)
	for at := int64(8); ; {
		if _, err := src.r.ReadAt(h, at); err != nil {
			return "a PNG image that ends early"
		}
		at += 12 + int64(binary.BigEndian.Uint32(h))
		if string(h[4:]) == "IEND" {
			s.tail(src, at, "PNG image")
			return ""
		}
	}
}

// jpeg walks the segments, and through compressed data to the end marker.
func (s *scanner) jpeg(src source, _ *File, _ []byte) string {
	if src.size > maxMember {
		return "a JPEG image larger than is read"
	}
	data, err := io.ReadAll(src.reader())
	if err != nil {
		return "it cannot be read to its end"
	}
	for at := 2; at+4 <= len(data); {
		if data[at] != 0xff {
			return "a JPEG image whose segments make no sense"
		}
		marker := data[at+1]
		switch {
		case marker == 0xff:
			at++
			continue
		case marker == 0xd9:
			s.tail(src, int64(at+2), "JPEG image")
			return ""
		case marker >= 0xd0 && marker <= 0xd8 || marker == 1:
			at += 2
			continue
		}
		at += 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		if marker != 0xda {
			continue
		}
		for at+1 < len(data) && (data[at] != 0xff || data[at+1] == 0 || data[at+1] >= 0xd0 && data[at+1] <= 0xd7) {
			at++
		}
	}
	if bytes.HasSuffix(data, []byte{0xff, 0xd9}) {
		return ""
	}
	return "a JPEG image that ends early"
}

// gif walks the blocks to the trailer.
func (s *scanner) gif(src source, _ *File, _ []byte) string {
	if src.size > maxMember {
		return "a GIF image larger than is read"
	}
	data, err := io.ReadAll(src.reader())
	if err != nil || len(data) < 14 {
		return "a GIF image that ends early"
	}
	table := func(flags byte) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	at := 13 + table(data[10])
	blocks := func() {
		for at < len(data) && data[at] != 0 {
			at += 1 + int(data[at])
		}
		at++
	}
	for at < len(data) {
		switch data[at] {
		case 0x3b:
			s.tail(src, int64(at+1), "GIF image")
			return ""
		case 0x21:
			at += 2
			blocks()
		case 0x2c:
			if at+10 > len(data) {
				return "a GIF image that ends early"
			}
			at += 11 + table(data[at+9])
			blocks()
		default:
			return "a GIF image whose blocks make no sense"
		}
	}
	return "a GIF image that ends early"
}

// document searches formats that are not read for what can act in them.
func (s *scanner) document(src source, f *File, _ []byte) string {
	if src.size > maxMember {
		return "a document larger than is read"
	}
	data, err := io.ReadAll(src.reader())
	if err != nil {
		return "it cannot be read to its end"
	}
	for _, mark := range []string{"/JavaScript", "/JS ", "/JS(", "/Launch", "/EmbeddedFile", "/OpenAction", "V\x00B\x00A\x00", "_VBA_PROJECT"} {
		if bytes.Contains(data, []byte(mark)) {
			s.report("active-content", src, f.Type)
			break
		}
	}
	if f.Type == "pdf" {
		if i := bytes.LastIndex(data, []byte("%%EOF")); i >= 0 {
			s.tail(src, int64(i+5), "PDF document")
		}
	}
	return f.Type + ": searched for script and macros, otherwise not read"
}
