package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout  = 10 * time.Second
	localTimeout = time.Second // link-local answers in microseconds, or nobody is there
)

// Cloud returns the shared client for services on the network: it honours
// HTTPS_PROXY and NO_PROXY and trusts the system's roots.
var Cloud = sync.OnceValue(func() *http.Client { //nolint:gochecknoglobals // one pool of connections for the process
	return newCloud(func() (*x509.CertPool, error) { return systemRoots(), nil })
})

// NewCloud returns a client like [Cloud] that trusts the certificates in PEM files
// instead of the system's. It reads them when the first https request needs them.
func NewCloud(files ...string) *http.Client {
	return newCloud(func() (*x509.CertPool, error) { return PEMRoots(files) })
}

func newCloud(roots func() (*x509.CertPool, error)) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Client{Transport: &lateRoots{roots: roots, Transport: &http.Transport{
		Proxy:               Proxy,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
	}}}
}

// Local returns the shared client for identity endpoints on this machine: no proxy
// ever, and it refuses to connect to anything but loopback and link-local addresses.
var Local = sync.OnceValue(func() *http.Client { //nolint:gochecknoglobals // one pool of connections for the process
	dialer := &net.Dialer{Timeout: localTimeout, Control: onlyLocal}
	return &http.Client{Transport: &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     30 * time.Second,
	}}
})

// Near is like [Local] for endpoints that the platform names in the environment: those
// of App Service and Service Fabric may be on private addresses (unverified).
var Near = sync.OnceValue(func() *http.Client { //nolint:gochecknoglobals // one pool of connections for the process
	return &http.Client{Transport: NearTransport()}
})

// NearTransport returns a transport without a proxy that refuses to connect to
// anything but loopback, link-local and private addresses.
func NearTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: localTimeout, Control: onlyNear}
	return &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second}
}

// Proxy is [http.ProxyFromEnvironment], but never sends what is meant for this machine
// through a proxy, whatever NO_PROXY says.
func Proxy(request *http.Request) (*url.URL, error) {
	if isLocalName(request.URL.Hostname()) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(request)
}

// ErrNotLocal is what the clients of [Local] and [Near] say of any other address.
var ErrNotLocal = errors.New("not a loopback or link-local address")

func onlyLocal(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if !isLocalName(host) {
		return ErrNotLocal
	}
	return nil
}

func onlyNear(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if !isNear(host) {
		return ErrNotLocal
	}
	return nil
}

func isNear(host string) bool {
	address, err := netip.ParseAddr(host)
	return isLocalName(host) || err == nil && address.Unmap().IsPrivate()
}

func isLocalName(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && (address.Unmap().IsLoopback() || address.Unmap().IsLinkLocalUnicast() || isAWSLocal(address))
}

// isAWSLocal knows the addresses under which AWS serves a host over IPv6: link-local
// in all but name ("Use the Instance Metadata Service", "EKS Pod Identity").
func isAWSLocal(address netip.Addr) bool {
	text := address.WithZone("").String()
	return text == "fd00:ec2::254" || text == "fd00:ec2::23"
}

// Endpoint parses the base address of a far side. It must be https, or http to a
// loopback or link-local address, without user, query or fragment.
func Endpoint(address string) (*url.URL, error) { return endpoint(address, isLocalName) }

// NearEndpoint is [Endpoint] for [Near]: it allows http to private addresses too.
func NearEndpoint(address string) (*url.URL, error) { return endpoint(address, isNear) }

func endpoint(address string, plainAllowed func(host string) bool) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: not a URL", Quote(address))
	}
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("address %q: want https://host[:port][/path] and nothing else", u.Redacted())
	case u.Scheme == "https", u.Scheme == "http" && plainAllowed(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("address %q: plain http is for loopback and link-local addresses only", u.Redacted())
	}
	return nil, fmt.Errorf("address %q: the scheme must be https", u.Redacted())
}

// Refused reports whether err is the far side's machine saying that nobody listens,
// or the network saying that there is no way there.
func Refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENETUNREACH) ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EHOSTDOWN)
}

// Canceled reports whether err is the caller's own doing: its context ended.
func Canceled(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// Untrusted reports whether err is a certificate that does not check out, and so
// will not do so a moment later either.
func Untrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}
