// Package daemon keeps profiles fresh and hands them to the programs of a machine: over
// the container endpoint, IMDSv2, files that they read, and a socket for the project's
// own command line.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/profile"
)

// Daemon is a daemon that has not begun. Read, Getenv, Audit and Log must be set.
type Daemon struct {
	Read    func() (*profile.Config, error) // the configuration, anew each time
	Getenv  func(string) string
	Memory  profile.Memory // shared with the other processes of the user
	Audit   *slog.Logger   // one record for each issuance and refusal
	Log     *slog.Logger   // what people want to know
	Version string
	// ProxyOnly makes it serve the configuration's proxies without a folder of its own, in
	// which the socket and tokens for clients would be.
	ProxyOnly bool
	// Inherited are listeners that are open already, from systemd.
	Inherited []net.Listener
	// Notify tells systemd how the daemon is (sd_notify(3)); nil: nobody.
	Notify func(state string)
	// Watchdog is how often systemd wants to hear of the daemon; 0: never.
	Watchdog time.Duration

	started  time.Time
	now      *generation
	servers  map[string]*serving
	passes   map[string]*pass              // by profile
	sessions map[string]*endpoint.Sessions // of IMDS, by address: they outlive a reload
	metrics  *meters
}

// How long the daemon waits for far sides before it goes on without their answers.
const (
	warmStart  = 25 * time.Second
	warmReload = 10 * time.Second
)

// Run serves until ctx ends, and anew whenever reload tells it. It ends with an error
// only if it could not begin.
func (d *Daemon) Run(ctx context.Context, reload <-chan os.Signal) error {
	d.started, d.metrics = time.Now(), newMeters(d.Version)
	d.servers, d.passes, d.sessions = map[string]*serving{}, map[string]*pass{}, map[string]*endpoint.Sessions{}
	if d.Notify == nil {
		d.Notify = func(string) {}
	}
	p, err := d.plan()
	if err != nil {
		return err
	}
	if err := d.begin(ctx, p); err != nil {
		return errors.Join(err, d.end())
	}
	if ctx.Err() != nil { // told to end before it had begun
		return d.end()
	}
	d.Notify("READY=1\nSTATUS=" + d.now.summary())
	d.Log.Info("serving", slog.String("addresses", strings.Join(slices.Sorted(maps.Keys(d.servers)), " ")), slog.String("profiles", d.now.summary()))
	d.attend(ctx, reload)
	d.Notify("STOPPING=1")
	d.Log.Info("ending")
	return d.end()
}

// attend waits for what there is to do besides serving.
func (d *Daemon) attend(ctx context.Context, reload <-chan os.Signal) {
	turn := time.NewTicker(30 * time.Second)
	defer turn.Stop()
	alive := time.NewTicker(max(d.Watchdog/2, time.Millisecond))
	if d.Watchdog == 0 {
		alive.Stop()
	}
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			d.reload(ctx)
		case <-turn.C:
			d.rotate()
		case <-alive.C:
			d.lookAfter(ctx)
		}
	}
}

// begin serves before the first answers are there: who asks meanwhile is told so at once.
func (d *Daemon) begin(ctx context.Context, p *plan) error {
	g := d.newGeneration(p, nil)
	opened, err := d.open(ctx, g)
	if err != nil {
		return err
	}
	d.now = g
	g.start()
	d.hand(opened, g)
	d.closeUnused()
	bounded, cancel := context.WithTimeout(ctx, warmStart)
	defer cancel()
	g.warm(bounded)
	return nil
}

// closeUnused closes what systemd has opened and nobody wants: clients would hang there.
func (d *Daemon) closeUnused() {
	for _, l := range d.Inherited {
		d.Log.Warn("a socket that systemd has opened is none of the configuration's, and is closed", slog.String("address", l.Addr().String()))
		_ = l.Close() // it was not in use
	}
	d.Inherited = nil
}

// reload goes over to what the configuration says now, once that can be served. If it
// cannot, all stays as it is.
func (d *Daemon) reload(ctx context.Context) {
	d.Notify("RELOADING=1")
	defer d.Notify("READY=1")
	p, err := d.plan()
	if err == nil && (p.dir != d.now.plan.dir || p.group != d.now.plan.group) {
		err = &profile.Error{File: p.path, Path: "serve", Message: "directory and group stay as they are until the daemon is started anew", Hint: "restart it"}
	}
	if err == nil {
		err = d.change(ctx, p)
	}
	if err != nil {
		d.Log.Error("the configuration is not taken over", slog.String("error", err.Error()))
		return
	}
	d.Log.Info("the configuration is taken over", slog.String("profiles", d.now.summary()))
}

