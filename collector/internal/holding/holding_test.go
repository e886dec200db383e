package holding

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestHoldingIsToldUntilItIsOver(t *testing.T) {
	var h Reason
	var told []string
	tell := func(code string, since time.Duration) { told = append(told, fmt.Sprint(code, " ", since)) }
	begin := time.Unix(1, 0)
	h.Over(tell)
	h.GoesOn("403", begin, tell)
	h.GoesOn("403", begin.Add(time.Minute), tell)
	h.GoesOn("503", begin.Add(2*time.Minute), tell)
	h.Over(tell)
	h.Over(tell)
	if want := []string{"403 1s", "403 1m0s", "403 0s", "503 1s", "503 0s"}; !slices.Equal(told, want) {
		t.Errorf("%q, want %q", told, want)
	}
}
