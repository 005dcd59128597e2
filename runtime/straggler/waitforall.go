package straggler

// WaitForAll closes a round when everyone is done: OpenFL's default. A
// collaborator that never returns stops the federation.
type WaitForAll struct{}

func newWaitForAll() Policy { return WaitForAll{} }

// Closed implements Policy.
func (WaitForAll) Closed(done, all int) bool { return all > 0 && done >= all }