func (d *Daemon) change(ctx context.Context, p *plan) error {
	g := d.newGeneration(p, d.now)
	opened, err := d.open(ctx, g)
	if err != nil {
		return err
	}
	g.start()
	bounded, cancel := context.WithTimeout(ctx, warmReload)
	defer cancel()
	g.warm(bounded)
	before := d.now
	d.now = g
	d.hand(opened, g)
	return errors.Join(d.closeOthers(g), before.end(g), d.forget(p))
}

// forget takes away the tokens of profiles that are served no longer.
func (d *Daemon) forget(p *plan) error {
	var err error
	for name, pass := range d.passes {
		if !slices.Contains(p.doors, name) {
			err = errors.Join(err, pass.remove())
			delete(d.passes, name)
		}
	}
	return err
}

// rotate replaces tokens that are old enough.
func (d *Daemon) rotate() {
	for _, name := range d.now.plan.doors {
		p := d.passes[name]
		if !p.due(d.now.plan.serve.RotateTokens) {
			continue
		}
		if err := p.renew(); err != nil {
			d.Log.Error("the token for clients is not renewed", slog.String("profile", name), slog.String("error", err.Error()))
		}
	}
}

// lookAfter tells systemd that the daemon answers, if it does.
func (d *Daemon) lookAfter(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.Watchdog/2)
	defer cancel()
	if d.ProxyOnly { // there is no socket to ask itself at
		d.Notify("WATCHDOG=1")
		return
	}
	if err := (Client{Socket: filepath.Join(d.now.plan.dir, SocketName)}).alive(ctx); err != nil {
		d.Log.Error("the daemon does not answer itself", slog.String("error", err.Error()))
		return
	}
	d.Notify("WATCHDOG=1")
}

// end takes away all that was put somewhere.
func (d *Daemon) end() error {
	var err error
	for _, s := range d.servers {
		err = errors.Join(err, s.server.Close())
	}
	if d.now != nil {
		err = errors.Join(err, d.now.end(nil))
	}
	for _, p := range d.passes {
		err = errors.Join(err, p.remove())
	}
	return err
}

// serving is an address with what answers there, which can be another thing after a
// reload.
type serving struct {
	server  *endpoint.Server
	handler *changing
}

// hand makes a generation answer, on the servers that there are and on those that were
// opened for it.
func (d *Daemon) hand(opened map[string]*serving, g *generation) {
	for key, handler := range g.handlers {
		if s, ok := opened[key]; ok {
			d.servers[key] = s
		}
		d.servers[key].handler.set(handler)
	}
	for _, s := range opened {
		s.server.Start()
	}
}

// closeOthers closes the addresses at which a generation does not answer.
func (d *Daemon) closeOthers(g *generation) error {
	var err error
	for key, s := range d.servers {
		if _, ok := g.handlers[key]; !ok {
			err = errors.Join(err, s.server.Close())
			delete(d.servers, key)
		}
	}
	return err
}

// open opens the addresses that are not open yet, all of them or none.
func (d *Daemon) open(ctx context.Context, g *generation) (map[string]*serving, error) {
	if err := g.plan.folders(); err != nil {
		return nil, err
	}
	opened := map[string]*serving{}
	abandon := func(err error) error {
		for _, s := range opened {
			err = errors.Join(err, s.server.Listener.Close())
		}
		return err
	}
	for key, handler := range g.handlers {
		if _, ok := d.servers[key]; ok {
			continue
		}
		listener, err := d.listen(ctx, key, g.plan)
		if err != nil {
			return nil, abandon(err)
		}
		s := &serving{handler: &changing{}}
		s.handler.set(handler)
		s.server = &endpoint.Server{Listener: listener, Handler: s.handler, Bounds: g.plan.bounds(key)}
		opened[key] = s
	}
	if err := d.writeTokens(g.plan); err != nil {
		return nil, abandon(err)
	}
	return opened, nil
}
