package profile

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/delivery/endpoint"
)

// Proxy is one address at which agents send what is to go on with a credential.
type Proxy struct {
	Listen          string        `yaml:"listen" doc:"Address on loopback, or absolute path of a Unix socket, at which agents ask; keyless proxy takes 127.0.0.1:8081 if it is not told."`
	Users           []string      `yaml:"users" doc:"Users, by name or number, whose programs may ask besides the daemon's own and those of serve.users; '*' for every user of this machine."`
	ClientTokenFile string        `yaml:"client_token_file" doc:"File with a token that clients show instead (Authorization: Bearer …), whoever they are."`
	ReadyFor        time.Duration `yaml:"ready_for" doc:"For how long a token or credentials must still be good for /readyz to say yes; 5m if not set."`
	PublicHealth    bool          `yaml:"public_health" doc:"Listen on every address of the machine, as the sidecars do that keyless proxy replaces, for probes: who is not on loopback gets /health and /ready only. Every user on loopback may ask."`
	Routes          []Route       `yaml:"routes" doc:"What goes where."`
}

// Route is one upstream of a proxy.
type Route struct {
	Path           string        `yaml:"path" doc:"Path at which agents ask: exactly this one or, with a slash at the end, everything below it; / if not set."`
	Preset         string        `yaml:"preset" doc:"What the upstream is: azure-monitor-workspace, azure-logs-ingestion, azure-otlp, amazon-managed-prometheus, amazon-opensearch."`
	Upstream       string        `yaml:"upstream" doc:"Address that requests go on to: the whole of it for an exact path, otherwise what stands before the rest of the path."`
	Profile        string        `yaml:"profile" doc:"The profile whose token, or credentials, are added."`
	Methods        []string      `yaml:"methods" doc:"Methods that are let through; otherwise those of the preset, or POST."`
	SigV4          *SigV4        `yaml:"sigv4" doc:"Sign with the profile's AWS credentials; otherwise a bearer token is added. Known for presets of AWS."`
	Pass           []int         `yaml:"pass" doc:"Which of the statuses 401, 403, 408 and 429 are handed on as they are, and not turned into 503 so that agents keep their data."`
	ForbiddenFor   time.Duration `yaml:"forbidden_for" doc:"For how long a 403 is turned into 503, while a role assignment takes effect; 35m if not set."`
	Timeout        time.Duration `yaml:"timeout" doc:"How long one request may take upstream; 60s if not set."`
	MaxBody        int           `yaml:"max_body" doc:"The longest body that is taken, in bytes."`
	HTTP2          bool          `yaml:"http2" doc:"Speak HTTP/2 with the upstream. HTTP/1.1 over many connections costs less."`
	UpstreamCAFile string        `yaml:"ca_file" doc:"PEM file with the certificates to trust instead of the system's, for the upstream."`
}

// SigV4 is what AWS signatures are good for.
type SigV4 struct {
	Service         string `yaml:"service" doc:"Service that is signed for, for example aps; known for presets."`
	Region          string `yaml:"region" doc:"Region that is signed for; otherwise that in the upstream's name."`
	UnsignedPayload bool   `yaml:"unsigned_payload" doc:"Leave the body out of the signature, for services that allow it."`
}

// defaultReadyFor is how long a token must be good at least to be called one in hand: an
// agent's next few requests.
const defaultReadyFor = 5 * time.Minute

// proxies checks them, and fills in what presets know.
func (c serving) proxies(s *Serve) error {
	for i := range s.Proxy {
		p, at := &s.Proxy[i], fmt.Sprintf("proxy[%d]", i)
		if p.ReadyFor == 0 {
			p.ReadyFor = defaultReadyFor
		}
		switch err := listenable(p); {
		case err != nil:
			return c.fail(at+".listen", "", "%s", err.Error())
		case p.ReadyFor < 0:
			return c.fail(at+".ready_for", "", "want more than nothing")
		case p.ClientTokenFile != "" && len(p.Users) > 0:
			return c.fail(at+".users", "who shows the token is answered, whoever it is", "stands beside client_token_file")
		case len(p.Routes) == 0:
			return c.fail(at+".routes", "", "names no route")
		}
		for j := range p.Routes {
			if err := c.route(fmt.Sprintf("%s.routes[%d]", at, j), &p.Routes[j]); err != nil {
				return err
			}
		}
		if err := c.distinct(at, p.Routes); err != nil {
			return err
		}
	}
	return nil
}

func listenable(p *Proxy) error {
	if filepath.IsAbs(p.Listen) && !p.PublicHealth {
		return nil
	}
	if !p.PublicHealth {
		address, err := endpoint.Address(p.Listen)
		if err == nil && !address.Addr().IsLoopback() {
			err = fmt.Errorf("want an address of loopback, not %s", p.Listen)
		}
		return err
	}
	host, port, err := net.SplitHostPort(p.Listen)
	if _, parsed := netip.ParseAddrPort(net.JoinHostPort("::", port)); err != nil || host != "" || parsed != nil {
		return fmt.Errorf("want a port, for example :8081, not %q", p.Listen)
	}
	return nil
}

