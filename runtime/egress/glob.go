package egress

import "slices"

// match reports whether a glob describes a whole name. A star stands for any
// text, dots and slashes included, a question mark for any one character;
// everything else, brackets too, stands for itself.
func match(glob, name string) bool {
	g, n := []rune(glob), []rune(name)
	i, j := 0, 0          // next of glob, next of name
	star, resume := -1, 0 // the last star, and where its text ends for now
	for j < len(n) {
		switch {
		case i < len(g) && g[i] == '*':
			star, resume = i, j
			i++
		case i < len(g) && (g[i] == '?' || g[i] == n[j]):
			i++
			j++
		case star >= 0:
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	for i < len(g) && g[i] == '*' {
		i++
	}
	return i == len(g)
}

// Matches reports whether any of the globs describes the name.
func Matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return match(g, name) })
}
