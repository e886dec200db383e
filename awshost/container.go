package awshost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

const (
	opContainer   = "container credentials"
	containerHost = "http://169.254.170.2"
	maxTokenFile  = 64 << 10
)

var _ keyless.CredentialsProvider = Container{}

// Container is the endpoint that Amazon ECS, EKS Pod Identity and others offer to a
// container ("Container credential provider", AWS SDKs and Tools Reference Guide).
type Container struct {
	RelativeURI string // AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: a path at 169.254.170.2
	FullURI     string // AWS_CONTAINER_CREDENTIALS_FULL_URI, if there is no relative one

	// What the endpoint wants in the Authorization header, if anything. The file is
	// read for each request, because it is rotated.
	TokenFile string         // AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
	Token     keyless.Secret // AWS_CONTAINER_AUTHORIZATION_TOKEN, if there is no file

	Client *http.Client // zero: a shared one; without a proxy and for this host and its link only, if the address is http
}

// Validate checks the fields, and reads no file.
func (c Container) Validate() error {
	_, err := c.address()
	return err
}

// Credentials asks the endpoint.
func (c Container) Credentials(ctx context.Context) (keyless.Credentials, error) {
	address, err := c.address()
	if err != nil {
		return keyless.Credentials{}, wrong(opContainer, err)
	}
	return retry(ctx, func(ctx context.Context) (keyless.Credentials, error) { return c.try(ctx, address) })
}

func (c Container) try(ctx context.Context, address *url.URL) (keyless.Credentials, error) {
	token, err := c.token()
	if err != nil {
		return keyless.Credentials{}, wrong(opContainer, err)
	}
	header := http.Header{"Accept": {"application/json"}}
	if !token.IsZero() {
		header.Set("Authorization", token.Reveal())
	}
	e := endpoint{op: opContainer, client: c.client(address), secrets: []string{token.Reveal(), address.RequestURI()}, hint: containerHint}
	obtained := time.Now()
	answer, err := e.ask(ctx, http.MethodGet, address.String(), header)
	if err != nil {
		return keyless.Credentials{}, err
	}
	return e.read(answer, obtained)
}

func containerHint(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "the endpoint does not accept the authorization token, or this container has no role; check the task's or the service account's role"
	case status == http.StatusNotFound || status == http.StatusBadRequest:
		return "the endpoint knows no role for this container; check the task's or the service account's role"
	case status == http.StatusTooManyRequests || status >= 500:
		return "the endpoint is busy or out of order; it was asked several times, and may answer later"
	}
	return ""
}

// token is empty where the endpoint wants none.
func (c Container) token() (keyless.Secret, error) {
	token := c.Token.Reveal()
	if c.TokenFile != "" {
		raw, err := readSmall(c.TokenFile)
		if err != nil {
			return keyless.Secret{}, fmt.Errorf("authorization token: %w", err)
		}
		token = strings.TrimRight(raw, "\r\n")
	}
	if token != "" && strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return keyless.Secret{}, errors.New("authorization token: it has characters that do not fit into a header")
	}
	return keyless.NewSecret(token), nil
}

// readSmall reads a file that holds a token.
func readSmall(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
	switch {
	case err != nil:
		return "", err
	case len(raw) > maxTokenFile:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxTokenFile)
	case len(raw) == 0:
		return "", fmt.Errorf("%s is empty", path)
	}
	return string(raw), nil
}

func (c Container) client(address *url.URL) *http.Client {
	switch {
	case c.Client != nil:
		return c.Client
	case address.Scheme == "https":
		return wire.Cloud()
	}
	return wire.Local()
}

// address is that of the relative URI, as AWS's SDKs prefer it. Its path and query may
// be as good as a password, so errors do not repeat them.
func (c Container) address() (*url.URL, error) {
	switch {
	case c.RelativeURI == "" && c.FullURI == "":
		return nil, errors.New("no address: neither a relative nor a full URI")
	case c.RelativeURI == "":
		return allowed(c.FullURI)
	case !strings.HasPrefix(c.RelativeURI, "/"):
		return nil, errors.New("relative URI: want one that begins with a slash")
	}
	return allowed(containerHost + c.RelativeURI)
}

// allowed is the rule of AWS's SDKs: https may go anywhere, http to this host and to
// the two services on its link only. Names are not looked up; they may lie.
func allowed(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("container credentials address: want http[s]://host[:port]/path")
	case u.Scheme == "https", u.Scheme == "http" && allowedHost(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("container credentials address: plain http to %q is not allowed; want localhost, a loopback address, 169.254.170.2, 169.254.170.23 or fd00:ec2::23", wire.Quote(u.Hostname()))
	}
	return nil, fmt.Errorf("container credentials address: the scheme %q is neither http nor https", wire.Quote(u.Scheme))
}

func allowedHost(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	text := address.Unmap().String()
	return address.Unmap().IsLoopback() || text == "169.254.170.2" || text == "169.254.170.23" || text == "fd00:ec2::23"
}
