package transport

import (
	"crypto/x509"
	"fmt"
	"time"
)

// The clock rule. A certificate outside its validity is usually just that; but
// when the evidence is against a clock, saying "expired" sends people to the
// wrong place. The cause is clock-skew when
//
//  1. the own certificate is outside its validity on the same side, too;
//  2. a certificate, the peer's or the own, begins more than maxLead from now:
//     issuers back-date, none issues that far ahead;
//  3. a certificate ended more than maxLag ago: none of a federation lives that
//     long, so nobody would still be using it;
//  4. the peer says that our certificate is expired, and by our clock it is
//     valid with more than clockTolerance to spare on either side.
const (
	clockTolerance = 5 * time.Minute
	maxLead        = 24 * time.Hour
	maxLag         = 10 * 365 * 24 * time.Hour
)

// peerValidity judges a peer's certificate that is not valid now (rules 1–3).
func peerValidity(cert, own *x509.Certificate, now time.Time) (Cause, string) {
	early := now.Before(cert.NotBefore)
	skew := false
	switch {
	case early && cert.NotBefore.Sub(now) > maxLead, !early && now.Sub(cert.NotAfter) > maxLag:
		skew = true
	case own != nil && early:
		skew = now.Before(own.NotBefore)
	case own != nil:
		skew = now.After(own.NotAfter)
	}
	what := "ended on " + stamp(cert.NotAfter)
	cause := CauseExpired
	if early {
		what = "begins on " + stamp(cert.NotBefore)
		cause = CauseNotYetValid
	}
	detail := fmt.Sprintf("certificate %s %s, and this clock says %s", subject(cert), what, stamp(now))
	if skew {
		return CauseClockSkew, detail + ": probably the clock is wrong"
	}
	return cause, detail
}

// atItsTime says whether a certificate is valid now with clockTolerance to spare.
func atItsTime(c *x509.Certificate, now time.Time) bool {
	return !now.After(c.NotAfter.Add(-clockTolerance)) && !now.Before(c.NotBefore.Add(clockTolerance))
}

// ownValidity judges the own certificate after the peer called it expired
// (rules 2–4).
func ownValidity(own *x509.Certificate, now time.Time) (Cause, string) {
	switch {
	case own == nil:
		return CauseExpired, "the aggregator says that this certificate is expired"
	case now.After(own.NotAfter), now.Before(own.NotBefore):
		cause, detail := peerValidity(own, nil, now)
		return cause, "own " + detail
	case now.After(own.NotAfter.Add(-clockTolerance)):
		return CauseExpired, fmt.Sprintf("own certificate %s ended on %s", subject(own), stamp(own.NotAfter))
	case now.Before(own.NotBefore.Add(clockTolerance)):
		return CauseNotYetValid, fmt.Sprintf("own certificate %s begins on %s", subject(own), stamp(own.NotBefore))
	}
	return CauseClockSkew, fmt.Sprintf("the aggregator says that own certificate %s is expired, but it is valid until %s and this clock says %s: one of the two clocks is wrong",
		subject(own), stamp(own.NotAfter), stamp(now))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
