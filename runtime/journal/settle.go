package journal

// Settle writes a draft's content to the disk, so that its Commit has little left
// to do: for callers that hold a lock while they commit. A store that cannot do
// it apart does it all in Commit.
func Settle(d Draft) error {
	if u, ok := d.(*Upload); ok {
		d = u.Draft
	}
	if s, ok := d.(interface{ settle() error }); ok {
		return s.settle()
	}
	return nil
}
