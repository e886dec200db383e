package endpoint

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/keyless-id/keyless/internal/peer"
)

// Guard lets nobody but programs of the right users on this machine through, and writes
// down whom it refused. Its server is a [Server], which remembers connections.
type Guard struct {
	Hosts []string // what the server may be called, ports included; over a Unix socket, which has no name, any
	UIDs  []int    // whose programs may ask
	// Anybody lets every user's programs ask.
	Anybody bool
	// Hint is told with the reason to whoever is refused, at servers that hand out nothing;
	// empty: only the record has the reason.
	Hint  string
	Audit *slog.Logger
	Next  http.Handler
}

// ServeHTTP answers what is refused itself.
func (g Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	switch {
	case !g.isDirect(r):
		g.refuse(w, r, notDirect)
	case !g.mayAsk(r):
		g.refuse(w, r, "the request comes from another user")
	default:
		g.Next.ServeHTTP(w, r)
	}
}

func (g Guard) refuse(w http.ResponseWriter, r *http.Request, why string) {
	if g.Hint == "" {
		Refuse(w, r, g.Audit, why)
		return
	}
	refused(g.Audit, r, why, http.StatusForbidden)
	writeError(w, http.StatusForbidden, "AccessDenied", "keyless: "+why+" ("+g.Hint+")")
}

// isDirect reports whether the request comes from this machine, and neither from a
// browser nor through a proxy.
func (g Guard) isDirect(r *http.Request) bool {
	return !fromElsewhere(r.Header) && (isUnix(r) || isFromHere(r) && slices.Contains(g.Hosts, r.Host))
}

// mayAsk looks whose socket is at the other end, where the system tells.
func (g Guard) mayAsk(r *http.Request) bool {
	if g.Anybody {
		return true
	}
	who, err := callerOf(r).look()
	if err != nil {
		return !peer.Tells
	}
	return slices.Contains(g.UIDs, who.UID)
}

// Direct lets through whoever calls the server by its name, and neither from a browser
// nor through a proxy: for clients whose token alone tells who they are.
type Direct struct {
	Hosts []string // what the server may be called, ports included
	Audit *slog.Logger
	Next  http.Handler
}

// ServeHTTP answers what is refused itself.
func (d Direct) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	if fromElsewhere(r.Header) || !slices.Contains(d.Hosts, r.Host) {
		Refuse(w, r, d.Audit, notDirect)
		return
	}
	d.Next.ServeHTTP(w, r)
}

const notDirect = "the request does not come straight from a program on this machine"

// Refuse says no, and why to the record only.
func Refuse(w http.ResponseWriter, r *http.Request, audit *slog.Logger, why string) {
	refused(audit, r, why, http.StatusForbidden)
	writeError(w, http.StatusForbidden, "AccessDenied", "Access denied.")
}

// refused is the record of whoever got nothing.
func refused(audit *slog.Logger, r *http.Request, why string, status int) {
	audit.LogAttrs(r.Context(), slog.LevelWarn, "refused", slog.String("why", why), Caller(r), slog.Int("status", status))
}

// harden keeps answers out of caches, and browsers from guessing.
func harden(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
}

func isUnix(r *http.Request) bool {
	_, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr)
	return ok
}

// isFromHere reports whether the client's address is one of this machine: loopback, or
// the very address that was called. Another machine on the network can reach an address
// outside of loopback, but has one of its own.
func isFromHere(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if remote.Addr().Unmap().IsLoopback() {
		return true
	}
	called, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && called.AddrPort().Addr().Unmap() == remote.Addr().Unmap()
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

// connection is what is known of a client, found when first wanted and then kept: most
// clients ask more than once.
type connection struct {
	net.Conn
	once sync.Once
	who  peer.Peer
	err  error
}

func (c *connection) look() (peer.Peer, error) {
	if c == nil {
		return peer.Peer{}, peer.ErrUnknown
	}
	c.once.Do(func() { c.who, c.err = peer.Of(c.Conn) })
	return c.who, c.err
}

// connectionKey finds the connection of a request.
type connectionKey struct{}

// remember is for http.Server.ConnContext.
func remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{Conn: conn})
}

func callerOf(r *http.Request) *connection {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	return c
}

// Caller says for the record who asked, as far as it is known.
func Caller(r *http.Request) slog.Attr {
	who, err := callerOf(r).look()
	known := make([]any, 0, 4)
	if r.RemoteAddr != "" && r.RemoteAddr != "@" {
		known = append(known, slog.String("address", r.RemoteAddr))
	}
	if err == nil {
		known = append(known, slog.Int("uid", who.UID))
	}
	if who.PID != 0 {
		known = append(known, slog.Int("pid", who.PID), slog.String("exe", who.Exe))
	}
	return slog.Group("caller", known...)
}
