package authproxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/transport"
)

// canary is in every credential of these tests, and must be in no answer and no record.
const canary = "hunter2"

// issuer hands out numbered tokens, or an error.
type issuer struct {
	mu    sync.Mutex
	asked int
	err   error
}

func (i *issuer) Token(ctx context.Context) (keyless.Token, error) {
	return i.Refresh(ctx, keyless.Token{}, "")
}

func (i *issuer) Refresh(context.Context, keyless.Token, string) (keyless.Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	now := time.Now()
	return keyless.Token{Value: keyless.NewSecret(fmt.Sprintf("%s.%d", canary, i.asked)), Obtained: now, Expiry: now.Add(time.Hour)}, i.err
}

// arrival is a request as the upstream got it.
type arrival struct {
	method, uri, host string
	header            http.Header
	length            int64
	body              string
	err               error // of the body
}

// upstream notes what arrives and answers with what it is told to.
type upstream struct {
	*httptest.Server
	mu  sync.Mutex
	all []arrival
}

func newUpstream(t *testing.T, answer http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		a := arrival{r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.ContentLength, string(content), err}
		u.mu.Lock()
		u.all = append(u.all, a)
		u.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) seen() []arrival {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all
}

func (u *upstream) base(t *testing.T) *http.Transport {
	t.Helper()
	base, err := authproxy.Base(false)
	if err != nil {
		t.Fatal(err)
	}
	base.TLSClientConfig.RootCAs = u.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(base.CloseIdleConnections)
	return base
}

func address(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// bearer is a route to the upstream with a token.
func (u *upstream) bearer(t *testing.T, path, rest string) *authproxy.Route {
	t.Helper()
	return &authproxy.Route{
		Name: "metrics", Path: path, Upstream: address(t, u.URL+rest),
		Transport: &transport.Bearer{Source: keyless.Cached(&issuer{}), Hosts: []string{"127.0.0.1"}, Base: u.base(t), InPlace: true},
	}
}

// front is a proxy on a port of its own.
type front struct {
	*httptest.Server
	outcomes chan authproxy.Outcome
	records  *records
}

func newFront(t *testing.T, routes ...*authproxy.Route) *front {
	t.Helper()
	for _, r := range routes {
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	f := &front{outcomes: make(chan authproxy.Outcome, 256), records: &records{}}
	f.Server = httptest.NewUnstartedServer(&authproxy.Proxy{
		Routes: routes, Observe: func(o authproxy.Outcome) { f.outcomes <- o },
		Log: slog.New(slog.NewTextHandler(f.records, nil)),
	})
	f.Config.DisableGeneralOptionsHandler = true
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

// records are written by many and read by the test.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *records) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.FieldsFunc(r.text.String(), func(c rune) bool { return c == '\n' })
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) own() bool { return r.header.Get("Keyless-Error") != "" }

// send makes a request, follows no redirect and reads the answer.
func (f *front) send(t *testing.T, method, target string, body io.Reader, change ...func(*http.Request)) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	answer, err := f.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return checked(t, reply{answer.StatusCode, answer.Header, string(content)})
}

// checked looks at what every answer must be like.
func checked(t *testing.T, r reply) reply {
	t.Helper()
	if strings.Contains(fmt.Sprint(r), canary) {
		t.Errorf("a credential in %v", r)
	}
	if r.own() != strings.HasPrefix(r.body, "keyless: ") || r.own() && !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Errorf("it does not say rightly whose it is: %v", r)
	}
	return r
}

// raw writes bytes and reads one answer, for what clients of net/http do not send.
func (f *front) raw(t *testing.T, text string) reply {
	t.Helper()
	connection := f.dial(t)
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
	return readReply(t, connection)
}

func (f *front) dial(t *testing.T) net.Conn {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return connection
}

func (f *front) outcome(t *testing.T) authproxy.Outcome {
	t.Helper()
	select {
	case o := <-f.outcomes:
		return o
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was observed")
	}
	return authproxy.Outcome{}
}

func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// tripper is a function as an upstream without a network.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answerOf(status int, body string, header ...string) *http.Response {
	answer := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	for i := 0; i < len(header); i += 2 {
		answer.Header.Set(header[i], header[i+1])
	}
	return answer
}

// offline is a proxy of one route for which answer is the upstream.
func offline(t *testing.T, answer tripper) (*authproxy.Proxy, *authproxy.Route) {
	t.Helper()
	r := &authproxy.Route{Name: "metrics", Path: "/write", Upstream: address(t, "https://example.com/write"), Transport: answer}
	return &authproxy.Proxy{Routes: []*authproxy.Route{r}}, r
}

// ask sends a request to a proxy without a network.
func ask(t *testing.T, p *authproxy.Proxy, path string) reply {
	t.Helper()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("x")))
	return checked(t, reply{w.Code, w.Header(), w.Body.String()})
}

func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}
