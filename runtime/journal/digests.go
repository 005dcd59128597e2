package journal

import (
	"io"
	"slices"
	"strings"
)

// What a result was when it came is written down before it is accepted, since its
// round's decision, which has all digests, comes later: digests/_TASK/_NAME.SHA256
// is an empty object. After an interruption there may be several, of which the
// result has one.

func digestsName(round int, task, collaborator string) string {
	return roundName(round, "digests/"+escape(task)+"/"+escape(collaborator)+".")
}

// MarkDigest records the SHA-256, in hex, of a result that is about to be accepted.
func (j *Journal) MarkDigest(round int, task, collaborator, sum string) error {
	_, err := j.create(digestsName(round, task, collaborator)+sum, func(io.Writer) error { return nil })
	return err
}

// agrees compares a result with what was recorded of it. A journal made before that
// was done has nothing to compare it with.
func (j *Journal) agrees(round int, task, collaborator, sum string) error {
	names, err := j.store.List(roundName(round, "digests/"+escape(task)))
	if err != nil {
		return err
	}
	prefix := digestsName(round, task, collaborator)
	var recorded []string
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n, prefix); ok && isSHA256(rest) { // one name may begin like another
			recorded = append(recorded, rest)
		}
	}
	if len(recorded) > 0 && !slices.Contains(recorded, sum) {
		return Damagef("%q has SHA-256 %s, it came with %s", resultName(round, task, collaborator), sum, strings.Join(recorded, " or "))
	}
	return nil
}

// isSHA256 says whether s is 64 lower-case hex digits.
func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
