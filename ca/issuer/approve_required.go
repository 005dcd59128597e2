package issuer

// required is how many approvals every certificate of a participant needs; the
// root's record says it, so that it stands under every checkpoint.
func required(records []*Record) int {
	for _, r := range records {
		if r.Required > 0 {
			return r.Required
		}
	}
	return 0
}
