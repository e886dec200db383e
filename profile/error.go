package profile

import (
	"fmt"
	"strings"
)

// Error says what is wrong with a configuration, and where.
type Error struct {
	File    string // empty: flags
	Line    int    // zero: not known
	Path    string // for example profiles.deploy.aws.role_arn
	Message string
	Hint    string
}

// Error returns "file:line: path: message", leaving out what is empty.
func (e *Error) Error() string {
	var parts []string
	switch {
	case e.File != "" && e.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d", e.File, e.Line))
	case e.File != "":
		parts = append(parts, e.File)
	}
	if e.Path != "" {
		parts = append(parts, e.Path)
	}
	return strings.Join(append(parts, e.Message), ": ")
}

// nearest returns the known word that a person most likely meant, or "".
func nearest(word string, known []string) string {
	best, bestAt := "", 1+max(len(word)/3, 1)
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), candidate); d < bestAt {
			best, bestAt = candidate, d
		}
	}
	return best
}

// distance is how many letters have to be added, dropped, changed or swapped with
// their neighbour.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known here: " + strings.Join(known, ", ")
}
