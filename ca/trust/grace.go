package trust

import "time"

// WithGrace returns anchors under which a revocation list stays good for d after
// its next update was due. What a list revokes counts in any case.
func (a *Anchors) WithGrace(d time.Duration) *Anchors {
	b := *a
	b.grace = d
	return &b
}

// ListsDue returns when the first of the CAs that have revocation lists should
// have published its next one. ok is false when there is no list at all: then
// nothing counts as revoked.
func (a *Anchors) ListsDue() (due time.Time, ok bool) {
	for _, lists := range a.lists {
		var newest time.Time
		for _, l := range lists {
			if l.crl.NextUpdate.After(newest) {
				newest = l.crl.NextUpdate
			}
		}
		if !ok || newest.Before(due) {
			due, ok = newest, true
		}
	}
	return due, ok
}
