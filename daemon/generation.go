package daemon

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/profile"
)

// generation is what one reading of the configuration has become.
type generation struct {
	plan     *plan
	keepers  map[string]*keeper
	fresh    []*keeper               // not of the generation before
	handlers map[string]http.Handler // by the address they answer at
}

// changing is a handler in whose place another can be put between two requests.
type changing struct{ now atomic.Pointer[http.Handler] }

func (c *changing) set(h http.Handler) { c.now.Store(&h) }

func (c *changing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*c.now.Load()).ServeHTTP(w, r)
}

// newGeneration takes over the keepers of the one before that the plan has not changed.
func (d *Daemon) newGeneration(p *plan, before *generation) *generation {
	g := &generation{plan: p, keepers: map[string]*keeper{}, handlers: map[string]http.Handler{}}
	for name, k := range p.keepers {
		if before != nil && before.keepers[name] != nil && before.keepers[name].identity == k.identity {
			g.keepers[name] = before.keepers[name]
			continue
		}
		g.keepers[name] = k
		g.fresh = append(g.fresh, k)
	}
	if before != nil {
		p.keepPods(before.plan)
	}
	for _, name := range p.doors {
		if d.passes[name] == nil {
			d.passes[name] = &pass{}
		}
		d.passes[name].file = delivery.File{Path: tokenPath(p.dir, name), Group: p.group}
	}
	g.connect(before)
	d.route(g)
	return g
}

// route says who answers where.
func (d *Daemon) route(g *generation) {
	p := g.plan
	operations := d.operations(g)
	if p.dir != "" {
		g.handlers[filepath.Join(p.dir, SocketName)] = d.socket(g, operations)
	}
	for _, o := range p.proxies {
		g.handlers[o.Listen] = d.proxy(g, o)
	}
	if p.serve.Listen != profile.None {
		hosts := endpoint.Hosts(netip.MustParseAddrPort(p.serve.Listen))
		guarded := d.metrics.counted("container", endpoint.Guard{Hosts: hosts, UIDs: p.uids, Audit: d.Audit, Next: d.container(g)})
		public := d.metrics.counted("operations", endpoint.Public{Hosts: hosts, Next: operations})
		g.handlers[p.serve.Listen] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == endpoint.Path || strings.HasPrefix(r.URL.Path, "/v1/") {
				guarded.ServeHTTP(w, r)
				return
			}
			public.ServeHTTP(w, r)
		})
	}
	for _, m := range p.serve.IMDS {
		k := g.keepers[m.Profile]
		if d.sessions[m.Listen] == nil {
			d.sessions[m.Listen] = &endpoint.Sessions{}
		}
		g.handlers[m.Listen] = d.metrics.counted("imds", endpoint.Guard{
			Hosts: endpoint.Hosts(netip.MustParseAddrPort(m.Listen)), UIDs: p.uids, Audit: d.Audit,
			Next: &endpoint.Metadata{Issue: d.issue(k), Region: k.region, Sessions: d.sessions[m.Listen]},
		})
	}
	if k := p.serve.Kubernetes; k != nil {
		g.handlers[k.Listen] = d.metrics.counted("pods", d.forPods(p))
	}
}

// container has a path, and a token, for each profile.
func (d *Daemon) container(g *generation) endpoint.Container {
	doors := endpoint.Container{}
	for _, name := range g.plan.doors {
		doors[endpoint.Path+"/"+name] = &endpoint.Door{Issue: d.issue(g.keepers[name]), Tokens: d.passes[name].good}
	}
	return doors
}

func (d *Daemon) issue(k *keeper) *endpoint.Issue {
	return &endpoint.Issue{Latest: k.credentials.Latest, Name: k.name, Role: k.role, Audit: d.Audit}
}

func (g *generation) start() {
	for _, k := range g.fresh {
		k.start()
	}
}

func (g *generation) warm(ctx context.Context) {
	for _, k := range g.fresh {
		k.warm(ctx)
	}
}

// end stops what the next generation does not go on with; nil: there is none.
func (g *generation) end(next *generation) error {
	var kept []string
	if next != nil {
		for _, k := range next.keepers {
			for _, o := range k.outlets {
				kept = append(kept, o.name())
			}
		}
	}
	g.disconnect(next)
	var err error
	for name, k := range g.keepers {
		if next != nil && next.keepers[name] == k {
			continue
		}
		k.end()
		for _, o := range k.outlets {
			if !slices.Contains(kept, o.name()) {
				err = errors.Join(err, o.remove())
			}
		}
	}
	return err
}

func (g *generation) summary() string { return strings.Join(g.plan.order, " ") }
