package schema

import "strings"

// DidYouMean is `did you mean "x"` for the allowed word nearest to word, or ""
// if none is near.
func DidYouMean(word string, allowed []string) string {
	if best := Nearest(word, allowed); best != "" {
		return `did you mean "` + best + `"`
	}
	return ""
}

// Nearest is the allowed word at the smallest edit distance from word, or "" if
// that is more than a third of its length.
func Nearest(word string, allowed []string) string {
	if len(word) > 200 {
		return ""
	}
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, a := range allowed {
		if a == word {
			continue
		}
		d := distance(strings.ToLower(word), strings.ToLower(a))
		if d < bestDistance {
			best, bestDistance = a, d
		}
	}
	if best != "" {
		return best
	}
	for _, a := range allowed { // the right name without, or with another, package path
		tail := a[strings.LastIndexByte(a, '.')+1:]
		if a != word && len(tail) > 3 && strings.EqualFold(tail, word[strings.LastIndexByte(word, '.')+1:]) {
			return a
		}
	}
	return ""
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours that make b of a.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	rows := make([][]int, len(s)+1)
	for i := range rows {
		rows[i] = make([]int, len(t)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(s); i++ {
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(s)][len(t)]
}
