package authproxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// calm is how long a route must not have failed before a success makes it well again: one
// that fails now and then is failing, and not a hundred records a minute.
const calm = 30 * time.Second

// health is whether a route works, for the records.
type health struct {
	ill   atomic.Bool // what most requests need to know
	mu    sync.Mutex
	since time.Time
	last  time.Time
	count int // of failures
}

func (p *Proxy) log() *slog.Logger {
	if p.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Log
}

// note hears of an answer that is passed on. Those that blame the request say
// nothing about the route.
func (h *health) note(log *slog.Logger, route string, status int) {
	switch {
	case status >= 200 && status <= 299:
		h.succeeded(log, route)
	case status >= 500, status == http.StatusNotFound, isRefusal(status):
		h.failed(log, route, status, answered(status))
	}
}

func answered(status int) string {
	return fmt.Sprintf("the upstream answered %d %s", status, http.StatusText(status))
}

func isRefusal(status int) bool {
	_, ok := patience(status)
	return ok
}

func (h *health) failed(log *slog.Logger, route string, status int, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = time.Now()
	h.count++
	if h.ill.Load() {
		return
	}
	h.since = h.last
	h.ill.Store(true)
	log.Warn("route fails", slog.String("route", route), slog.Int("status", status), slog.String("why", why))
}

func (h *health) succeeded(log *slog.Logger, route string) {
	if !h.ill.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if !h.ill.Load() || now.Sub(h.last) < calm {
		return
	}
	h.ill.Store(false)
	log.Info("route is well again", slog.String("route", route), slog.Duration("after", now.Sub(h.since)), slog.Int("failures", h.count))
	h.count = 0
}
