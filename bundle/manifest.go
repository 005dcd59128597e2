package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// FrameMax is the largest content of a data frame in bytes (BUNDLE format: a
// multiple of 512). Smaller values are valid and make smaller test vectors.
const FrameMax = 4 << 20

const (
	encoderName  = "klauspost/compress v1.20.3 default+lit"
	maxManifest  = 64<<20 - 1024
	maxFileSize  = 1 << 46 // bytes; far beyond what the frame list can hold
	minFrameMax  = 512
	digestDigits = 2 * sha256.Size
)

// File is one line of a bundle's inventory.
type File struct {
	Path       string            // as CheckPath allows
	Executable bool              // mode 0755 rather than 0644
	Size       int64             // bytes
	SHA256     [sha256.Size]byte // of the content
}

// Mode returns the mode as the manifest spells it: "0644" or "0755".
func (f File) Mode() string {
	if f.Executable {
		return "0755"
	}
	return "0644"
}

// Digest returns the content's SHA-256 in hexadecimal.
func (f File) Digest() string { return hex.EncodeToString(f.SHA256[:]) }

// frame is what the manifest stores of a data frame; all else is derived.
type frame struct {
	csize  uint32
	sha256 [sha256.Size]byte // of the compressed bytes
}

// manifest is the document whose SHA-256 is the bundle's id.
type manifest struct {
	Name, Version, Encoder string
	FrameMax               int64
	Files                  []File
	Frames                 []frame
	tree                   [sha256.Size]byte
}

// encode returns the canonical bytes: one line for the head, one for each file
// and frame, keys in this order and no other white space. No string needs
// escaping, because names, versions and paths hold no quote and no backslash.
func (m *manifest) encode() []byte {
	var b bytes.Buffer
	b.Grow(m.encodedLen())
	fmt.Fprintf(&b, `{"format":"fxb/1","name":"%s","version":"%s","encoder":"%s","frameMax":%d,"treeSha256":"%x",`+"\n",
		m.Name, m.Version, m.Encoder, m.FrameMax, m.tree)
	b.WriteString(`"files":[`)
	for i, f := range m.Files {
		b.WriteString(separator(i))
		fmt.Fprintf(&b, `{"path":"%s","mode":"%s","size":%d,"sha256":"%x"}`, f.Path, f.Mode(), f.Size, f.SHA256)
	}
	b.WriteString("],\n" + `"frames":[`)
	for i, f := range m.Frames {
		b.WriteString(separator(i))
		fmt.Fprintf(&b, `"%08x:%x"`, f.csize, f.sha256)
	}
	b.WriteString("]}\n")
	return b.Bytes()
}

// encodedLen returns len(encode()) from names, sizes and counts alone, so that
// the packer knows the size of the head frame before it has read a file.
func (m *manifest) encodedLen() int {
	n := len(`{"format":"fxb/1","name":"","version":"","encoder":"","frameMax":,"treeSha256":"",`) + 1 +
		len(m.Name) + len(m.Version) + len(m.Encoder) + len(strconv.FormatInt(m.FrameMax, 10)) + digestDigits +
		len(`"files":[`) + len("],\n") + len(`"frames":[`) + len("]}\n")
	for i, f := range m.Files {
		n += len(separator(i)) + len(`{"path":"","mode":"0644","size":,"sha256":""}`) + len(f.Path) +
			len(strconv.FormatInt(f.Size, 10)) + digestDigits
	}
	for i := range m.Frames {
		n += len(separator(i)) + len(`"00000000:"`) + digestDigits
	}
	return n
}

func separator(i int) string {
	if i == 0 {
		return "\n"
	}
	return ",\n"
}

// sum sets the tree digest from the files.
func (m *manifest) sum() {
	h := sha256.New()
	for _, f := range m.Files {
		fmt.Fprintf(h, "%x  %s %d %s\n", f.SHA256, f.Mode(), f.Size, f.Path)
	}
	h.Sum(m.tree[:0])
}

// check applies every rule that is not about spelling.
func (m *manifest) check() error {
	if err := checkLabel("name", m.Name); err != nil {
		return err
	}
	if err := checkLabel("version", m.Version); err != nil {
		return err
	}
	if m.FrameMax < minFrameMax || m.FrameMax > FrameMax || m.FrameMax%512 != 0 {
		return fault(CauseManifestLimit, "frameMax is %d, allowed are multiples of 512 up to %d", m.FrameMax, FrameMax)
	}
	if len(m.Files) == 0 {
		return fault(CauseManifestEmpty, "the bundle holds no files")
	}
	for i, f := range m.Files {
		if f.Size < 0 || f.Size > maxFileSize {
			return fault(CauseManifestNumber, "%s has size %d, allowed are 0 to %d", clip(f.Path), f.Size, int64(maxFileSize))
		}
		if i > 0 && !m.before(m.Files[i-1], f) {
			return fault(CauseManifestOrder, "%s is out of order or listed twice", clip(f.Path))
		}
	}
	return checkPaths(m.Files)
}

// before is the order of files: those that fit a frame first, then the large
// ones, each part bytewise by path. Code and plan precede weights on a pipe.
func (m *manifest) before(a, b File) bool {
	if la, lb := a.Size > m.FrameMax, b.Size > m.FrameMax; la != lb {
		return lb
	}
	return a.Path < b.Path
}

func (m *manifest) sortFiles() {
	sort.Slice(m.Files, func(i, j int) bool { return m.before(m.Files[i], m.Files[j]) })
}

// checkLabel restricts names and versions to what needs no escaping anywhere:
// 1 to 64 of A-Z, a-z, 0-9, full stop, underscore, plus and hyphen, the first a
// letter or digit.
func checkLabel(what, s string) error {
	ok := len(s) >= 1 && len(s) <= 64 && !strings.ContainsRune("._+-", rune(s[0]))
	for _, r := range s {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+-", r))
	}
	if !ok {
		return fault(CauseManifestText, "bundle %s %s: allowed are 1 to 64 letters, digits, '.', '_', '+' and '-', beginning with a letter or digit", what, clip(s))
	}
	return nil
}

func parseDigest(s string) (d [sha256.Size]byte, ok bool) {
	if len(s) != digestDigits || strings.ToLower(s) != s {
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err == nil
}
