package inspect

import (
	"crypto/sha256"
	"encoding/hex"
)

// Fingerprint names a note by what it says: 16 hexadecimal digits of a digest of
// rule, path and message. It is the same in every report that has the note.
func (n Note) Fingerprint() string {
	sum := sha256.Sum256([]byte(n.Rule + "\x00" + n.Path + "\x00" + n.Message))
	return hex.EncodeToString(sum[:8])
}
