package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// network is what a sandbox holds open.
type network struct {
	mu      sync.Mutex
	servers []*http.Server
	plain   map[Hop]string // host:port
	secure  map[Hop]string
	byHost  map[string]Hop
	running sync.WaitGroup
	ca      authority
}

// Listen opens one http and one https address for every far side. addr is
// host:port or empty, which means 127.0.0.1:0. With port 0 the system chooses
// all ports; otherwise they follow each other: Entra, IMDS, STS, S3, App Service,
// Arc, the data collection endpoint, the Azure Monitor workspace, Amazon's, IAM, Microsoft Graph, Azure Resource
// Manager, CloudWatch, the API of EC2, that of tagging, Elasticsearch, then the
// https twins in the same order. An address that other machines reach is refused unless
// Options.AllowNonLoopback: anyone there could become anyone.
func (s *Sandbox) Listen(addr string) error {
	host, port, err := splitAddress(addr)
	if err != nil {
		return fmt.Errorf("sandbox: listen: %w", err)
	}
	if !isLoopbackHost(host) && !s.options.AllowNonLoopback {
		return fmt.Errorf("sandbox: listen: %q is %w", host, ErrNotLoopback)
	}
	if err := s.listenAll(host, port); err != nil {
		return errors.Join(fmt.Errorf("sandbox: listen: %w", err), s.Close())
	}
	return nil
}

func splitAddress(addr string) (host string, port int, err error) {
	if addr == "" {
		return "127.0.0.1", 0, nil
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535-2*addresses {
		return "", 0, fmt.Errorf("port %q is out of range", text)
	}
	return host, port, nil
}

func (s *Sandbox) listenAll(host string, port int) error {
	n := &s.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.servers) > 0 {
		return errors.New("already listening")
	}
	n.plain, n.secure, n.byHost = map[Hop]string{}, map[Hop]string{}, map[string]Hop{}
	for twin, named := range []map[Hop]string{n.plain, n.secure} {
		for i, h := range served() {
			at := 0
			if port != 0 {
				at = port + twin*addresses + i
			}
			listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(at)))
			if err != nil {
				return err
			}
			named[h] = reachable(listener.Addr())
			n.byHost[named[h]] = h
			s.start(listener, s.Handler(h), twin == 1)
		}
	}
	return nil
}

// reachable returns an address that a client on this machine can use, also when
// the listener is on all of them.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
}

// start serves a listener; the caller holds the network's lock.
func (s *Sandbox) start(listener net.Listener, handler http.Handler, secure bool) {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that hang up are no news
	}
	if secure {
		listener = tls.NewListener(listener, &tls.Config{GetCertificate: s.network.ca.certificateFor, NextProtos: []string{"http/1.1"}})
	}
	s.network.servers = append(s.network.servers, server)
	s.network.running.Add(1)
	go func() {
		defer s.network.running.Done()
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
}

// Close ends what Listen started and removes the challenge files of Arc. A sandbox
// that never listened and plays no Arc needs no Close.
func (s *Sandbox) Close() error {
	s.arc.close()
	n := &s.network
	n.mu.Lock()
	servers := n.servers
	n.servers, n.byHost = nil, nil
	n.mu.Unlock()
	var errs []error
	for _, server := range servers {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		if server.Shutdown(ctx) != nil {
			errs = append(errs, server.Close())
		}
		cancel()
	}
	n.running.Wait()
	return errors.Join(errs...)
}

// URL returns the http address of a far side without a trailing slash, empty
// before Listen.
func (s *Sandbox) URL(h Hop) string { return s.network.url("http://", h) }

// TLSURL is URL for the https twin; its certificate is signed by [Sandbox.CAPEM].
func (s *Sandbox) TLSURL(h Hop) string { return s.network.url("https://", h) }

func (n *network) url(scheme string, h Hop) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	named := n.plain
	if scheme == "https://" {
		named = n.secure
	}
	h = addressOf(h)
	if named[h] == "" {
		return ""
	}
	return scheme + named[h]
}

func (n *network) hopAt(host string) (Hop, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h, found := n.byHost[host]
	return h, found
}

// Env returns NAME=value pairs that lead clients to the listening sandbox, no
// secret among them. AZURE_AUTHORITY_HOST is https because the SDKs insist; the
// certificate authority is for the caller to place.
func (s *Sandbox) Env() []string {
	var tenantID string
	if len(s.index.ordered) > 0 {
		tenantID = s.index.ordered[0].ID
	}
	return []string{
		"AZURE_AUTHORITY_HOST=" + s.TLSURL(Entra) + "/",
		"AZURE_POD_IDENTITY_AUTHORITY_HOST=" + s.URL(IMDS),
		"AZURE_TENANT_ID=" + tenantID,
		"AWS_ENDPOINT_URL_STS=" + s.URL(STS),
		"AWS_ENDPOINT_URL_IAM=" + s.URL(IAM),
		"AWS_ENDPOINT_URL_S3=" + s.URL(S3),
		"AWS_ENDPOINT_URL_CLOUDWATCH=" + s.URL(CloudWatch),
		"AWS_ENDPOINT_URL_EC2=" + s.URL(EC2API),
		"AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API=" + s.URL(Tagging),
		"AWS_REGION=" + defaultRegion,
		"AWS_DEFAULT_REGION=" + defaultRegion, // botocore reads only this one
	}
}

// defaultRegion is where a request is when its host does not say.
const defaultRegion = "us-east-1"
