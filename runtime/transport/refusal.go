package transport

import (
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// codeOf is the gRPC code with which an aggregator refuses for a cause. An
// OpenFL collaborator shows code and text and tries again; ours reads the cause.
var codeOf = map[Cause]codes.Code{
	CauseNameMismatch:    codes.Unauthenticated,
	CauseWrongRole:       codes.Unauthenticated,
	CauseWrongCA:         codes.Unauthenticated,
	CauseExpired:         codes.Unauthenticated,
	CauseNotYetValid:     codes.Unauthenticated,
	CauseClockSkew:       codes.Unauthenticated,
	CauseRevoked:         codes.Unauthenticated,
	CauseNotInRoster:     codes.PermissionDenied,
	CauseWrongFederation: codes.FailedPrecondition,
	CauseNotApproved:     codes.FailedPrecondition,
	CauseUnavailable:     codes.Unavailable,
}

// Refusal is the gRPC status with which an aggregator refuses a request: the
// cause, a colon, and the text. A cause that no aggregator can have is Internal.
func Refusal(cause Cause, format string, a ...any) error {
	code, ok := codeOf[cause]
	if !ok {
		cause, code = CauseInternal, codes.Internal
	}
	return status.Error(code, string(cause)+": "+fmt.Sprintf(format, a...))
}

// OpenFL's own words, of 1.9 unless said otherwise. The first is also what our
// aggregator says in that case, so that an OpenFL collaborator's log reads as
// its operator knows it.
const openflNameMismatch = "Invalid collaborator. CN: |%s| collaborator_common_name: |%s|"

var openflTexts = []struct {
	contains string
	cause    Cause
}{
	{"Invalid collaborator. CN: |", CauseNameMismatch},
	{"Sender in request header is not authorized", CauseNotInRoster},
	{"Receiver in request header does not match", CauseWrongFederation},
	{"Federation UUID in request header does not match", CauseWrongFederation},
	{"Single collaborator certificate common name in request header does not match", CauseWrongFederation},
	{"Exception calling application: Empty stream message", CauseReset},
}

// emptyStream is OpenFL's answer to an upload without a byte.
const emptyStream = "Exception calling application: Empty stream message, reestablishing connection from client to resume training..."

// readRefusal says what a status that an aggregator sent means: the cause in
// our own words, in OpenFL's, or what the code alone says. final is true if
// the same request would be refused again.
func readRefusal(st *status.Status) (cause Cause, detail string, final bool) {
	text := st.Message()
	if word, rest, ok := strings.Cut(text, ": "); ok && known(word) {
		return Cause(word), clean(rest), false
	}
	detail = clean(text)
	for _, t := range openflTexts {
		if strings.Contains(text, t.contains) {
			return t.cause, detail, false
		}
	}
	detail = fmt.Sprintf("the aggregator answers %v: %s", st.Code(), detail)
	switch st.Code() {
	case codes.Unauthenticated:
		return CauseNameMismatch, detail, false
	case codes.PermissionDenied:
		return CauseNotInRoster, detail, false
	case codes.FailedPrecondition:
		return CauseWrongFederation, detail, false
	case codes.Unavailable, codes.Canceled, codes.Aborted:
		return CauseUnavailable, detail, false
	case codes.DeadlineExceeded:
		return CauseTimeout, detail, false
	case codes.InvalidArgument, codes.OutOfRange, codes.ResourceExhausted, codes.Unimplemented:
		return CauseInternal, detail, true
	}
	return CauseInternal, detail, false
}

// clean makes a peer's text safe for one line of a terminal or log.
func clean(s string) string {
	const limit = 512
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit]) + "…"
	}
	return s
}
