package endpoint

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Bounds on clients, who are programs on the same machine.
const (
	headerTimeout = 2 * time.Second
	ioTimeout     = 5 * time.Second
	idleTimeout   = 30 * time.Second
	maxHeader     = 8 << 10
	maxBody       = 1 << 10
	drainTimeout  = 2 * time.Second
	// maxConnections is more than a good machine needs. Beyond it those go first who have
	// asked nothing.
	maxConnections = 1024
)

// Server is an HTTP server that is bounded in all it gives to clients.
type Server struct {
	Listener net.Listener
	Handler  http.Handler

	server *http.Server
	done   chan struct{}
}

// Start begins to answer.
func (s *Server) Start() {
	crowd := &crowd{limit: maxConnections}
	s.done = make(chan struct{})
	s.server = &http.Server{
		Handler: http.MaxBytesHandler(s.Handler, maxBody), ConnContext: remember, ConnState: crowd.note,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0), // clients that hang up are no news
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(s.Listener) // ends with ErrServerClosed
	}()
}

// Close ends the server: requests under way are answered, for two seconds at most.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // who has not asked by now does without
		err = s.server.Close()
	}
	<-s.done
	return err
}
