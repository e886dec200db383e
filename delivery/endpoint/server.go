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

// Bounds is what a server gives to its clients at most.
type Bounds struct {
	Header      time.Duration // for a request's header
	Read, Write time.Duration // for a whole request, and for its answer; 0: the handler sees to it
	Idle        time.Duration // between two requests
	Drain       time.Duration // for requests under way when the server ends
	MaxHeader   int           // bytes
	MaxBody     int64         // bytes; 0: the handler sees to it
	// HTTP2 lets clients speak HTTP/2 that begin with it (RFC 9113, section 3.3).
	HTTP2 bool
}

// Credentials are bounds for clients that ask for little and get little, programs on the
// same machine.
func Credentials() Bounds {
	return Bounds{
		Header: 2 * time.Second, Read: 5 * time.Second, Write: 5 * time.Second, Idle: 30 * time.Second, Drain: 2 * time.Second,
		MaxHeader: 8 << 10, MaxBody: 1 << 10,
	}
}

// Agents are bounds for clients that send much, to a handler that bounds each request.
func Agents() Bounds {
	return Bounds{Header: 10 * time.Second, Idle: 2 * time.Minute, Drain: 10 * time.Second, MaxHeader: 32 << 10, HTTP2: true}
}

// maxConnections is more than a good machine needs. Beyond it those go first who have
// asked nothing.
const maxConnections = 1024

// Server is an HTTP server that is bounded in all it gives to clients.
type Server struct {
	Listener net.Listener
	Handler  http.Handler
	Bounds   Bounds // zero: [Credentials]

	server *http.Server
	done   chan struct{}
}

// Start begins to answer.
func (s *Server) Start() {
	if s.Bounds == (Bounds{}) {
		s.Bounds = Credentials()
	}
	s.server = s.Bounds.server(s.Handler)
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		_ = s.server.Serve(s.Listener) // ends with ErrServerClosed
	}()
}

func (b Bounds) server(handler http.Handler) *http.Server {
	crowd := &crowd{limit: maxConnections}
	if b.MaxBody > 0 {
		handler = http.MaxBytesHandler(handler, b.MaxBody)
	}
	server := &http.Server{
		Handler: handler, ConnContext: remember, ConnState: crowd.note,
		ReadHeaderTimeout: b.Header, ReadTimeout: b.Read, WriteTimeout: b.Write, IdleTimeout: b.Idle, MaxHeaderBytes: b.MaxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0), // clients that hang up are no news
		Protocols:                    &http.Protocols{},
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(b.HTTP2)
	return server
}

// Close ends the server: requests under way are answered, for as long as its bounds say.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.Bounds.Drain)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // who has not asked by now does without
		err = s.server.Close()
	}
	<-s.done
	return err
}
