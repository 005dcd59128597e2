package straggler

import (
	"time"

	"fx/schema"
)

// WaitForAll closes a round when everyone is done: OpenFL's default. A
// collaborator that never returns stops the federation.
type WaitForAll struct{}

func newWaitForAll(*schema.Settings) Policy { return WaitForAll{} }

// Closed implements Policy.
func (WaitForAll) Closed(done, all int, _ bool) bool { return all > 0 && done >= all }

// Limit implements Policy.
func (WaitForAll) Limit() time.Duration { return 0 }
