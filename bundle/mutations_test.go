package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"fx/schema"
)

// mutation is one way to make a bundle that nobody may accept, and the one
// cause for which it is refused.
type mutation struct {
	cause Cause
	name  string
	f     forgery
}

// TestMutations: whatever a packer or a carrier may try, it is refused, and for
// its own reason. Each one is also a file of testdata/vectors, named after the
// cause, which other programs' tests use (UPDATE_GOLDEN=1 writes them).
func TestMutations(t *testing.T) {
	if err := checkBytes(forgery{}.build(t)); err != nil {
		t.Fatal("an honest bundle: ", err)
	}
	update, dir := os.Getenv("UPDATE_GOLDEN") != "", filepath.Join("testdata", "vectors")
	if update {
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, m := range slices.Concat(manifestMutations(), pathMutations(), tarMutations(), frameMutations(t), fileMutations(t)) {
		file := fmt.Sprintf("%s.%s.fxb", m.cause, strings.NewReplacer(" ", "-", "'", "").Replace(m.name))
		t.Run(file, func(t *testing.T) {
			data := m.f.build(t)
			err := checkBytes(data)
			var f *Fault
			if !errors.Is(err, schema.ErrInvalid) || !errors.As(err, &f) || f.Cause != m.cause {
				t.Fatalf("got %v (%+v), want a refusal because of %q", err, f, m.cause)
			}
			if update {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil || !bytes.Equal(want, data) {
				t.Errorf("the vector is another file: %v", err)
			}
		})
		if seen[file] {
			t.Errorf("two mutations are called %q", file)
		}
		seen[file] = true
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != len(seen) {
		t.Errorf("%d vectors for %d mutations (%v)", len(files), len(seen), err)
	}
}

func upper(before string) func([]byte) []byte {
	return func(raw []byte) []byte {
		i := bytes.Index(raw, []byte(before)) + len(before)
		copy(raw[i:], bytes.ToUpper(raw[i:i+digestDigits]))
		return raw
	}
}

// manifestMutations are about the manifest's spelling and meaning.
func manifestMutations() []mutation {
	spelt := func(change func([]byte) []byte) forgery { return forgery{manifest: change} }
	return []mutation{
		{CauseManifestShape, "white space", spelt(replaced(`"files":[`, `"files": [`))},
		{CauseManifestShape, "key order", spelt(replaced(`"mode":"0644","size":10`, `"size":10,"mode":"0644"`))},
		{CauseManifestShape, "a byte order mark", spelt(func(raw []byte) []byte { return append([]byte("\ufeff"), raw...) })},
		{CauseManifestShape, "CRLF", spelt(replaced("\n", "\r\n"))},
		{CauseManifestShape, "no last line feed", spelt(func(raw []byte) []byte { return raw[:len(raw)-1] })},
		{CauseManifestShape, "a line more", spelt(func(raw []byte) []byte { return append(raw, '\n') })},
		{CauseManifestShape, "another format", spelt(replaced("fxb/1", "fxb/2"))},
		{CauseManifestShape, "a comma too many", spelt(replaced("],\n\"frames", ",],\n\"frames"))},
		{CauseManifestShape, "no files", spelt(func(raw []byte) []byte {
			i, j := bytes.Index(raw, []byte("[\n"))+2, bytes.Index(raw, []byte("],\n"))
			return append(raw[:i:i], raw[j:]...)
		})},
		{CauseManifestMode, "a key twice", spelt(replaced(`"mode":"0644",`, `"mode":"0644","mode":"0644",`))},
		{CauseManifestMode, "setuid", spelt(replaced("0644", "4755"))},
		{CauseManifestMode, "a mode that everybody may write", spelt(replaced("0644", "0666"))},
		{CauseManifestNumber, "an unknown key", spelt(replaced(`"size":10,`, `"size":10,"x":1,`))},
		{CauseManifestNumber, "a negative size", spelt(replaced(`"size":10`, `"size":-10`))},
		{CauseManifestNumber, "a float", spelt(replaced(`"size":10`, `"size":1e1`))},
		{CauseManifestNumber, "a size beyond 64 bits", spelt(replaced(`"size":10`, `"size":18446744073709551626`))},
		{CauseManifestNumber, "a size of too many terabytes", spelt(replaced(`"size":10`, `"size":99999999999999999`))},
		{CauseManifestNumber, "a frame size of seven digits", spelt(replaced("\"frames\":[\n\"0", "\"frames\":[\n\""))},
		{CauseManifestWriting, "a leading zero", spelt(replaced(`"size":10`, `"size":010`))},
		{CauseManifestWriting, "a plus sign", spelt(replaced(`"size":10`, `"size":+10`))},
		{CauseManifestDigest, "capital digits", spelt(upper(`sha256":"`))},
		{CauseManifestDigest, "a digest cut short", spelt(func(raw []byte) []byte {
			i := bytes.Index(raw, []byte(`,"sha256":"`)) + 11
			return append(raw[:i:i], raw[i+1:]...)
		})},
		{CauseManifestTree, "tree digest", spelt(func(raw []byte) []byte {
			raw[bytes.Index(raw, []byte(`treeSha256":"`))+13] ^= 1
			return raw
		})},
		{CauseManifestTree, "a file digest", spelt(func(raw []byte) []byte {
			i := bytes.Index(raw, []byte(`,"sha256":"`)) + 11
			raw[i] = "10"[raw[i]&1]
			return raw
		})},
		{CauseManifestText, "a quote in the name", spelt(replaced(`"forged"`, `"for\"ged"`))},
		{CauseManifestText, "an empty version", spelt(replaced(`"version":"1"`, `"version":""`))},
		{CauseManifestText, "a control character in the encoder", spelt(replaced("klauspost", "klaus\x1bost"))},
		{CauseManifestOrder, "order of files", forgery{list: func(m *manifest) { m.Files[0], m.Files[1] = m.Files[1], m.Files[0] }}},
		{CauseManifestOrder, "a file twice", forgery{list: func(m *manifest) { m.Files = slices.Insert(m.Files, 1, m.Files[0]) }}},
		{CauseManifestOrder, "large files first", forgery{list: func(m *manifest) { slices.Reverse(m.Files) }}},
		{CauseManifestLimit, "no multiple of 512", forgery{list: func(m *manifest) { m.FrameMax = 1025 }}},
		{CauseManifestLimit, "too large", forgery{list: func(m *manifest) { m.FrameMax = 8 << 20 }}},
		{CauseManifestLimit, "zero", spelt(replaced(`"frameMax":1024`, `"frameMax":0`))},
		{CauseFrameCount, "a huge file", spelt(func(raw []byte) []byte {
			m, _ := parseManifest(raw)
			m.Files[len(m.Files)-1].Size = maxFileSize
			m.sum()
			return m.encode()
		})},
		{CauseFrameCount, "a frame too many", forgery{packed: func(f [][]byte) [][]byte { return append(f, f[0]) }}},
		{CauseFrameCount, "a frame too few", forgery{packed: func(f [][]byte) [][]byte { return f[:len(f)-1] }}},
		{CauseFrameCount, "a member more than listed in its own frame", forgery{packed: func(f [][]byte) [][]byte {
			return slices.Insert(f, 1, f[0])
		}}},
	}
}

// pathMutations are manifests with names that some system could not hold, or
// would take for another's.
func pathMutations() []mutation {
	with := func(name string) forgery { return forgery{files: map[string]string{name: "x"}} }
	return []mutation{
		{CausePathReserved, "the manifest's own path", forgery{files: map[string]string{".fxb/manifest.json": "{}"}}},
		{CausePathReserved, "in capitals", with(".FXB/x")},
		{CausePathReserved, "in full width letters", with(".ｆｘｂ/x")},
		{CausePathClash, "case", with("src/A.py")},
		{CausePathClash, "case of a folder", with("SRC/b.py")},
		{CausePathClash, "a file and a folder", with("src")},
		{CausePathClash, "a file and a folder by case", with("Plan")},
		{CausePathClash, "compatibility forms", with("src/\uff41.py")},
		{CausePathClash, "sharp s", forgery{files: map[string]string{"stra\u00dfe": "x", "strasse": "x"}}},
		{CausePathNormal, "decomposed", with("src/e\u0301.py")},
		{CausePathNormal, "composed and decomposed", forgery{files: map[string]string{"src/\u00e9.py": "x", "src/e\u0301.py": "x"}}},
		{CausePathUTF8, "overlong slash", with("src\xc0\xafx")},
		{CausePathEmpty, "absolute", with("/etc/passwd")},
		{CausePathEmpty, "doubled slash", with("src//b.py")},
		{CausePathEmpty, "trailing slash", with("src/b/")},
		{CausePathDots, "upwards", with("src/../../x")},
		{CausePathDots, "here", with("./x")},
		{CausePathRune, "backslash", with(`src\x`)},
		{CausePathRune, "drive letter", with("C:x")},
		{CausePathRune, "bidi", with("src/\u202efdp.py")},
		{CausePathRune, "zero width joiner", with("src/a\u200d.py")},
		{CausePathRune, "control", with("src/a\x1b[2J")},
		{CausePathRune, "NUL", with("src/a\x00.py")},
		{CausePathDevice, "nul with an extension", with("src/nul.txt")},
		{CausePathComponent, "ends in a full stop", with("src/a.")},
		{CausePathComponent, "begins with a space", with("src/ a")},
		{CausePathComponent, "too long", with(strings.Repeat("a", 201))},
		{CausePathLength, "too long", with(strings.Repeat("a/", 120) + "a")},
		{CausePathDepth, "too deep", with(strings.Repeat("d/", 32) + "x")},
	}
}

// tarMutations change the tar inside, and frames and manifest agree with it. The
// first member is plan/plan.yaml at 0, src/a.py follows at 1024.
func tarMutations() []mutation {
	typed := func(c byte) forgery {
		return forgery{tar: func(_ *layout, tar []byte) { tar[156] = c; reckon(tar) }}
	}
	header := func(offset int, text string) forgery {
		return forgery{tar: func(_ *layout, tar []byte) { copy(tar[offset:], text); reckon(tar) }}
	}
	pax := func(old, with string) forgery {
		return forgery{files: map[string]string{"größe.bin": "x"}, tar: func(_ *layout, tar []byte) {
			copy(tar, bytes.Replace(tar, []byte(old), []byte(with), 1))
		}}
	}
	return []mutation{
		{CauseTarHeader, "renamed", header(0, "plan/plan.yaxl")},
		{CauseTarHeader, "absolute", header(0, "/etc/passwd\x00\x00\x00")},
		{CauseTarHeader, "upwards", header(0, "../../../x.y\x00\x00")},
		{CauseTarHeader, "hidden in the prefix", header(345, "/etc")},
		{CauseTarHeader, "setuid", header(100, "0004755")},
		{CauseTarHeader, "executable", header(100, "0000755")},
		{CauseTarHeader, "an owner", header(108, "0001750")},
		{CauseTarHeader, "an owner's name", header(265, "root")},
		{CauseTarHeader, "a time", header(136, "14000000000")},
		{CauseTarHeader, "hard link", typed('1')},
		{CauseTarHeader, "symbolic link", forgery{tar: func(_ *layout, tar []byte) {
			tar[156] = '2'
			copy(tar[157:], "/etc/passwd")
			reckon(tar)
		}}},
		{CauseTarHeader, "character device", typed('3')},
		{CauseTarHeader, "block device", typed('4')},
		{CauseTarHeader, "folder", typed('5')},
		{CauseTarHeader, "named pipe", typed('6')},
		{CauseTarHeader, "contiguous file", typed('7')},
		{CauseTarHeader, "old kind of file", typed(0)},
		{CauseTarHeader, "GNU sparse file", typed('S')},
		{CauseTarHeader, "GNU long name", typed('L')},
		{CauseTarHeader, "GNU dump directory", typed('D')},
		{CauseTarHeader, "volume label", typed('V')},
		{CauseTarHeader, "PAX header", typed('x')},
		{CauseTarHeader, "global PAX header", typed('g')},
		{CauseTarHeader, "GNU magic", header(257, "ustar  ")},
		{CauseTarHeader, "no magic", header(257, "\x00\x00\x00\x00\x00\x00\x00\x00")},
		{CauseTarHeader, "size in base 256", header(124, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0a")},
		{CauseTarHeader, "size in spaces", header(124, "         12\x00")},
		{CauseTarHeader, "a size that swallows the next member", header(124, "00000002012")},
		{CauseTarHeader, "a size of nothing", header(124, "00000000000")},
		{CauseTarHeader, "a wrong checksum", forgery{tar: func(_ *layout, tar []byte) { tar[150] ^= 1 }}},
		{CauseTarHeader, "a checksum spelt otherwise", forgery{tar: func(_ *layout, tar []byte) { tar[154], tar[155] = ' ', 0 }}},
		{CauseTarHeader, "swapped", forgery{tar: func(_ *layout, tar []byte) {
			first := bytes.Clone(tar[:1024])
			copy(tar, tar[1024:2048])
			copy(tar[1024:], first)
		}}},
		{CauseTarHeader, "removed", forgery{tar: func(_ *layout, tar []byte) { copy(tar, tar[1024:]) }}},
		{CauseTarHeader, "twice", forgery{tar: func(_ *layout, tar []byte) { copy(tar[1024:], bytes.Clone(tar)) }}},
		{CauseTarHeader, "PAX path of another file", pax("path=größe", "path=grösse")},
		{CauseTarHeader, "PAX size in place of path", pax(" path=größe.bin", " size=0000000009")},
		{CauseTarHeader, "PAX record of another length", pax("20 path", "21 path")},
		{CauseTarHeader, "PAX record hidden behind", pax("größe.bin\n\x00\x00\x00\x00\x00\x00\x00", "größe.bin\n7 x=yz\n")},
		{CauseTarHeader, "PAX name that GNU tar reads", pax("PaxName/", "../../..")},
		{CauseFileDigest, "another content", forgery{tar: put(512, "rounds: 9\n")}},
		{CauseFileDigest, "content of a file that spans frames", forgery{tar: func(l *layout, tar []byte) { tar[l.members[2].content+2000] ^= 1 }}},
		{CauseFileDigest, "content of an empty file", forgery{files: map[string]string{"empty": ""}, list: func(m *manifest) {
			m.Files[slices.IndexFunc(m.Files, func(f File) bool { return f.Path == "empty" })].SHA256[0] ^= 1
		}}},
		{CauseTarZero, "hidden behind a file", forgery{tar: put(1000, "hidden")}},
		{CauseTarZero, "a member more at the end", forgery{tar: func(_ *layout, tar []byte) {
			copy(tar[len(tar)-1024:], tarHeader(File{Path: "extra"}))
		}}},
	}
}

// reckon makes the checksum of the first header right again.
func reckon(tar []byte) {
	copy(tar[148:156], "        ")
	sum := 0
	for _, b := range tar[:block] {
		sum += int(b)
	}
	copy(tar[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// zframe is a zstd frame with a descriptor, a stated content size of eight
// bytes, and blocks; its checksum is zero.
func zframe(descriptor byte, size uint64, blocks ...[]byte) []byte {
	out := append([]byte("\x28\xb5\x2f\xfd"), descriptor)
	out = binary.LittleEndian.AppendUint64(out, size)
	return append(append(out, slices.Concat(blocks...)...), 0, 0, 0, 0)
}

// zblock is one block: kind 0 raw, 1 run-length, 2 compressed, 3 reserved.
func zblock(kind, size uint32, last bool, body string) []byte {
	v := size<<3 | kind<<1
	if last {
		v |= 1
	}
	return append([]byte{byte(v), byte(v >> 8), byte(v >> 16)}, body...)
}

// frameMutations change compressed frames, and the manifest agrees with them:
// what a dishonest packer could make a decompressor read.
func frameMutations(t testing.TB) []mutation {
	skippable := "\x50\x2a\x4d\x18\x01\x00\x00\x00x"
	empty := encodedWith(t, zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))(nil)
	first := func(change func(p []byte) []byte) forgery { return forgery{packed: at(0, change)} }
	behind := func(more string) forgery { return first(func(p []byte) []byte { return append(p, more...) }) }
	made := func(make func(n int) []byte) forgery {
		return forgery{encode: func(p []byte) []byte { return make(len(p)) }}
	}
	const single = 0xe4 // eight-byte size, single segment, checksum
	return []mutation{
		{CauseFrameSays, "swapped", forgery{packed: func(f [][]byte) [][]byte { f[0], f[1] = f[1], f[0]; return f }}},
		{CauseFileDigest, "content frames swapped", forgery{files: map[string]string{"weights.bin": strings.Repeat("a", 1024) + strings.Repeat("b", 1024)},
			packed: func(f [][]byte) [][]byte {
				n := len(f)
				f[n-3], f[n-2] = f[n-2], f[n-3]
				return f
			}}},
		{CauseFrameTail, "skippable frame behind", behind(skippable)},
		{CauseFrameTail, "empty frame behind", behind(string(empty))},
		{CauseFrameTail, "two frames for one", first(func(p []byte) []byte { return append(p, p...) })},
		{CauseFrameTail, "one byte behind", behind("x")},
		{CauseFrameMagic, "skippable frame before", first(func(p []byte) []byte { return append([]byte(skippable), p...) })},
		{CauseFrameMagic, "zip", forgery{encode: func(p []byte) []byte { return append([]byte("PK\x03\x04"), p...) }}},
		{CauseFrameMagic, "zstd of version 0.7", first(func(p []byte) []byte { p[0] = 0x27; return p })},
		{CauseFrameHead, "no checksum", forgery{files: map[string]string{"0": strings.Repeat("0", 100)}, packed: at(0, func(p []byte) []byte {
			p[4] &^= 4
			return p[:len(p)-4]
		})}},
		{CauseFrameHead, "a window", forgery{encode: encodedWith(t, zstd.WithSingleSegment(false), zstd.WithWindowSize(1<<20))}},
		{CauseFrameHead, "a window of gigabytes", made(func(n int) []byte { return zframe(0xc4, uint64(n), zblock(0, 0, true, "")) })},
		{CauseFrameHead, "a dictionary", made(func(n int) []byte { return zframe(single|1, uint64(n), zblock(0, 0, true, "")) })},
		{CauseFrameHead, "the unused bit", first(func(p []byte) []byte { p[4] |= 0x10; return p })},
		{CauseFrameHead, "the reserved bit", first(func(p []byte) []byte { p[4] |= 0x08; return p })},
		{CauseFrameCheck, "a wrong checksum", first(func(p []byte) []byte { p[len(p)-1] ^= 1; return p })},
		{CauseFrameSays, "more than it should hold", forgery{encode: func(p []byte) []byte {
			return encodedWith(t, zstd.WithSingleSegment(true))(append(p, 0))
		}}},
		{CauseFrameSays, "exabytes", made(func(int) []byte { return zframe(single, 1<<60, zblock(0, 0, true, "")) })},
		{CauseFrameSays, "a negative size", made(func(int) []byte { return zframe(single, 1<<63, zblock(0, 0, true, "")) })},
		{CauseFrameBlock, "a block of the reserved kind", made(func(n int) []byte { return zframe(single, uint64(n), zblock(3, 4, true, "abcd")) })},
		{CauseFrameBlock, "no last block", made(func(n int) []byte { return zframe(single, uint64(n), zblock(0, 4, false, "abcd")) })},
		{CauseFrameBlock, "a block that ends behind the frame", made(func(n int) []byte { return zframe(single, uint64(n), zblock(0, 4096, true, "abcd")) })},
		{CauseFrameData, "a run-length bomb", made(func(n int) []byte {
			return zframe(single, uint64(n), slices.Repeat(zblock(1, rawBlock, false, "\x00"), 7), zblock(1, rawBlock, true, "\x00"))
		})},
		{CauseFrameData, "less than it says", made(func(n int) []byte { return zframe(single, uint64(n), zblock(0, 4, true, "abcd")) })},
		{CauseFrameData, "no literals", made(func(n int) []byte { return zframe(single, uint64(n), zblock(2, 4, true, "\xff\xff\xff\xff")) })},
		{CauseFrameSize, "larger than raw", first(func(p []byte) []byte { return append(p, make([]byte, 2000)...) })},
		{CauseFrameSize, "smaller than any", first(func([]byte) []byte { return []byte("\x28\xb5\x2f\xfd") })},
	}
}

// fileMutations change the file around frames and manifest, as a carrier could.
func fileMutations(t testing.TB) []mutation {
	file := func(change func([]byte) []byte) forgery { return forgery{file: change} }
	table := func(change func([]byte) []byte) forgery { return forgery{table: change} }
	head := func(change func([]byte)) forgery { return forgery{head: change} }
	other := forgery{files: map[string]string{"src/a.py": "fail\n"}}.build(t)
	start := func(data []byte) int { return int(headLen(int64(bytes.Index(data[16+block:], []byte("]}\n"))) + 3)) }
	return []mutation{
		{CauseFrameSum, "a bit of a frame", file(func(out []byte) []byte { out[start(out)+20] ^= 1; return out })},
		{CauseFrameSum, "frames of another signed bundle", file(func(out []byte) []byte {
			return append(out[:start(out):start(out)], other[start(other):]...)
		})},
		{CauseFrameSum, "head of another signed bundle", file(func(out []byte) []byte {
			return append(other[:start(other):start(other)], out[start(out):]...)
		})},
		{CauseFrameSum, "frames moved by one byte", file(func(out []byte) []byte {
			at := start(out)
			copy(out[at+1:at+60], bytes.Clone(out[at:at+59]))
			return out
		})},
		{CauseFileSize, "trailing byte", file(func(out []byte) []byte { return append(out, "x"...) })},
		{CauseFileSize, "trailing skippable frame", file(func(out []byte) []byte { return append(out, "\x50\x2a\x4d\x18\x01\x00\x00\x00x"...) })},
		{CauseFileSize, "trailing tar", file(func(out []byte) []byte { return append(out, make([]byte, 1024)...) })},
		{CauseFileSize, "another bundle behind", file(func(out []byte) []byte { return append(out, out...) })},
		{CauseFileSize, "a byte missing", file(func(out []byte) []byte { return out[:len(out)-1] })},
		{CauseFileSize, "cut off after the head", file(func(out []byte) []byte { return out[:start(out)] })},
		{CauseFileSize, "no seek table", table(func([]byte) []byte { return nil })},
		{CauseSeekTable, "a size", table(func(p []byte) []byte { p[16] ^= 1; return p })},
		{CauseSeekTable, "the magic", table(func(p []byte) []byte { p[len(p)-1] ^= 1; return p })},
		{CauseSeekTable, "checksums announced", table(func(p []byte) []byte { p[len(p)-5] ^= 0x80; return p })},
		{CauseSeekTable, "the number of frames", table(func(p []byte) []byte { p[len(p)-9]++; return p })},
		{CauseHeadBlock, "a run-length block", head(func(p []byte) { p[13] |= 2 })},
		{CauseHeadBlock, "not the last block", head(func(p []byte) { p[13] &^= 1 })},
		{CauseHeadSize, "no multiple of 512", head(func(p []byte) { p[5]++ })},
		{CauseHeadSize, "beyond the largest", head(func(p []byte) { copy(p[5:], "\x00\x00\x00\x04\x01\x00\x00\x00") })},
		{CauseHeadSize, "nothing", head(func(p []byte) { copy(p[5:], "\x00\x00\x00\x00\x00\x00\x00\x00") })},
		{CauseHeadCut, "the largest size", head(func(p []byte) { copy(p[5:], "\x00\x00\x00\x04\x00\x00\x00\x00") })},
		{CauseHeadCut, "cut off inside", file(func(out []byte) []byte { return out[:600] })},
		{CauseHeadZero, "hidden behind the manifest", head(func(p []byte) { p[len(p)-1] = 1 })},
		{CauseHeadMember, "another name", head(func(p []byte) { p[16+5] = 'x' })},
		{CauseHeadMember, "another mode", head(func(p []byte) { p[16+104] = '7' })},
		{CauseHeadMember, "a manifest length that is no number", head(func(p []byte) { p[16+130] = 'x' })},
		{CauseHeadMember, "a manifest of no bytes", head(func(p []byte) { copy(p[16+124:], "00000000000") })},
		{CauseMagic, "zip", file(func([]byte) []byte { return []byte("PK\x03\x04 and so on, a zip file") })},
		{CauseMagic, "a skippable frame before", file(func(out []byte) []byte { return append([]byte("\x50\x2a\x4d\x18\x01\x00\x00\x00x"), out...) })},
		{CauseMagic, "a head that is compressed", head(func(p []byte) { p[4] = 0xe4 })},
		{CauseShort, "empty", file(func([]byte) []byte { return nil })},
		{CauseShort, "twelve bytes", file(func(out []byte) []byte { return out[:12] })},
	}
}
