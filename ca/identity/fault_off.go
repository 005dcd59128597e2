//go:build !(faults && unix)

package identity

// Fault marks a moment between two durable writes. In programs it does nothing;
// tests that are built with the tag faults let the process be killed there.
func Fault() {}
