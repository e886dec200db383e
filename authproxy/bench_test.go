package authproxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/transport"
)

// sink reads what it gets and says nothing.
func sink(b *testing.B) *httptest.Server {
	b.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(server.Close)
	return server
}

// BenchmarkProxy sends one request after the other over one connection, next to a
// httputil.ReverseProxy that is tuned as well as it goes. The upstream is in the same process,
// and its memory is counted too.
func BenchmarkProxy(b *testing.B) {
	upstream := sink(b)
	base := func() *http.Transport {
		base, err := authproxy.Base(false)
		if err != nil {
			b.Fatal(err)
		}
		base.TLSClientConfig.RootCAs = upstream.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		b.Cleanup(base.CloseIdleConnections)
		return base
	}
	to, err := url.Parse(upstream.URL + "/write")
	if err != nil {
		b.Fatal(err)
	}
	provider := keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
		return keyless.Credentials{AccessKeyID: "AKID", SecretAccessKey: keyless.NewSecret("s"), SessionToken: keyless.NewSecret("t"), Expiry: time.Now().Add(time.Hour)}, nil
	})
	route := func(tripper http.RoundTripper) http.Handler {
		return &authproxy.Proxy{Routes: []*authproxy.Route{{Path: "/write", Upstream: to, Transport: tripper}}}
	}
	tuned := base()
	tuned.DialTLSContext, tuned.WriteBufferSize, tuned.ReadBufferSize = nil, 64<<10, 64<<10
	for name, handler := range map[string]http.Handler{
		"bearer":        route(&transport.Bearer{Source: keyless.Cached(&issuer{}), Hosts: []string{"127.0.0.1"}, Base: base(), InPlace: true}),
		"sigv4":         route(&transport.SigV4{Provider: keyless.CachedCredentials(provider), Region: "eu-west-1", Service: "aps", Hosts: []string{"127.0.0.1"}, Base: base(), MaxBuffer: 16 << 20}),
		"reverse proxy": &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Header.Set("Authorization", "Bearer x") }, Transport: tuned, BufferPool: slabs{&sync.Pool{New: func() any { return new([32 << 10]byte) }}}},
	} {
		front := httptest.NewServer(handler)
		b.Cleanup(front.Close)
		for _, length := range []int{1 << 10, 32 << 10, 100 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, length>>10), func(b *testing.B) { pump(b, front.Listener.Addr(), length) })
		}
	}
}

// slabs is a httputil.BufferPool.
type slabs struct{ pool *sync.Pool }

func (s slabs) Get() []byte  { return s.pool.Get().(*[32 << 10]byte)[:] }
func (s slabs) Put(b []byte) { s.pool.Put((*[32 << 10]byte)(b)) }

// pump is a client without net/http, which would allocate more than what is measured.
func pump(b *testing.B, to net.Addr, length int) {
	b.Helper()
	connection, err := (&net.Dialer{}).DialContext(b.Context(), to.Network(), to.String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	request := fmt.Appendf(nil, "POST /write HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nUser-Agent: x\r\nContent-Length: %d\r\n\r\n", length)
	request = append(request, bytes.Repeat([]byte("x"), length)...)
	answer := make([]byte, 4<<10)
	b.ReportAllocs()
	b.SetBytes(int64(length))
	for b.Loop() {
		if _, err := connection.Write(request); err != nil {
			b.Fatal(err)
		}
		n, err := connection.Read(answer)
		if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 204")) || !bytes.HasSuffix(answer[:n], []byte("\r\n\r\n")) {
			b.Fatalf("%q, %v", answer[:n], err)
		}
	}
}
