package schema

// Text reads a string that is not empty.
func (s *Settings) Text(key, fallback string) string {
	v, set := s.take(key)
	if !set {
		return fallback
	}
	text, isText := v.(string)
	if !isText || text == "" {
		s.refuse(key, "text")
		return fallback
	}
	return text
}
