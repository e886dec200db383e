package textdiff_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/internal/textdiff"
)

func TestADiffShowsWhatChanged(t *testing.T) {
	got := textdiff.Unified("f", strings.Split("1 2 3 4 5 6 7 8 9", " "), strings.Split("1 2 3 4 x 6 y y 8 9", " "))
	const want = "--- f\n+++ f\n@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+x\n 6\n-7\n+y\n+y\n 8\n 9\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := textdiff.Unified("f", []string{"1"}, []string{"1"}); got != "" {
		t.Errorf("nothing changed: %q", got)
	}
	long := strings.Split(strings.Repeat("a ", 2000), " ")
	if got := textdiff.Unified("f", long, slices.Repeat([]string{"b"}, 2000)); strings.Count(got, "\n-a") != 2000 || strings.Count(got, "\n+b") != 2000 {
		t.Error("a long change is not whole")
	}
}
