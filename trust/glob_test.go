package trust

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// naive is the definition of the wildcards, exponential and plainly right.
func naive(pattern, text []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(text) == 0
	case pattern[0] == '*':
		return naive(pattern[1:], text) || len(text) > 0 && naive(pattern, text[1:])
	}
	return len(text) > 0 && (pattern[0] == '?' || pattern[0] == text[0]) && naive(pattern[1:], text[1:])
}

func TestGlobAgreesWithTheDefinition(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	word := func(letters string, n int) []rune {
		runes := []rune(letters)
		text := make([]rune, source.IntN(n))
		for i := range text {
			text[i] = runes[source.IntN(len(runes))]
		}
		return text
	}
	for range 200000 {
		pattern, text := word("ab*?é", 9), word("abé", 9)
		if got, want := newGlob(string(pattern)).match(text), naive(pattern, text); got != want {
			t.Fatalf("%q on %q: %v, want %v", string(pattern), string(text), got, want)
		}
	}
}

func TestGlobDoesNotBacktrackWithoutEnd(t *testing.T) {
	pattern := newGlob(strings.Repeat("*a", 2000) + "b")
	text := []rune(strings.Repeat("a", 20000))
	start := time.Now()
	if pattern.match(text) {
		t.Error("matched")
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestALiteralHasNoWildcards(t *testing.T) {
	if literal("a*?").match([]rune("abc")) || !literal("a*?").match([]rune("a*?")) || literal("a*?").String() != "a*?" {
		t.Error("wildcards in a literal")
	}
}
