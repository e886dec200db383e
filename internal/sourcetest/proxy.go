package sourcetest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// underProxyVariable tells a test that it runs again as a process of its own:
// net/http reads the proxy variables only once.
const underProxyVariable = "KEYLESS_TEST_UNDER_PROXY"

// UnderProxy lets ask run in a process of its own whose proxy for everything is
// a listener of this test, and returns how often that one was connected to. In
// the other process it does not return. Call it first in a top-level test.
func UnderProxy(t *testing.T, ask func(context.Context)) int {
	t.Helper()
	if os.Getenv(underProxyVariable) != "" { //nolint:forbidigo // a test that is two processes
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ask(ctx)
		t.SkipNow()
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var connections atomic.Int32
	go count(listener, &connections)
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // itself
	proxy := "http://" + listener.Addr().String()
	again.Env = append(os.Environ(), //nolint:forbidigo // a test that is two processes
		underProxyVariable+"=1", "NO_PROXY=", "no_proxy=",
		"HTTP_PROXY="+proxy, "HTTPS_PROXY="+proxy, "ALL_PROXY="+proxy, "http_proxy="+proxy, "https_proxy="+proxy)
	if output, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return int(connections.Load())
}

// count closes what it counts.
func count(listener net.Listener, connections *atomic.Int32) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		connections.Add(1)
		connection.Close()
	}
}

// proxy asks the source at its default address: whether anybody is there is not
// the question, but who is asked.
func (c Contract) proxy(t *testing.T) {
	t.Helper()
	connections := UnderProxy(t, func(ctx context.Context) { _, _ = c.New(Far{}).Token(ctx) })
	if c.Local && connections > 0 {
		t.Errorf("the proxy was asked %d times", connections)
	}
	if !c.Local && connections == 0 {
		t.Error("the proxy of the environment was not asked")
	}
}
