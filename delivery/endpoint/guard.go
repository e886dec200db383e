package endpoint

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/peer"
)

// guard lets nobody but programs of the right user on this machine through.
type guard struct {
	hosts []string // what the server may be called, ports included
	uids  []int    // whose programs may ask
	audit *slog.Logger
	next  http.Handler
}

// connectionKey finds the connection of a request.
type connectionKey struct{}

// remember is for http.Server.ConnContext.
func remember(ctx context.Context, connection net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, connection)
}

// ServeHTTP answers what is refused itself.
func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	switch {
	case !isLoopback(r.RemoteAddr), !slices.Contains(g.hosts, r.Host), fromElsewhere(r.Header):
		g.refuse(w, r, http.StatusForbidden, "the request does not come straight from a program on this machine")
	case !g.mayAsk(r):
		g.refuse(w, r, http.StatusForbidden, "the request comes from another user")
	default:
		g.next.ServeHTTP(w, r)
	}
}

// harden keeps answers out of caches, and browsers from guessing.
func harden(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
}

// refuse says why to the record only.
func (g guard) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	g.audit.LogAttrs(r.Context(), slog.LevelWarn, "refused", slog.String("why", why), slog.String("from", r.RemoteAddr), slog.Int("status", status))
	writeError(w, status, "AccessDenied", "Access denied.")
}

func isLoopback(address string) bool {
	remote, err := netip.ParseAddrPort(address)
	return err == nil && remote.Addr().Unmap().IsLoopback()
}

// fromElsewhere knows what browsers and proxies add; no SDK does.
func fromElsewhere(header http.Header) bool {
	for name := range header {
		switch {
		case strings.HasPrefix(name, "Sec-Fetch-"), strings.HasPrefix(name, "X-Forwarded-"),
			slices.Contains([]string{"Origin", "Referer", "Forwarded", "Via"}, name):
			return true
		}
	}
	return false
}

// mayAsk looks whose socket is at the other end, where the system tells.
func (g guard) mayAsk(r *http.Request) bool {
	connection, ok := r.Context().Value(connectionKey{}).(net.Conn)
	if !ok {
		return false
	}
	uid, err := peer.UID(connection)
	if err != nil {
		return !peer.Tells
	}
	return slices.Contains(g.uids, uid)
}
