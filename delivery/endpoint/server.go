package endpoint

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Bounds on clients, who are programs on the same machine.
const (
	headerTimeout = 2 * time.Second
	ioTimeout     = 5 * time.Second
	idleTimeout   = 30 * time.Second
	maxHeader     = 8 << 10
	maxBody       = 1 << 10
	drainTimeout  = 2 * time.Second
)

// Server is the container endpoint of one set of credentials, on loopback.
type Server struct {
	// Latest returns the credentials that there are, without asking anybody for new
	// ones: that of a [keyless.CachedProvider] that is kept.
	Latest func() (keyless.Credentials, error)
	// Audit gets one record for each issuance and refusal, without secrets; nil: nobody.
	Audit *slog.Logger

	token    keyless.Secret
	server   *http.Server
	listener net.Listener
	done     chan struct{}
}

// Start listens on a port of 127.0.0.1 that the system chooses, for programs of this
// user only.
func (s *Server) Start() error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if s.Audit == nil {
		s.Audit = slog.New(slog.DiscardHandler)
	}
	s.listener, s.token, s.done = listener, newToken(), make(chan struct{})
	s.server = &http.Server{
		Handler: s.handler(), ConnContext: remember,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0), // clients that hang up are no news
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener) // ends with ErrServerClosed
	}()
	return nil
}

func (s *Server) handler() http.Handler {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String()) // it is one
	inner := container{latest: s.Latest, token: sha256.Sum256([]byte(s.token.Reveal())), audit: s.Audit}
	return guard{
		hosts: []string{"127.0.0.1:" + port, "localhost:" + port}, uids: []int{os.Getuid()}, audit: s.Audit,
		next: http.MaxBytesHandler(inner, maxBody),
	}
}

// newToken is 256 bits, without a line end or what a header would not take.
func newToken() keyless.Secret {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return keyless.NewSecret(base64.RawURLEncoding.EncodeToString(raw[:]))
}

// URL is the value of AWS_CONTAINER_CREDENTIALS_FULL_URI.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + Path }

// Token is the value of AWS_CONTAINER_AUTHORIZATION_TOKEN.
func (s *Server) Token() keyless.Secret { return s.token }

// Close ends the server: requests under way are answered, for two seconds at most.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	<-s.done
	return err
}
