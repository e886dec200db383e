package azhost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/wire"
)

// DefaultEndpoint is where the instance metadata service of a virtual machine is.
const DefaultEndpoint = "http://169.254.169.254"

const (
	opManagedIdentity = "managed identity"
	imdsPath          = "metadata/identity/oauth2/token"
	imdsVersion       = "2018-02-01"

	// connectTimeout is for somebody to be there at all, answerTimeout for the
	// answer: IMDS may have to ask Entra first.
	connectTimeout = 2500 * time.Millisecond
	answerTimeout  = 20 * time.Second
)

var (
	_ keyless.TokenSource = ManagedIdentity{}
	_ keyless.Refresher   = ManagedIdentity{}
)

// ManagedIdentity is a managed identity of the virtual machine, scale set
// instance or cluster node that the program runs on ("How to use managed
// identities for Azure resources on a virtual machine to acquire an access
// token", Microsoft Learn). The zero value but for Resource is the
// system-assigned identity, or the only user-assigned one.
type ManagedIdentity struct {
	Resource string // the App ID URI that the token is for, without /.default

	// At most one of these, to choose a user-assigned identity.
	ClientID   string
	ObjectID   string
	ResourceID string

	Endpoint string       // zero: [DefaultEndpoint]; a path in it is kept
	Client   *http.Client // zero: a shared one without a proxy, for this machine and its link only
}

// Resource returns the resource for a scope: "api://x/.default" becomes "api://x".
func Resource(scope string) string { return strings.TrimSuffix(scope, "/.default") }

// Validate checks the fields.
func (m ManagedIdentity) Validate() error {
	_, err := m.address()
	return err
}

// Token asks for a token. IMDS may answer with one from its own cache.
func (m ManagedIdentity) Token(ctx context.Context) (keyless.Token, error) {
	address, err := m.address()
	if err != nil {
		return keyless.Token{}, &keyless.Error{Hop: keyless.HopSource, Op: opManagedIdentity, Err: err}
	}
	var token keyless.Token
	started := time.Now()
	err = backoff().Retry(ctx, func(ctx context.Context) (err error) {
		token, err = m.try(ctx, address)
		return err
	}, func(err error) wire.Verdict { return judge(err, time.Since(started)) })
	return token, err
}

// Refresh asks again. IMDS knows neither claims challenges nor a way past its own
// cache, so the token may be the refused one.
func (m ManagedIdentity) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return m.Token(ctx)
}

func (m ManagedIdentity) address() (string, error) {
	if m.Resource == "" || strings.ContainsFunc(m.Resource, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("resource %q: want the App ID URI that the token is for", wire.Quote(m.Resource))
	}
	selector, err := m.selector()
	if err != nil {
		return "", err
	}
	endpoint := m.Endpoint
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	base, err := wire.Endpoint(endpoint)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	address := base.JoinPath(imdsPath)
	selector.Set("api-version", imdsVersion)
	selector.Set("resource", m.Resource)
	address.RawQuery = selector.Encode()
	return address.String(), nil
}

// selector is spelled as IMDS wants it; other hosts differ.
func (m ManagedIdentity) selector() (url.Values, error) {
	values := url.Values{}
	for name, value := range map[string]string{"client_id": m.ClientID, "object_id": m.ObjectID, "msi_res_id": m.ResourceID} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if len(values) > 1 {
		return nil, errors.New("more than one of client id, object id and resource id; want at most one")
	}
	return values, nil
}

var (
	errAbsent = errors.New("nobody is there")
	errSilent = fmt.Errorf("connected, but no answer within %s", answerTimeout)
)

func (m ManagedIdentity) try(ctx context.Context, address string) (keyless.Token, error) {
	patient, stop := m.patience(ctx)
	defer stop()
	request, err := http.NewRequestWithContext(patient, http.MethodGet, address, nil)
	if err != nil {
		return keyless.Token{}, &keyless.Error{Hop: keyless.HopSource, Op: opManagedIdentity, Err: err}
	}
	request.Header.Set("Metadata", "true") // shows that no web page's script asks
	request.Header.Set("Accept", "application/json")
	obtained := time.Now()
	answer, err := wire.Do(m.client(), request)
	switch {
	case err == nil:
		return read(answer, obtained)
	case ctx.Err() == nil && patient.Err() != nil:
		return keyless.Token{}, absent(request.URL.Host, context.Cause(patient))
	case ctx.Err() == nil && (wire.Refused(err) || timedOut(err)):
		return keyless.Token{}, absent(request.URL.Host, cause(err))
	}
	return keyless.Token{}, hop.Failed(keyless.HopSource, opManagedIdentity, err)
}

// patience returns a context that ends soon while there is no connection, and
// much later once there is one.
func (m ManagedIdentity) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	nobody := time.AfterFunc(connectTimeout, func() { cancel(errAbsent) })
	silent := time.AfterFunc(answerTimeout, func() { cancel(errSilent) })
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { nobody.Stop() }}
	return httptrace.WithClientTrace(ctx, trace), func() {
		nobody.Stop()
		silent.Stop()
		cancel(nil)
	}
}

func (m ManagedIdentity) client() *http.Client {
	if m.Client != nil {
		return m.Client
	}
	return wire.Local()
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func cause(err error) error {
	var outer *wire.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// absent is temporary because the service may come up later than the program.
func absent(host string, err error) *keyless.Error {
	return &keyless.Error{
		Hop: keyless.HopSource, Op: opManagedIdentity, Code: codeAbsent, Err: &wire.Error{Host: host, Err: err}, Temporary: true,
		Hint: "no instance metadata service answers; is this an Azure VM? On App Service, Arc, AKS or a laptop choose that source instead; in a container, allow the way to " + host,
	}
}
