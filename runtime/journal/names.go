package journal

import (
	"crypto/sha256"
	"encoding/hex"
)

// ModelName is the object of the model at the start of a round.
func ModelName(round int) string { return modelName(round) }

// StateName is the object of what the aggregation remembers at the start of a
// round.
func StateName(round int) string { return stateName(round) }

// StepsName is the object of the steps to the model of a round.
func StepsName(round int) string { return stepsName(round) }

// RoundName is the object of a round's record, closing.json or outcome.json.
func RoundName(round int, record string) string { return roundName(round, record) }

// ResultName is the object of an accepted result.
func ResultName(round int, task, collaborator string) string {
	return resultName(round, task, collaborator)
}

// RecordSHA256 is the SHA-256, in hex, that an outcome has as a record.
func RecordSHA256(o Outcome) (string, error) {
	b, err := encodeRecord(o)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}
