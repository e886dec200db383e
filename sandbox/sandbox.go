package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// Options say how a sandbox runs. The zero value is fine.
type Options struct {
	// Logger gets one line an event; nil: silent.
	Logger *slog.Logger

	// Now is the clock of all far sides; nil: time.Now.
	Now func() time.Time

	// AllowNonLoopback lets Listen use an address that other machines reach.
	AllowNonLoopback bool

	// ArcTokenDir is the existing folder that the agent of Azure Arc writes its
	// challenge files to. On a real machine it is /var/opt/azcmagent/tokens, and
	// clients that were not written here look nowhere else. Empty: no agent.
	ArcTokenDir string

	// IssuerCAs are trusted when the keys of an https issuer on loopback are
	// fetched; nil: those of the system.
	IssuerCAs *x509.CertPool

	// Propagation is how long after a write through IAM, Microsoft Graph or Azure Resource
	// Manager STS and Entra go on with what was there before. Zero: not at all.
	Propagation time.Duration

	// Replication is how long after a write Microsoft Graph itself answers with what was
	// there before: what was created is not found at first.
	Replication time.Duration

	// Rates replaces how many calls a second an account may make in a region, by operation:
	// GetMetricData has 50, ListMetrics 25. Zero is no limit.
	Rates map[string]float64

	// Forward is the remote-write address of a Prometheus on loopback that gets every
	// write that was let in, for example http://127.0.0.1:9090/api/v1/write. Its refusal
	// is the sandbox's. Empty: nobody gets them.
	Forward string
}

// transport goes straight to loopback, past any proxy of the environment.
func (o Options) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: o.IssuerCAs, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, // nothing to close when the sandbox ends
	}
}

// Sandbox plays a [World]. All its methods may be called at the same time.
type Sandbox struct {
	options Options
	index   *index
	started time.Time
	outside http.RoundTripper // to issuers that are someone else's

	keys      keyring
	sessions  sessionStore
	tokens    tokenCache
	metadata  metadataTokens
	arc       challenges
	header    string // IDENTITY_HEADER and MSI_SECRET
	network   network
	rows      rowLedger
	otlp      otlpLedger
	samples   sampleLedger
	api       apiLedger
	metrics   metricStore
	documents documentLedger

	mu     sync.Mutex
	hops   map[Hop]*hopState
	events []Event
}

// ErrNotLoopback is in the errors about addresses that are to be on this machine.
var ErrNotLoopback = errors.New("not loopback")

// New checks a world and plays it. It opens no sockets: see [Sandbox.Listen]
// and [Sandbox.RoundTripper].
func New(w World, opts Options) (*Sandbox, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Forward != "" && !isLoopbackURL(opts.Forward) {
		return nil, fmt.Errorf("sandbox: forward: %q is %w", opts.Forward, ErrNotLoopback)
	}
	started := opts.Now()
	index, err := newIndex(w, started)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s := &Sandbox{options: opts, index: index, started: started, outside: opts.transport(), hops: map[Hop]*hopState{}}
	s.header, s.arc.dir = randomText(24), opts.ArcTokenDir
	s.documents.begin()
	s.index.defaultHost(w.Host)
	return s, nil
}

// Event is one request as a far side saw it. It never holds a secret value.
type Event struct {
	Time    time.Time
	Hop     Hop
	Op      string            // token, keys, AssumeRoleWithWebIdentity, GetObject, …
	Outcome string            // "ok", or the code of the refusal
	Details map[string]string // who, for what

	// Decision is the verdict of the role's trust policy, for STS requests that
	// got so far.
	Decision *trust.Decision
}

// maxEvents bounds the log of a sandbox that runs for days.
const maxEvents = 10000

// Log returns what arrived, in order.
func (s *Sandbox) Log() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

func (s *Sandbox) record(e Event) {
	e.Time = s.now(e.Hop)
	s.mu.Lock()
	if len(s.events) >= maxEvents {
		s.events = append(s.events[:0], s.events[maxEvents/2:]...)
	}
	s.events = append(s.events, e)
	s.mu.Unlock()
	attrs := []slog.Attr{slog.String("hop", string(e.Hop)), slog.String("op", e.Op), slog.String("outcome", e.Outcome)}
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		attrs = append(attrs, slog.String(name, e.Details[name]))
	}
	s.options.Logger.LogAttrs(context.Background(), slog.LevelInfo, "sandbox", attrs...)
}

// now is the clock of one far side.
func (s *Sandbox) now(h Hop) time.Time {
	s.mu.Lock()
	skew := s.hop(h).skew
	s.mu.Unlock()
	return s.options.Now().Add(skew)
}

// randomGUID returns a GUID for trace ids and the like.
func randomGUID() string {
	return formatGUID(randomBytes(16))
}

// formatGUID makes 16 bytes a GUID of version 4.
func formatGUID(b []byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: see crypto/rand
	return b
}

func randomText(n int) string { return base64.RawURLEncoding.EncodeToString(randomBytes(n)) }

// writeBody sends a complete answer.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // the type is set and never HTML of ours; the client may be gone
}
