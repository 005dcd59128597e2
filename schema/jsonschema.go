package schema

import _ "embed" // for the schema

// planSchema is the JSON Schema of a plan, draft 2020-12.
//
//go:embed plan.schema.json
var planSchema string

// PlanSchema is the JSON Schema (draft 2020-12) of a plan, for editors and for
// schema/check.
func PlanSchema() string { return planSchema }
