// Package textdiff shows what changes in a text of few lines.
package textdiff

import (
	"fmt"
	"strings"
)

// around is how many unchanged lines a diff shows before and after the change.
const around = 3

// Unified returns one hunk in the unified format, from the first line that differs to the
// last; empty: none differs.
func Unified(name string, before, after []string) string {
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
	change(&b, before[start:len(before)-end], after[start:len(after)-end])
	hunk(&b, " ", before[len(before)-end:len(before)-last])
	return b.String()
}

// maxCommon bounds the table of common; what is longer is shown as replaced.
const maxCommon = 1 << 20

// change writes what goes and what comes, with the lines in between that stay.
func change(b *strings.Builder, before, after []string) {
	if len(before)*len(after) > maxCommon {
		hunk(b, "-", before)
		hunk(b, "+", after)
		return
	}
	table := common(before, after)
	for len(before) > 0 || len(after) > 0 {
		i, j := len(before), len(after)
		switch {
		case i > 0 && j > 0 && before[0] == after[0]:
			hunk(b, " ", before[:1])
			before, after = before[1:], after[1:]
		case i > 0 && (j == 0 || table[i-1][j] >= table[i][j-1]):
			hunk(b, "-", before[:1])
			before = before[1:]
		default:
			hunk(b, "+", after[:1])
			after = after[1:]
		}
	}
}

// common returns how many lines the last i of before and the last j of after have in
// common, in order.
func common(before, after []string) [][]int {
	table := make([][]int, len(before)+1)
	for i := range table {
		table[i] = make([]int, len(after)+1)
		for j := 1; i > 0 && j <= len(after); j++ {
			table[i][j] = max(table[i-1][j], table[i][j-1])
			if before[len(before)-i] == after[len(after)-j] {
				table[i][j] = table[i-1][j-1] + 1
			}
		}
	}
	return table
}

func hunk(b *strings.Builder, mark string, lines []string) {
	for _, line := range lines {
		b.WriteString(mark + line + "\n")
	}
}
