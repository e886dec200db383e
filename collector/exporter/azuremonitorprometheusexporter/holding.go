package azuremonitorprometheusexporter

import (
	"sync"
	"time"
)

// holding is why nothing gets through, and since when. Its zero value holds nothing.
type holding struct {
	mu    sync.Mutex
	code  string
	since time.Time
}

// goesOn notes a reason; tell hears of it, and that the one before is over.
func (h *holding) goesOn(code string, now time.Time, tell func(code string, since time.Duration)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.code != code {
		h.end(tell)
		h.code, h.since = code, now
	}
	// A second at least: zero says that it is over.
	tell(code, max(now.Sub(h.since), time.Second))
}

func (h *holding) over(tell func(code string, since time.Duration)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(tell)
}

func (h *holding) end(tell func(code string, since time.Duration)) {
	if h.code != "" {
		tell(h.code, 0)
	}
	h.code = ""
}
