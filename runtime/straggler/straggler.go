// Package straggler decides when a round may close although collaborators are
// still at work.
package straggler

import (
	"time"

	"fx/schema"
)

// Policy is asked after every stored result, and when its time is up.
type Policy interface {
	// Closed reports whether the round may close when done of all authorised
	// collaborators have handed in everything they were given. expired says that
	// Limit is over.
	Closed(done, all int, expired bool) bool
	// Limit is how long after the first task of a round was handed out the policy
	// wants to be asked with expired set; 0 is never.
	Limit() time.Duration
}

const openfl = "openfl.component.aggregator.straggler_handling."

// policies holds one constructor per template, in schema.CanonicalTemplate's
// spelling; "" is a plan without a policy.
var policies = map[string]func(*schema.Settings) Policy{
	"":                          newWaitForAll,
	openfl + "WaitForAllPolicy": newWaitForAll,
	openfl + "CutoffTimePolicy": newCutoffTime,
	openfl + "PercentagePolicy": newPercentage,
}

// New makes the policy that a plan names. Errors wrap schema.ErrInvalid.
func New(c schema.Component) (Policy, error) {
	return schema.Build(policies, c, "straggler_handling_policy", "straggler policy")
}

// maxReporting is far above the number of collaborators of any federation.
const maxReporting = 1<<31 - 1

// minimumReporting reads how many collaborators must be done at least.
func minimumReporting(s *schema.Settings) int {
	return s.Integer("minimum_reporting", 1, 1, maxReporting)
}
