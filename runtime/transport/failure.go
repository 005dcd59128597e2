package transport

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
)

// Failure is why one request to the aggregator got no good answer. It comes
// out of every method of Client; errors.As finds it.
type Failure struct {
	Cause  Cause
	Addr   string // the aggregator's "host:port"
	Detail string // what was seen, for a person
	Hint   string // what to do about it, where that is known
	Err    error  // what the network, TLS or gRPC said; may be nil

	final bool // retrying is useless although the cause alone would allow it
}

// Error says what was attempted, what was seen, and the cause in brackets.
func (f *Failure) Error() string {
	return fmt.Sprintf("cannot talk to aggregator %q: %s (%s)", f.Addr, f.Detail, f.Cause)
}

// Unwrap gives what the network, TLS or gRPC said.
func (f *Failure) Unwrap() error { return f.Err }

// Retry says whether the same request may succeed later with nothing changed
// on this side. It is false for a cause that only a person can mend.
func (f *Failure) Retry() bool {
	return !f.final && remedies[f.Cause].retry
}

// LogValue gives a log the parts of a failure as attributes.
func (f *Failure) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("cause", string(f.Cause)),
		slog.String("addr", f.Addr),
		slog.String("detail", f.Detail),
		slog.String("hint", f.Hint),
	)
}

// newFailure fills in the hint that belongs to the cause.
func newFailure(cause Cause, addr, detail string, err error) *Failure {
	f := &Failure{Cause: cause, Addr: addr, Detail: detail, Err: err}
	host, port, splitErr := net.SplitHostPort(addr)
	if splitErr != nil {
		host, port = addr, "?"
	}
	f.Hint = strings.NewReplacer("{host}", host, "{port}", port).Replace(remedies[cause].hint)
	return f
}
