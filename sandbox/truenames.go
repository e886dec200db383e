package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Knows reports whether a host name or address of the real clouds is played here: for a
// name server that leads it to [Sandbox.Serve].
func (s *Sandbox) Knows(host string) bool {
	host = strings.ToLower(host)
	return host == "localhost" || isTelemetry(host) || s.named(host, "/") != nil || s.isIssuerHost(host)
}

// Serve answers on listener for all far sides, told apart by the name that the client
// asked for, until [Sandbox.Close]. It is for places in which the real names and
// addresses lead here; secure says that clients speak TLS.
func (s *Sandbox) Serve(listener net.Listener, secure bool) {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	s.start(listener, http.HandlerFunc(s.serveNamed), secure)
}

func (s *Sandbox) serveNamed(w http.ResponseWriter, r *http.Request) {
	handler := s.named(strings.ToLower(r.Host), r.URL.Path)
	if handler == nil {
		http.Error(w, "the sandbox does not play "+printable(r.Host), http.StatusNotImplemented)
		return
	}
	handler.ServeHTTP(w, r)
}

// named finds who answers for a host, with its port where that matters.
func (s *Sandbox) named(host, path string) http.Handler {
	return s.handlerFor(&url.URL{Host: standardPort(host), Path: path})
}

// standardPort leaves out what goes without saying.
func standardPort(host string) string {
	name, port, err := net.SplitHostPort(host)
	if err == nil && (port == "80" || port == "443") {
		return name
	}
	return host
}

func (s *Sandbox) isIssuerHost(host string) bool {
	for issuer := range s.index.issuers {
		if u, err := url.Parse(issuer); err == nil && strings.EqualFold(u.Hostname(), host) {
			return true
		}
	}
	return false
}

// isTelemetry knows the hosts of Azure Monitor. Those that nobody plays lead here too:
// what is sent to them must not leave the machine.
func isTelemetry(host string) bool {
	for _, domain := range []string{".monitor.azure.com", ".ods.opinsights.azure.com"} {
		if strings.HasSuffix("."+host, domain) {
			return true
		}
	}
	return false
}
