package sourcetest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// underProxyVariable tells a test that it runs again as a process of its own:
// net/http reads the proxy variables only once.
const underProxyVariable = "KEYLESS_TEST_UNDER_PROXY"

// underProxy asks the source at its default address, if this is that process.
func (c Contract) underProxy() bool {
	if os.Getenv(underProxyVariable) == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = c.New(Far{}).Token(ctx) // whether anybody is there is not the question
	return true
}

// noProxy sets a proxy for everything and wants it to see nothing.
func (c Contract) noProxy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int32
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			connection.Close()
		}
	}()
	defer listener.Close()
	outer, _, _ := strings.Cut(t.Name(), "/")
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+outer+"$") //nolint:gosec // itself
	proxy := "http://" + listener.Addr().String()
	again.Env = append(os.Environ(), underProxyVariable+"=1", "NO_PROXY=", "no_proxy=",
		"HTTP_PROXY="+proxy, "HTTPS_PROXY="+proxy, "ALL_PROXY="+proxy, "http_proxy="+proxy, "https_proxy="+proxy)
	if output, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if got := connections.Load(); got != 0 {
		t.Errorf("the proxy was asked %d times", got)
	}
}
