package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/profile"
)

// Client asks a daemon on this machine.
type Client struct{ Socket string }

const maxAnswer = 1 << 20

// Process returns a profile's credentials in the form of a credential process; "" is the
// only profile that there is.
func (c Client) Process(ctx context.Context, name string) ([]byte, error) {
	body, err := c.get(ctx, processPath+url.PathEscape(name))
	return append(body, '\n'), err
}

// Token returns a profile's identity token.
func (c Client) Token(ctx context.Context, name string) (keyless.Secret, error) {
	body, err := c.get(ctx, tokenPrefix+url.PathEscape(name))
	if err != nil {
		return keyless.Secret{}, err
	}
	var answer tokenAnswer
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		return keyless.Secret{}, c.fail(errors.New("the answer holds no token"))
	}
	return keyless.NewSecret(answer.Token), nil
}

// Status returns what the daemon knows of its profiles.
func (c Client) Status(ctx context.Context) (*Status, error) {
	body, err := c.get(ctx, statusPath)
	if err != nil {
		return nil, err
	}
	s := &Status{}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, c.fail(errors.New("the answer is no status"))
	}
	return s, nil
}

func (c Client) alive(ctx context.Context) error {
	_, err := c.get(ctx, healthPath)
	return err
}

// get returns the body of a good answer, and the error that another one holds.
func (c Client) get(ctx context.Context, path string) ([]byte, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://keyless"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, c.fail(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, c.fail(err)
	case answer.StatusCode == http.StatusForbidden:
		return nil, &keyless.Error{Hop: keyless.HopDelivery, Op: "daemon", Code: "AccessDenied", Message: "this user's programs are not answered", Hint: "add the user to serve.users"}
	case answer.StatusCode != http.StatusOK:
		return nil, c.refused(answer.StatusCode, body)
	}
	return body, nil
}

// refused is the daemon's own error, hop, hint and all.
func (c Client) refused(status int, body []byte) error {
	if !json.Valid(body) {
		return c.fail(fmt.Errorf("status %d", status))
	}
	return profile.DecodeError(body)
}

func (c Client) fail(err error) error {
	return &keyless.Error{
		Hop: keyless.HopDelivery, Op: "daemon", Message: c.Socket, Err: err, Temporary: true,
		Hint: "is it running (systemctl status keyless)? Without KEYLESS_SOCKET and --socket no daemon is asked",
	}
}
