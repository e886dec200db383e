package authproxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/keyless-id/keyless/internal/wire"
)

const (
	dialTimeout = 10 * time.Second // and as long again for TLS
	// idleTimeout is below the 60 s after which load balancers close an idle connection:
	// one that is closed while it is chosen costs the client a try.
	idleTimeout = 50 * time.Second
	maxIdle     = 512
	// writeBuffer holds a header and a short body, which then go out together.
	writeBuffer = 16 << 10
	maxHeader   = 64 << 10
	continueFor = time.Second
)

// Base returns a transport for the upstream of one route. It trusts the certificates in PEM
// files, without any the system's, honours HTTPS_PROXY and NO_PROXY but for this machine,
// and keeps hundreds of connections. It speaks HTTP/1.1, which costs less, unless asked for
// HTTP/2. How long an answer may take is for [Route].Timeout.
func Base(http2 bool, caFiles ...string) (*http.Transport, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0), DynamicRecordSizingDisabled: true}
	if len(caFiles) > 0 {
		roots, err := wire.PEMRoots(caFiles)
		if err != nil {
			return nil, err
		}
		secure.RootCAs = roots
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	base := &http.Transport{
		Proxy: wire.Proxy, DialContext: dialer.DialContext, TLSClientConfig: secure, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTimeout, ExpectContinueTimeout: continueFor,
		MaxResponseHeaderBytes: maxHeader, WriteBufferSize: writeBuffer, DisableCompression: true, Protocols: new(http.Protocols),
	}
	base.Protocols.SetHTTP1(true)
	if http2 {
		base.Protocols.SetHTTP2(true)
		return base, nil
	}
	base.DialTLSContext = (&tlsDialer{dialer, secure}).dial
	return base, nil
}

// tlsDialer makes connections that borrow memory to send a body, where net/http would take
// new memory for each.
type tlsDialer struct {
	dialer *net.Dialer
	secure *tls.Config
}

func (d *tlsDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := (&tls.Dialer{NetDialer: d.dialer, Config: d.secure}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return lender{connection}, nil
}

type lender struct{ net.Conn }

type load [64 << 10]byte

var loads = sync.Pool{New: func() any { return new(load) }} //nolint:gochecknoglobals // a pool for the process

// ReadFrom implements [io.ReaderFrom], which net/http looks for.
func (l lender) ReadFrom(r io.Reader) (int64, error) {
	buffer := loads.Get().(*load)
	defer loads.Put(buffer)
	return io.CopyBuffer(onlyWriter{l.Conn}, r, buffer[:])
}

type onlyWriter struct{ io.Writer }
