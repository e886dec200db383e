package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/daemon"
	"github.com/keyless-id/keyless/profile"
)

func newServe(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Keep profiles fresh and hand them to the programs of this machine",
		Long: "Run the daemon that the block serve of the configuration file describes: credentials at\n" +
			"an address on loopback, as a container or an EC2 instance has them, files that are kept\n" +
			"fresh, and a socket for keyless itself. Credentials are fetched ahead, so that nobody who\n" +
			"asks waits for the network.\n\n" +
			"Audit records go to stdout, one JSON object a line; what people want to know to stderr.\n" +
			"SIGHUP reads the configuration again; SIGTERM ends the daemon and takes away what it has\n" +
			"written.",
		Example: "  keyless serve --config /etc/keyless/keyless.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.serve(cmd.Context(), c, &daemon.Daemon{Read: func() (*profile.Config, error) { return profile.Read(p.configPath(c)) }})
		},
	}
	if p.wantsFlags(cmd.Name()) {
		c.addConfig(cmd)
		cmd.Flags().BoolVar(&c.noCache, "no-cache", false, "share nothing with the other processes of this user")
	}
	return cmd
}

// serve runs a daemon of which it is said what it reads.
func (p *program) serve(ctx context.Context, c *choice, d *daemon.Daemon) error {
	if err := keepPrivate(); err != nil {
		p.warn("this process's memory is not kept from others: " + err.Error())
	}
	if p.getenv("GOGC") == "" {
		// What lives is little next to what each request leaves: at the usual 100 a tenth of a
		// proxy's work is to collect it.
		debug.SetGCPercent(200)
	}
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	cache, warn := p.cache(c)
	if warn.first != nil {
		log.Warn(warn.first.Error())
	}
	inherited, err := p.inherited()
	if err != nil {
		return err
	}
	every, _ := systemd.SdWatchdogEnabled(false) // what is no number is not asked for
	d.Getenv, d.Memory = p.getenv, profile.Memory{Cache: cache, Warn: func(err error) { log.Warn(err.Error()) }}
	d.Audit, d.Log = slog.New(slog.NewJSONHandler(p.stdout, nil)), log
	d.Version, d.Inherited, d.Watchdog = version(), inherited, every
	d.Notify = func(state string) { _, _ = systemd.SdNotify(false, state) } // nobody listens, or nobody can be told
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	return d.Run(ctx, reload)
}

// configPath is where the configuration is; a daemon without one has nothing to do.
func (p *program) configPath(c *choice) string {
	if path := profile.Find(c.config, p.getenv); path != "" {
		return path
	}
	return "/etc/keyless/keyless.yaml" // the error names it
}

// inherited are the sockets that systemd has opened (sd_listen_fds(3)).
func (p *program) inherited() ([]net.Listener, error) {
	if p.getenv("LISTEN_FDS") == "" {
		return nil, nil
	}
	all, err := activation.Listeners()
	var listeners []net.Listener
	for _, l := range all {
		if l != nil { // a socket of another kind
			listeners = append(listeners, l)
		}
	}
	return listeners, err
}
