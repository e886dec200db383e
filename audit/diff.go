package audit

import (
	"fmt"
	"strings"
)

// around is how many unchanged lines a diff shows before and after the change.
const around = 3

// diff returns one hunk in the unified format from the first line that differs to the
// last; a fix changes one place.
func diff(name string, before, after []string) string {
	start := 0
	for start < min(len(before), len(after)) && before[start] == after[start] {
		start++
	}
	end := 0 // counted from behind
	for end < min(len(before), len(after))-start && before[len(before)-1-end] == after[len(after)-1-end] {
		end++
	}
	if start == len(before) && start == len(after) {
		return ""
	}
	first, last := max(0, start-around), max(0, end-around)
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", name, name, first+1, len(before)-last-first, first+1, len(after)-last-first)
	hunk(&b, " ", before[first:start])
	hunk(&b, "-", before[start:len(before)-end])
	hunk(&b, "+", after[start:len(after)-end])
	hunk(&b, " ", before[len(before)-end:len(before)-last])
	return b.String()
}

func hunk(b *strings.Builder, mark string, lines []string) {
	for _, line := range lines {
		b.WriteString(mark + line + "\n")
	}
}
