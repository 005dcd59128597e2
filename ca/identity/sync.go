package identity

// SyncDir makes the names in a folder durable, after a rename for example: see
// [CreateFile], which does it by itself.
func SyncDir(dir string) error { return syncDir(dir) }
