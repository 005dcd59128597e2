package egress

import (
	"slices"
	"strings"
)

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

// covers reports whether one of the globs describes every name that the pattern
// does, as far as that can be told from the glob alone: its own stars stand for
// the pattern's.
func covers(globs []string, pattern string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		// No name has these characters, so nothing but a star matches one and two.
		return match(g, strings.ReplaceAll(pattern, "*", "\x00")) && match(g, strings.ReplaceAll(pattern, "*", "\x00\x00"))
	})
}

// overlap reports whether some name matches both globs.
func overlap(a, b string) bool {
	x, y := []rune(a), []rune(b)
	// reach[j] says whether some text matches both the first i of x and the first j of y.
	reach := make([]bool, len(y)+1)
	for i := 0; i <= len(x); i++ {
		before := reach
		reach = make([]bool, len(y)+1)
		for j := 0; j <= len(y); j++ {
			switch {
			case i == 0 && j == 0:
				reach[j] = true
			case i > 0 && x[i-1] == '*' && before[j], j > 0 && y[j-1] == '*' && reach[j-1]:
				reach[j] = true // a star for no text
			case i > 0 && j > 0 && x[i-1] == '*':
				reach[j] = reach[j-1] // the star takes what y's next stands for
			case i > 0 && j > 0 && y[j-1] == '*':
				reach[j] = before[j]
			case i > 0 && j > 0:
				reach[j] = before[j-1] && (x[i-1] == y[j-1] || x[i-1] == '?' || y[j-1] == '?')
			}
		}
	}
	return reach[len(y)]
}
