package bundle

import (
	"fmt"

	"fx/schema"
)

// Cause names what is wrong with a file that is no bundle, or no longer one. The
// words are stable: scripts may compare them. FORMAT.md says which step finds
// which.
type Cause string

// The causes, in the order in which the steps of FORMAT.md find them.
const (
	CauseNotRegular Cause = "not-a-file"   // a folder, link, device or pipe, or replaced while it was opened
	CauseShort      Cause = "file-short"   // too few bytes for any bundle
	CauseMagic      Cause = "not-a-bundle" // does not start like one
	CauseHeadSize   Cause = "head-size"    // the head frame's size is not one of the allowed
	CauseHeadCut    Cause = "head-cut"     // the file ends inside the head frame
	CauseHeadBlock  Cause = "head-block"   // a block of the head frame is not the raw block it should be
	CauseHeadMember Cause = "head-member"  // the first tar header is not exactly the manifest's
	CauseHeadZero   Cause = "head-padding" // bytes hidden behind the manifest

	CauseManifestSize    Cause = "manifest-size"      // more bytes than allowed
	CauseManifestShape   Cause = "manifest-shape"     // a line is not of the one shape, or is missing, or too many
	CauseManifestNumber  Cause = "manifest-number"    // no plain decimal number, or one out of range
	CauseManifestDigest  Cause = "manifest-digest"    // no SHA-256 in lower-case hexadecimal
	CauseManifestMode    Cause = "manifest-mode"      // neither 0644 nor 0755
	CauseManifestText    Cause = "manifest-text"      // name, version or encoder have other characters than allowed
	CauseManifestLimit   Cause = "manifest-frame-max" // frameMax is not one of the allowed
	CauseManifestEmpty   Cause = "manifest-no-files"
	CauseManifestOrder   Cause = "manifest-order"   // files out of order, or one twice
	CauseManifestTree    Cause = "manifest-tree"    // treeSha256 is not that of the list
	CauseManifestWriting Cause = "manifest-writing" // the same meaning in other bytes than the canonical ones

	CausePathLength    Cause = "path-length"
	CausePathUTF8      Cause = "path-utf8"
	CausePathNormal    Cause = "path-not-nfc"
	CausePathRune      Cause = "path-character"
	CausePathDepth     Cause = "path-depth"
	CausePathEmpty     Cause = "path-empty"     // an empty component: absolute, doubled or trailing slash
	CausePathDots      Cause = "path-dots"      // "." or ".."
	CausePathComponent Cause = "path-component" // too long, or with a space or full stop where Windows drops it
	CausePathDevice    Cause = "path-device"    // a Windows device
	CausePathReserved  Cause = "path-reserved"  // below .fxb, which belongs to the format
	CausePathClash     Cause = "path-clash"     // two paths that some file system takes for one
	CausePathCount     Cause = "path-count"     // too many files

	CauseFrameCount Cause = "frame-count"     // not as many frames as the files need
	CauseFrameSize  Cause = "frame-size"      // a compressed size that no honest frame has
	CauseFileSize   Cause = "file-size"       // bytes missing or left over at the end
	CauseSeekTable  Cause = "seek-table"      // differs from the derived one
	CauseFileCut    Cause = "file-cut"        // the file became shorter after it was opened
	CauseFrameSum   Cause = "frame-digest"    // compressed bytes other than those that the manifest states
	CauseFrameMagic Cause = "frame-magic"     // no zstd frame: another format, or a skippable frame
	CauseFrameHead  Cause = "frame-header"    // another descriptor: window, dictionary, no checksum
	CauseFrameSays  Cause = "frame-says-size" // it states another content size than the derived one
	CauseFrameBlock Cause = "frame-block"     // a reserved or incomplete block
	CauseFrameTail  Cause = "frame-tail"      // bytes behind its last block
	CauseFrameCheck Cause = "frame-checksum"  // its own checksum is wrong
	CauseFrameData  Cause = "frame-data"      // it cannot be decompressed to the derived size

	CauseOCIManifest Cause = "oci-manifest" // in a registry: the image manifest is not that of a bundle

	CauseTarHeader  Cause = "tar-header"  // a member that is not as the manifest implies: name, mode, owner, kind, size
	CauseTarZero    Cause = "tar-padding" // padding or the end of the archive is not zero
	CauseFileDigest Cause = "file-digest" // content other than the manifest states
)

// Fault is the error of bytes that are no bundle. It wraps schema.ErrInvalid,
// which commands turn into exit code 3.
type Fault struct {
	Cause Cause
	text  string
}

// Error says what was found and what is allowed.
func (f *Fault) Error() string { return schema.ErrInvalid.Error() + ": " + f.text }

// Unwrap makes errors.Is(err, schema.ErrInvalid) true.
func (f *Fault) Unwrap() error { return schema.ErrInvalid }

// Details adds the cause to the JSON of an error.
func (f *Fault) Details() map[string]any { return map[string]any{"cause": f.Cause} }

func fault(c Cause, format string, a ...any) error {
	return &Fault{Cause: c, text: fmt.Sprintf(format, a...)}
}
