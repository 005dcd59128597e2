// Package straggler decides when a round may close although collaborators are
// still at work.
package straggler

import (
	"fx/schema"
)

// Policy is asked after every stored result.
type Policy interface {
	// Closed reports whether the round may close when done of all authorised
	// collaborators have handed in everything they were given.
	Closed(done, all int) bool
}

const openfl = "openfl.component.aggregator.straggler_handling."

// policies holds one constructor per template, in schema.CanonicalTemplate's
// spelling; "" is a plan without a policy.
// A nil constructor is a policy of OpenFL's that fx does not have.
var policies = map[string]func() Policy{
	"":                          newWaitForAll,
	openfl + "WaitForAllPolicy": newWaitForAll,
	openfl + "CutoffTimePolicy": nil,
	openfl + "PercentagePolicy": nil,
}

// New makes the policy that a plan names. Errors wrap schema.ErrInvalid.
func New(c schema.Component) (Policy, error) {
	return schema.Choose(policies, c, "straggler_handling_policy", "straggler policy")
}
