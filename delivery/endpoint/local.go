package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"os"

	keyless "github.com/keyless-id/keyless"
)

// Local is the container endpoint of one set of credentials on loopback, for the
// programs of this user that know its token.
type Local struct {
	// Latest returns the credentials that there are; see [Issue].
	Latest func() (keyless.Credentials, error)
	// Audit gets one record for each issuance and refusal, without secrets; nil: nobody.
	Audit *slog.Logger

	token  keyless.Secret
	server Server
}

// Start listens on a port of 127.0.0.1 that the system chooses.
func (l *Local) Start() error {
	listener, err := Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	if l.Audit == nil {
		l.Audit = slog.New(slog.DiscardHandler)
	}
	l.token = NewToken()
	door := &Door{Issue: &Issue{Latest: l.Latest, Audit: l.Audit}, Tokens: func() []keyless.Secret { return []keyless.Secret{l.token} }}
	l.server = Server{Listener: listener, Handler: Guard{
		Hosts: Hosts(netip.MustParseAddrPort(listener.Addr().String())), UIDs: []int{os.Getuid()}, Audit: l.Audit, Next: Container{Path: door},
	}}
	l.server.Start()
	return nil
}

// NewToken is 256 bits, without a line end or what a header would not take.
func NewToken() keyless.Secret {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return keyless.NewSecret(base64.RawURLEncoding.EncodeToString(raw[:]))
}

// URL is the value of AWS_CONTAINER_CREDENTIALS_FULL_URI.
func (l *Local) URL() string { return "http://" + l.server.Listener.Addr().String() + Path }

// Token is the value of AWS_CONTAINER_AUTHORIZATION_TOKEN.
func (l *Local) Token() keyless.Secret { return l.token }

// Close ends the server: requests under way are answered, for two seconds at most.
func (l *Local) Close() error { return l.server.Close() }
