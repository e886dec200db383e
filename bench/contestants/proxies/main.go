// Command proxies is an upstream, or one of the proxies that keyless is compared with:
//
//	proxies sink|default|tuned|sidecar|sigv4 -listen ADDRESS [-upstream ADDRESS] [-ca FILE] [-cert FILE -key FILE]
//
// The upstream reads what it gets and answers 204, over TLS and in the clear. "default" and
// "tuned" are net/http/httputil's ReverseProxy with net/http's transport as it is, and with
// idle connections and buffers for the load. "sidecar" and "sigv4" do, step by step, what
// aad-auth-proxy and aws-sigv4-proxy do with each request, with the libraries that they use.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"  //nolint:staticcheck // what is measured uses it
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4" //nolint:staticcheck // the same
	log "github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "proxies:", err)
		os.Exit(1)
	}
}

type settings struct {
	listen, plain, upstream, ca, cert, key string
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("which?")
	}
	var s settings
	flags := flag.NewFlagSet("proxies", flag.ContinueOnError)
	flags.StringVar(&s.listen, "listen", "", "address")
	flags.StringVar(&s.plain, "plain", "", "address of the sink without TLS")
	flags.StringVar(&s.upstream, "upstream", "", "host:port of the sink")
	flags.StringVar(&s.ca, "ca", "", "certificate to trust")
	flags.StringVar(&s.cert, "cert", "", "certificate of the sink")
	flags.StringVar(&s.key, "key", "", "its key")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "sink" {
		return sink(s)
	}
	roots, err := trust(s.ca)
	if err != nil {
		return err
	}
	handlers := map[string]func(string, *x509.CertPool) http.Handler{"default": byDefault, "tuned": tuned, "sidecar": sidecar, "sigv4": sigv4}
	handler, ok := handlers[args[0]]
	if !ok {
		return fmt.Errorf("no proxy is called %q", args[0])
	}
	return http.ListenAndServe(s.listen, handler(s.upstream, roots))
}

func trust(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", file)
	}
	return roots, nil
}

// sink answers once it has read everything.
func sink(s settings) error {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" && r.TLS != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	go func() { _ = http.ListenAndServe(s.plain, answer) }()
	return http.ListenAndServeTLS(s.listen, s.cert, s.key, answer)
}

var authorization = "Bearer " + strings.Repeat("x", 1500)

func rewrite(upstream string) func(*httputil.ProxyRequest) {
	return func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", upstream, upstream
		r.Out.Header.Set("Authorization", authorization)
	}
}

// byDefault has net/http's own transport, over HTTP/1.1: two idle connections.
func byDefault(upstream string, roots *x509.CertPool) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.ForceAttemptHTTP2, transport.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
	return &httputil.ReverseProxy{Rewrite: rewrite(upstream), Transport: transport}
}

func tuned(upstream string, roots *x509.CertPool) http.Handler {
	return &httputil.ReverseProxy{Rewrite: rewrite(upstream), BufferPool: &buffers{}, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: 512, IdleConnTimeout: time.Minute, ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10, DisableCompression: true,
		DialContext: (&net.Dialer{}).DialContext,
	}}
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }

// sidecar is aad-auth-proxy's way: the default transport, which finds HTTP/2; a span for the
// request and one for each step, instruments that are looked up each time, a line of log.
// Nobody collects the spans and counts, as if no collector had been named.
func sidecar(upstream string, roots *x509.CertPool) http.Handler {
	target := &url.URL{Scheme: "https", Host: upstream}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Director = func(r *http.Request) { //nolint:staticcheck // the same
		ctx, span := otel.Tracer(meterName).Start(r.Context(), "modifyRequest")
		defer span.End()
		span.SetAttributes(attribute.String("request.target_scheme", "https"), attribute.String("request.target_host", upstream))
		r.URL.Scheme, r.URL.Host, r.Host = "https", upstream, upstream
		count(ctx, "request_bytes_total", r.ContentLength, labels(r)...)
	}
	proxy.ModifyResponse = func(answer *http.Response) error {
		ctx, span := otel.Tracer(meterName).Start(answer.Request.Context(), "modifyResponse")
		defer span.End()
		span.SetAttributes(attribute.Int("response.status_code", answer.StatusCode), attribute.String("response.content_length", answer.Header.Get("Content-Length")))
		all := append(labels(answer.Request), attribute.Int("status_code", answer.StatusCode))
		count(ctx, "requests_total", 1, all...)
		count(ctx, "response_bytes_total", answer.ContentLength, all...)
		log.WithFields(log.Fields{
			"Request": answer.Request.URL.String(), "StatusCode": answer.StatusCode, "ContentLength": answer.ContentLength, "RequestID": answer.Header.Get("X-Ms-Request-Id"),
		}).Infoln("Successfully sent request, returning response back.")
		answer.Header.Set("Status-Code", strconv.Itoa(answer.StatusCode))
		return nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	proxy.Transport = transport
	token := strings.TrimPrefix(authorization, "Bearer ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := otel.Tracer(meterName).Start(r.Context(), "ProxyRequest")
		defer span.End()
		span.SetAttributes(attribute.String("request.path", r.URL.Path), attribute.String("request.method", r.Method), attribute.String("request.user_agent", r.UserAgent()))
		r.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		proxy.ServeHTTP(w, r.WithContext(ctx))
		if histogram, err := otel.Meter(meterName).Int64Histogram("request_duration_milliseconds"); err == nil {
			histogram.Record(ctx, time.Since(began).Milliseconds(), metric.WithAttributes(labels(r)...))
		}
	})
}

const meterName = "aad_auth_proxy"

func labels(r *http.Request) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("target_host", r.URL.Host), attribute.String("method", r.Method), attribute.String("path", r.URL.Path), attribute.String("user_agent", r.UserAgent()),
	}
}

func count(ctx context.Context, name string, n int64, all ...attribute.KeyValue) {
	if counter, err := otel.Meter(meterName).Int64Counter(name); err == nil {
		counter.Add(ctx, n, metric.WithAttributes(all...))
	}
}

// sigv4 is aws-sigv4-proxy's way: the body is read whole, and once more for the signature;
// the default client, which finds HTTP/2; the answer is read whole.
func sigv4(upstream string, roots *x509.CertPool) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	keys := credentials.NewStaticCredentials("AKIAIOSFODNN7EXAMPLE", "hunter2", strings.Repeat("x", 900))
	p := &signing{client: &http.Client{Transport: transport}, upstream: upstream, signer: v4.NewSigner(keys)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, body, err := p.do(r) //nolint:bodyclose // it is read and closed
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		for name, values := range answer.Header {
			for _, value := range values {
				w.Header().Add(name, value)
			}
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(body)
	})
}

type signing struct {
	client   *http.Client
	upstream string
	signer   *v4.Signer
}

func (p *signing) do(r *http.Request) (*http.Response, []byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	target := *r.URL
	target.Scheme, target.Host = "https", p.upstream
	sent, err := http.NewRequest(r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	sent.ContentLength = r.ContentLength
	if err := p.sign(sent); err != nil {
		return nil, nil, err
	}
	sent.TransferEncoding = []string{"identity"}
	for name, values := range r.Header {
		if sent.Header[name] == nil {
			sent.Header[name] = append([]string(nil), values...)
		}
	}
	answer, err := p.client.Do(sent)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var buffer bytes.Buffer
	_, err = io.Copy(&buffer, answer.Body)
	return answer, buffer.Bytes(), err
}

func (p *signing) sign(r *http.Request) error {
	again, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	_, err = p.signer.Sign(r, bytes.NewReader(again), "aps", "eu-west-1", time.Now())
	return err
}
