package trust

// glob is a pattern in which any stands for one character and star for any
// number of them. Patterns are runes and not text so that a * that came out of
// a policy variable is a character and not a wildcard.
type glob []rune

// Wildcards are negative so that no character of a policy can be one.
const (
	star rune = -1
	any1 rune = -2
)

// newGlob reads * and ? as wildcards.
func newGlob(pattern string) glob {
	g := make(glob, 0, len(pattern))
	for _, r := range pattern {
		g = append(g, wildcard(r))
	}
	return g
}

// literal reads * and ? as themselves.
func literal(text string) glob { return glob([]rune(text)) }

func wildcard(r rune) rune {
	switch r {
	case '*':
		return star
	case '?':
		return any1
	}
	return r
}

// match reports whether the whole of text fits. It returns to the latest star
// only, never to an earlier one (what an earlier one could take, the latest can
// take as well), so its time is at most len(g)·len(text) for any pattern.
func (g glob) match(text []rune) bool {
	i, j := 0, 0             // the next of g, the next of text
	afterStar, from := -1, 0 // where to return to
	for j < len(text) {
		switch {
		case i < len(g) && g[i] == star:
			i++
			afterStar, from = i, j
		case i < len(g) && (g[i] == any1 || g[i] == text[j]):
			i++
			j++
		case afterStar >= 0:
			from++
			i, j = afterStar, from
		default:
			return false
		}
	}
	for i < len(g) && g[i] == star {
		i++
	}
	return i == len(g)
}

// String returns the pattern as a person would write it.
func (g glob) String() string {
	text := make([]rune, len(g))
	for i, r := range g {
		switch r {
		case star:
			r = '*'
		case any1:
			r = '?'
		}
		text[i] = r
	}
	return string(text)
}

// split cuts g at separator into at most n parts; the last keeps the rest.
func (g glob) split(separator rune, n int) []glob {
	var parts []glob
	start := 0
	for i, r := range g {
		if r == separator && len(parts) < n-1 {
			parts = append(parts, g[start:i])
			start = i + 1
		}
	}
	return append(parts, g[start:])
}
