package lumberjackreceiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/keyless-id/keyless/collector/receiver/lumberjackreceiver/internal/metadata"
)

// server accepts connections. Each is served by one goroutine, and by a second one while the
// pipeline has a part of its window.
type server struct {
	config    *Config
	next      consumer.Logs
	logger    *zap.Logger
	settings  component.TelemetrySettings
	report    *receiverhelper.ObsReport
	telemetry *metadata.TelemetryBuilder
	memory    *semaphore.Weighted
	cancel    context.CancelFunc
	serving   sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	open     map[*connection]struct{}
	stopping bool
}

func newServer(set receiver.Settings, config *Config, next consumer.Logs) (*server, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	transport := "tcp"
	if config.TLS.HasValue() {
		transport = "tls"
	}
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: transport, LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	return &server{
		config: config, next: next, logger: set.Logger, settings: set.TelemetrySettings, report: report, telemetry: telemetry,
		memory: semaphore.NewWeighted(config.MaxMemoryBytes), open: make(map[*connection]struct{}),
	}, nil
}

// Start listens.
func (s *server) Start(ctx context.Context, host component.Host) error {
	var secure *tls.Config
	if s.config.TLS.HasValue() {
		var err error
		if secure, err = s.config.TLS.Get().LoadTLSConfig(ctx); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	listener, err := s.config.Listen(ctx)
	if err != nil {
		return err
	}
	// What is being delivered outlives the start, and ends with Shutdown.
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.listener, s.cancel = listener, cancel
	s.mu.Unlock()
	s.serving.Go(func() { s.accept(serving, host, secure) })
	return nil
}

// address is where the server listens, for tests that let the system choose the port.
func (s *server) address() string { return s.listener.Addr().String() }

// Shutdown takes nothing new, lets the pipeline finish what it has, and acknowledges that.
// Windows that are not read to their end stay with their senders.
func (s *server) Shutdown(ctx context.Context) error {
	if !s.stop() {
		return nil
	}
	done := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.cancel()
		return nil
	case <-ctx.Done():
		s.cancel()
		s.abandon()
		<-done
		return ctx.Err()
	}
}

// stop ends reading everywhere. It reports whether anything was started.
func (s *server) stop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return false
	}
	s.stopping = true
	_ = s.listener.Close()
	for c := range s.open {
		c.stop()
	}
	return true
}

// abandon closes what did not end in time.
func (s *server) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.peer.Close()
	}
}

func (s *server) accept(ctx context.Context, host component.Host, secure *tls.Config) {
	for {
		peer, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil && !temporary(err):
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
			return
		case err != nil:
			// Out of file descriptors, most often: the next one may end with a connection.
			s.logger.Error("Lumberjack: cannot accept a connection", zap.Error(err))
			pause(ctx, time.Second)
		default:
			s.admit(ctx, peer, secure)
		}
	}
}

func temporary(err error) bool {
	var fault net.Error
	return errors.As(err, &fault) && fault.Temporary() //nolint:staticcheck // no other word for EMFILE and ECONNABORTED
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// admit serves a connection, if there is room for one more.
func (s *server) admit(ctx context.Context, peer net.Conn, secure *tls.Config) {
	if secure != nil {
		peer = tls.Server(peer, secure)
	}
	c := &connection{server: s, peer: peer}
	if err := s.enter(c); err != nil {
		c.refuse(ctx, err)
		_ = peer.Close()
		return
	}
	s.serving.Go(func() {
		defer s.leave(ctx, c)
		s.telemetry.ReceiverLumberjackConnections.Add(ctx, 1)
		c.serve(ctx)
	})
}

var errConnections = errors.New("max_connections are open")

func (s *server) enter(c *connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return errStopping
	case len(s.open) >= s.config.MaxConnections:
		return errConnections
	}
	s.open[c] = struct{}{}
	return nil
}

func (s *server) leave(ctx context.Context, c *connection) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	_ = c.peer.Close()
	s.telemetry.ReceiverLumberjackConnections.Add(ctx, -1)
}