// route checks one, and fills in what its preset knows.
func (c serving) route(at string, r *Route) error {
	if r.Path == "" {
		r.Path = "/"
	}
	if err := c.profile(at+".profile", r.Profile); err != nil {
		return err
	}
	upstream, err := url.Parse(r.Upstream)
	if err != nil || upstream.Host == "" {
		return c.fail(at+".upstream", "for example https://….ingest.monitor.azure.com/…", "is no address")
	}
	if err := c.preset(at, r, upstream); err != nil {
		return err
	}
	switch {
	case r.SigV4 != nil && (r.SigV4.Service == "" || r.SigV4.Region == ""):
		return c.fail(at+".sigv4", "name both, or a preset and an address of AWS", "wants service and region")
	case r.SigV4 != nil && r.SigV4.UnsignedPayload && !slices.Contains(unsignedServices(), r.SigV4.Service):
		return c.fail(at+".sigv4.unsigned_payload", "leave it out", "the service %q takes no request whose body is not signed", r.SigV4.Service)
	case r.MaxBody < 0:
		return c.fail(at+".max_body", "", "want a number of bytes")
	}
	if err := r.Built().Validate(); err != nil {
		return c.fail(at, "", "%s", err.Error())
	}
	return nil
}

// unsignedServices are those that take UNSIGNED-PAYLOAD in the place of the body's hash
// ("Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference;
// "SIGv4 authenticated requests for Amazon VPC Lattice", VPC Lattice User Guide).
func unsignedServices() []string {
	return []string{"s3", "s3-outposts", "s3-object-lambda", "vpc-lattice-svcs"}
}

func (c serving) preset(at string, r *Route, upstream *url.URL) error {
	if r.Preset == "" {
		return nil
	}
	preset, ok := authproxy.PresetNamed(r.Preset)
	if !ok {
		return c.fail(at+".preset", didYouMean(r.Preset, authproxy.PresetNames()), "there is no preset %q", r.Preset)
	}
	if err := preset.Check(upstream, r.Path); err != nil {
		return c.fail(at+".upstream", "", "%s", err.Error())
	}
	if len(r.Methods) == 0 {
		r.Methods = preset.Methods
	}
	service, region := preset.SigV4(upstream)
	if service == "" {
		return nil
	}
	if r.SigV4 == nil {
		r.SigV4 = &SigV4{}
	}
	r.SigV4.Service, r.SigV4.Region = first(r.SigV4.Service, service), first(r.SigV4.Region, region)
	return nil
}

// Scope is what the preset's upstream takes tokens for; empty: nobody knows.
func (r *Route) Scope() string {
	preset, ok := authproxy.PresetNamed(r.Preset)
	upstream, err := url.Parse(r.Upstream)
	if !ok || err != nil {
		return ""
	}
	return preset.Scope(upstream)
}

// Built is the route without a credential.
func (r *Route) Built() *authproxy.Route {
	upstream, _ := url.Parse(r.Upstream) // it has been checked
	return &authproxy.Route{
		Name: r.Profile + " " + r.Path, Path: r.Path, Methods: r.Methods, Upstream: upstream,
		Pass: r.Pass, ForbiddenFor: r.ForbiddenFor, Timeout: r.Timeout, MaxBody: int64(r.MaxBody),
	}
}

// distinct finds two routes for one path.
func (c serving) distinct(at string, routes []Route) error {
	for i, r := range routes {
		if j := slices.IndexFunc(routes, func(other Route) bool { return other.Path == r.Path }); j < i {
			return c.fail(fmt.Sprintf("%s.routes[%d].path", at, i), "", "%q is another route's already", r.Path)
		}
	}
	return nil
}

// fits finds a profile whose token the upstream of a route would refuse.
func (r *Route) fits(s *Selected) error {
	want := r.Scope()
	if sameAudience(first(s.Scope, s.Audience), want) {
		return nil
	}
	return s.fail("scope", "leave it out: the preset knows it", "%s takes tokens for %s only", r.Preset, want)
}

// sameAudience knows that Entra takes https://monitor.azure.com/ for the same with and
// without the slash.
func sameAudience(a, b string) bool {
	trim := func(text string) string { return strings.TrimRight(strings.TrimSuffix(text, "/.default"), "/") }
	return trim(a) == trim(b)
}

// Routes are those of all proxies that have the profile's identity.
func (s *Serve) Routes(name string) []Route {
	var routes []Route
	for _, p := range s.Proxy {
		for _, r := range p.Routes {
			if r.Profile == name {
				routes = append(routes, r)
			}
		}
	}
	return routes
}

// Served is a profile as the daemon serves it: with the scope that the presets of its
// routes know, unless it says itself what its tokens are for.
func (c *Config) Served(s *Serve, name string, getenv func(string) string) (*Selected, error) {
	routes := slices.DeleteFunc(s.Routes(name), func(r Route) bool { return r.SigV4 != nil || r.Scope() == "" })
	var given []Given
	if node := c.root.Child("profiles").Child(name); len(routes) > 0 && node.Child("audience") == nil && node.Child("scope") == nil && node.Child("azure_ad") == nil {
		given = append(given, Given{Setting{Flag: "scope", Path: "scope"}, []string{routes[0].Scope()}})
	}
	selected, err := c.Select(name, given, getenv)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		if err := r.fits(selected); err != nil {
			return nil, err
		}
	}
	return selected, nil
}
