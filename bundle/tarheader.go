package bundle

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
)

const (
	block      = 512           // tar's unit
	manyOctets = 8_589_934_591 // the largest size eleven octal digits hold
	epoch      = 315_532_800   // 1980-01-01, the earliest time that zip can hold as well
	headPath   = ".fxb/manifest.json"
	endOfTar   = 2 * block
)

// tarHeader returns everything that precedes a file's content: one ustar header,
// or three blocks when the path or the size needs a PAX record (POSIX.1-2001).
func tarHeader(f File) []byte {
	prefix, name, split := splitPath(f.Path)
	paxPath, paxSize := !split, f.Size > manyOctets
	if !paxPath && !paxSize {
		return ustar(prefix, name, f.Mode(), f.Size, '0')
	}
	sum := sha256.Sum256([]byte(f.Path))
	tag := fmt.Sprintf("%x", sum[:8])
	var records string
	size := f.Size
	if paxPath {
		records += paxRecord("path", f.Path)
		prefix, name = "", "PaxName/"+tag
	}
	if paxSize {
		records += paxRecord("size", strconv.FormatInt(f.Size, 10))
		size = 0
	}
	h := ustar("", "PaxHeader/"+tag, "0644", int64(len(records)), 'x')
	h = append(h, records...)
	h = append(h, make([]byte, pad(int64(len(records))))...)
	return append(h, ustar(prefix, name, f.Mode(), size, '0')...)
}

// ustar returns one 512-byte header. Owner, group and times are fixed, so that
// the same tree gives the same bytes everywhere.
func ustar(prefix, name, mode string, size int64, typeflag byte) []byte {
	h := make([]byte, block)
	copy(h[0:100], name)
	copy(h[100:], "000"+mode) // seven digits and a NUL
	copy(h[108:], "0000000")
	copy(h[116:], "0000000")
	copy(h[124:], fmt.Sprintf("%011o", size))
	copy(h[136:], fmt.Sprintf("%011o", epoch))
	copy(h[148:], "        ") // the checksum counts itself as spaces
	h[156] = typeflag
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000")
	copy(h[337:], "0000000")
	copy(h[345:500], prefix)
	var sum int
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// splitPath divides a path over the name (100 bytes) and prefix (155 bytes)
// fields, at the first slash that leaves a name that fits.
func splitPath(p string) (prefix, name string, ok bool) {
	for i := range len(p) {
		if p[i] >= 0x80 {
			return "", "", false
		}
	}
	if len(p) <= 100 {
		return "", p, true
	}
	from := len(p) - 101
	i := strings.IndexByte(p[from:], '/')
	if i < 0 || from+i > 155 {
		return "", "", false
	}
	return p[:from+i], p[from+i+1:], true
}

// paxRecord returns "LEN KEY=VALUE\n", where LEN counts itself.
func paxRecord(key, value string) string {
	rest := len(" ") + len(key) + len("=") + len(value) + len("\n")
	n := rest + len(strconv.Itoa(rest))
	if n = rest + len(strconv.Itoa(n)); n != rest+len(strconv.Itoa(n)) {
		n++
	}
	return fmt.Sprintf("%d %s=%s\n", n, key, value)
}

// pad returns the zero bytes that fill n up to a tar block.
func pad(n int64) int64 { return -n & (block - 1) }
