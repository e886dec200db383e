package daemon

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/transport"
)

// Paths at which the sidecars that keyless proxy replaces say how they are.
const (
	sidecarHealth = "/health"
	sidecarReady  = "/ready"
)

// everybody among the users of a proxy is every user of the machine.
const everybody = "*"

// outbound is a proxy's address.
type outbound struct {
	profile.Proxy
	uids   []int
	token  keyless.Secret // that clients show; zero: they are told by their users
	routes []*outward
}

// outward is a route with the keeper whose token it adds.
type outward struct {
	config  profile.Route
	trusted string // certificates
	keeper  *keeper
	base    *http.Transport
	*authproxy.Route
}

// outbounds are what the configuration says of proxies; their routes have no credentials yet.
func (p *plan) outbounds() error {
	for i, entry := range p.serve.Proxy {
		o := &outbound{Proxy: entry, uids: slices.Clone(p.uids)}
		for j, name := range entry.Users {
			if name == everybody {
				continue
			}
			uid, err := userID(name)
			if err != nil {
				return p.wrong(fmt.Sprintf("proxy[%d].users[%d]", i, j), err)
			}
			o.uids = append(o.uids, uid)
		}
		if entry.ClientTokenFile != "" {
			token, err := readToken(entry.ClientTokenFile)
			if err != nil {
				return p.wrong(fmt.Sprintf("proxy[%d].client_token_file", i), err)
			}
			o.token = token
		}
		for j, config := range entry.Routes {
			r := &outward{config: config, Route: config.Built()}
			if err := r.dial(); err != nil {
				return p.wrong(fmt.Sprintf("proxy[%d].routes[%d].ca_file", i, j), err)
			}
			o.routes = append(o.routes, r)
		}
		p.proxies = append(p.proxies, o)
	}
	return nil
}

// dial makes the transport, with the certificates that the upstream is trusted by.
func (r *outward) dial() (err error) {
	var files []string
	if file := r.config.UpstreamCAFile; file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		files, r.trusted = []string{file}, string(data)
	}
	r.base, err = authproxy.Base(r.config.HTTP2, files...)
	return err
}

// minClientToken is the fewest bytes of a token that nobody guesses.
const minClientToken = 16

func readToken(path string) (keyless.Secret, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return keyless.Secret{}, err
	}
	token := strings.TrimSpace(string(data))
	if len(token) < minClientToken || strings.ContainsAny(token, " \t\r\n") {
		return keyless.Secret{}, fmt.Errorf("%s: want one word of at least %d characters", path, minClientToken)
	}
	return keyless.NewSecret(token), nil
}

// adds reports whether a proxy adds the token, or signs with the credentials, of a profile.
func (p *plan) adds(name string, signs bool) bool {
	return slices.ContainsFunc(p.serve.Proxy, func(entry profile.Proxy) bool {
		return slices.ContainsFunc(entry.Routes, func(r profile.Route) bool { return r.Profile == name && (r.SigV4 != nil) == signs })
	})
}

// margin is for how long a profile's token or credentials must be good for its proxies.
func (p *plan) margin(name string) time.Duration {
	var most time.Duration
	for _, entry := range p.serve.Proxy {
		if slices.ContainsFunc(entry.Routes, func(r profile.Route) bool { return r.Profile == name }) {
			most = max(most, entry.ReadyFor)
		}
	}
	return most
}

// bounds are those of the server at an address.
func (p *plan) bounds(listen string) endpoint.Bounds {
	if slices.ContainsFunc(p.proxies, func(o *outbound) bool { return o.Listen == listen }) {
		return endpoint.Agents()
	}
	return endpoint.Credentials()
}

// connect gives the routes of a generation their credentials; those that nothing has changed
// go on with their connections, and with what they know of their upstream.
func (g *generation) connect(before *generation) {
	for _, o := range g.plan.proxies {
		for i, r := range o.routes {
			r.keeper = g.keepers[r.config.Profile]
			if old := before.outward(o.Listen, r); old != nil {
				o.routes[i] = old
				continue
			}
			r.Transport = r.authorized()
		}
	}
}

// authorized adds the credential.
func (r *outward) authorized() http.RoundTripper {
	hosts := []string{r.Upstream.Host}
	if s := r.config.SigV4; s != nil {
		return &transport.SigV4{
			Provider: r.keeper.credentials, Region: s.Region, Service: s.Service, Hosts: hosts, Base: r.base,
			UnsignedPayload: s.UnsignedPayload, MaxBuffer: r.MaxBody,
		}
	}
	return &transport.Bearer{Source: r.keeper.token, Hosts: hosts, Base: r.base, InPlace: true}
}

// outward finds a route's like.
func (g *generation) outward(listen string, like *outward) *outward {
	if g == nil {
		return nil
	}
	for _, o := range g.plan.proxies {
		for _, r := range o.routes {
			if o.Listen == listen && r.keeper == like.keeper && r.trusted == like.trusted && reflect.DeepEqual(r.config, like.config) {
				return r
			}
		}
	}
	return nil
}

// disconnect closes the connections of routes that the next generation has not.
func (g *generation) disconnect(next *generation) {
	for _, o := range g.plan.proxies {
		for _, r := range o.routes {
			if next.outward(o.Listen, r) != r {
				r.base.CloseIdleConnections()
			}
		}
	}
}

// proxy answers at a proxy's address.
func (d *Daemon) proxy(g *generation, o *outbound) http.Handler {
	routes := make([]*authproxy.Route, len(o.routes))
	for i, r := range o.routes {
		routes[i] = r.Route
	}
	var agents http.Handler = &authproxy.Proxy{Routes: routes, Log: d.Log, Observe: d.metrics.proxied}
	if !o.token.IsZero() {
		agents = shown(o.token, agents)
	}
	hosts := o.hosts()
	guarded := endpoint.Guard{
		Hosts: hosts, UIDs: o.uids, Audit: d.Audit, Next: agents,
		Hint:    "users of serve.proxy names who may ask, and requests are for the address as it is configured",
		Anybody: !o.token.IsZero() || o.PublicHealth || slices.Contains(o.Users, everybody),
	}
	public := endpoint.Public{Hosts: hosts, Next: d.operations(g)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			guarded.ServeHTTP(w, r)
		case o.PublicHealth && path == sidecarHealth:
			writeLine(w, http.StatusOK, "ok")
		case o.PublicHealth && path == sidecarReady:
			g.sayReady(w)
		case path == metricsPath || path == healthPath || path == readyPath:
			public.ServeHTTP(w, r)
		default:
			guarded.ServeHTTP(w, r)
		}
	})
}

// hosts are what the proxy may be called; over a Unix socket that does not matter.
func (o *outbound) hosts() []string {
	if filepath.IsAbs(o.Listen) {
		return nil
	}
	if !o.PublicHealth {
		return endpoint.Hosts(netip.MustParseAddrPort(o.Listen))
	}
	return slices.Concat(endpoint.Hosts(netip.MustParseAddrPort("127.0.0.1"+o.Listen)), endpoint.Hosts(netip.MustParseAddrPort("[::1]"+o.Listen)))
}

// shown lets through who shows the token (RFC 6750, section 2.1).
func shown(token keyless.Secret, next http.Handler) http.Handler {
	want := []byte("Bearer " + token.Reveal())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="keyless"`)
			writeLine(w, http.StatusUnauthorized, "keyless: show the token of client_token_file: Authorization: Bearer …")
			return
		}
		next.ServeHTTP(w, r)
	})
}
