package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keyless-id/keyless/sandbox"
)

// tunnel is the corporate proxy: it lets CONNECT through, and leads the clouds' real
// names to the sandbox.
type tunnel struct {
	*playground
	tunnels atomic.Int32
}

func (t *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address := strings.TrimPrefix(t.TLSURL(hopOf(r.Host)), "https://")
	if r.Method != http.MethodConnect || address == "" {
		http.Error(w, "only CONNECT to the clouds", http.StatusForbidden)
		return
	}
	t.tunnels.Add(1)
	far, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(far, near) }()
	_, _ = io.Copy(near, far)
}

func hopOf(host string) sandbox.Hop {
	switch name, _, _ := net.SplitHostPort(host); {
	case name == "login.microsoftonline.com":
		return sandbox.Entra
	case strings.HasPrefix(name, "sts.") && strings.HasSuffix(name, ".amazonaws.com"):
		return sandbox.STS
	}
	return "nobody"
}

// proxy: the script's programs reach the clouds by their real names, through a proxy.
func proxy(ts *testscript.TestScript, _ bool, _ []string) {
	server := httptest.NewServer(&tunnel{playground: ground(ts)})
	ts.Defer(server.Close)
	for _, name := range []string{"AZURE_AUTHORITY_HOST", "AWS_ENDPOINT_URL_STS", "NO_PROXY", "no_proxy"} {
		ts.Setenv(name, "")
	}
	ts.Setenv("HTTPS_PROXY", server.URL)
	ts.Setenv("HTTP_PROXY", server.URL)
}
