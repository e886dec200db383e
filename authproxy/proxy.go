package authproxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Proxy passes requests on to the upstreams of its routes. It is for clients on this
// machine; who they are is for the handler in front of it to know.
type Proxy struct {
	Routes []*Route
	// Log gets a record when a route begins to fail and one when it is well again; nil: no
	// records.
	Log *slog.Logger
	// Observe is told of each request when it is answered; nil: nobody is.
	Observe func(Outcome)
}

// Outcome is what became of a request.
type Outcome struct {
	Route    string // its name; empty: none has that path
	Method   string // empty: not one of the route's
	Status   int    // what the client got; 499: it had gone
	Upstream int    // what the upstream said; zero: it gave no answer
	Took     time.Duration
	Sent     int64 // bytes of the request's body that were read from the client
	Received int64 // bytes of the answer's body that went to the client
}

// statusGone is nginx's for a client that did not wait for the answer. Nobody sees it.
const statusGone = 499

// exchange is one request on its way.
type exchange struct {
	proxy *Proxy
	route *Route
	w     http.ResponseWriter
	r     *http.Request
	body  inbound
	began time.Time
	Outcome
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{proxy: p, w: w, r: r, began: time.Now()}
	defer x.observe() // also of what breaks off
	if address, ok := x.admit(); ok {
		x.forward(address)
	}
}

func (x *exchange) observe() {
	if x.proxy.Observe == nil {
		return
	}
	x.Took, x.Sent = time.Since(x.began), x.body.read.Load()
	x.proxy.Observe(x.Outcome)
}

// admit returns where the request goes, or says why nowhere.
func (x *exchange) admit() (*url.URL, bool) {
	path := x.r.URL.EscapedPath()
	switch {
	case x.r.Method == http.MethodConnect || x.r.URL.Host != "" || x.r.URL.Opaque != "":
		return x.refuse(http.StatusBadRequest, "this is no forward proxy: ask for a path and not for an address")
	case !plain(path):
		return x.refuse(http.StatusBadRequest, "the path has empty, dotted or encoded parts that not everybody reads alike")
	}
	route, rest := x.proxy.route(path)
	if route == nil {
		return x.refuse(http.StatusNotFound, "no route has this path")
	}
	x.route, x.Route = route, route.Name
	if !route.allows(x.r.Method) {
		x.w.Header().Set("Allow", strings.Join(route.methods(), ", "))
		return x.refuse(http.StatusMethodNotAllowed, "the route does not take this method")
	}
	x.Method = x.r.Method
	if x.r.ContentLength > route.maxBody() {
		return x.refuse(http.StatusRequestEntityTooLarge, tooLong(route.maxBody()))
	}
	address, ok := route.address(rest, x.r.URL.RawQuery)
	if !ok {
		return x.refuse(http.StatusBadRequest, "the query cannot be read, or has what not everybody reads alike: a semicolon, a number sign, bytes beyond ASCII")
	}
	return address, true
}

func (x *exchange) refuse(status int, why string) (*url.URL, bool) {
	x.say(status, 0, why)
	return nil, false
}

// forward sends the request and hands back what comes of it.
func (x *exchange) forward(address *url.URL) {
	ctx, cancel := context.WithTimeout(x.r.Context(), x.route.timeout())
	defer cancel()
	out := x.r.WithContext(ctx)
	out.URL, out.Host, out.Header = address, address.Host, outgoing(x.r.Header)
	out.TransferEncoding, out.Trailer, out.Close, out.RequestURI = nil, nil, false, ""
	out.Body = x.sent()
	answer, err := x.route.Transport.RoundTrip(out)
	ended := ctx.Err() // before the reading ends, which looks like a client that hangs up
	x.stopReading()
	if err != nil {
		x.explain(ended, err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	x.handBack(answer)
}

// sent is the body for the upstream, nil if there is none.
func (x *exchange) sent() io.ReadCloser {
	if x.r.ContentLength == 0 || x.r.Body == nil {
		x.body.over.Store(true)
		return nil
	}
	x.body.from, x.body.limit = x.r.Body, x.route.maxBody()
	return &x.body
}

// stopReading ends the reading of a body that nobody needs any more, since the answer
// has come: a client that is slow to send it would keep the answer waiting, for good. Its
// connection is of no use after that.
func (x *exchange) stopReading() {
	if x.body.over.Load() {
		return
	}
	if x.r.ProtoMajor == 1 { // of HTTP/2 it is only this one request
		x.w.Header().Set("Connection", "close")
	}
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Unix(1, 0)) // without deadlines the client's own end it
}
