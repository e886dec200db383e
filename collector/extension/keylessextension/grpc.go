package keylessextension

import (
	"context"
	"errors"
	"net/http"

	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/collector/extension/extensionmiddleware"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/transport"
)

var (
	_ extensionauth.GRPCClient       = (*keylessExtension)(nil)
	_ extensionmiddleware.GRPCClient = (*keylessExtension)(nil)
)

// PerRPCCredentials implements [extensionauth.GRPCClient].
func (e *keylessExtension) PerRPCCredentials() (credentials.PerRPCCredentials, error) {
	switch {
	case e.tokens == nil:
		return nil, errNotStarted
	case e.cfg.Mode != modeBearer:
		return nil, errors.New("keyless: a signature of AWS is for HTTP: mode must be bearer for gRPC")
	case len(e.hosts) == 0:
		return nil, errNoHosts
	}
	return &perRPC{bearer: e.bearer(echo{}), plain: e.cfg.InsecureLoopbackGRPC}, nil
}

// perRPC adds the token to calls. Its guard is that of HTTP: the call goes through a Bearer
// that leads nowhere.
type perRPC struct {
	bearer *transport.Bearer
	plain  bool // whether this machine may be called without TLS
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (p *perRPC) RequireTransportSecurity() bool { return !p.plain }

// GetRequestMetadata implements [credentials.PerRPCCredentials]. A token that there is none
// of at the moment makes the call one that can be tried again: gRPC would make of another
// error one that cannot, and the exporter would throw its data away.
func (p *perRPC) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if len(uri) == 0 {
		return nil, status.Error(codes.Unauthenticated, "keyless: the call has no address")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, uri[0], http.NoBody)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, "keyless: the call has no address that could be read")
	}
	if err := p.secure(ctx, r); err != nil {
		return nil, err
	}
	answer, err := p.bearer.RoundTrip(r)
	if err != nil {
		return nil, asStatus(err)
	}
	_ = answer.Body.Close() // it has none
	return map[string]string{"authorization": answer.Header.Get("Authorization")}, nil
}

// secure refuses to send a token in the clear to another machine.
func (p *perRPC) secure(ctx context.Context, r *http.Request) error {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity) == nil || p.plain && transport.Loopback(r.URL) {
		return nil
	}
	return status.Error(codes.Unauthenticated, "keyless: the token goes over TLS only, or with insecure_loopback_grpc to this machine")
}

func asStatus(err error) error {
	var e *keyless.Error
	if errors.As(err, &e) && e.Hop == keyless.HopDelivery && !e.Temporary {
		return status.Error(codes.Unauthenticated, hint(err).Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

// echo answers a request with its own headers.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: r.Header, Body: http.NoBody, Request: r}, nil
}

// GetGRPCClientOptions implements [extensionmiddleware.GRPCClient]. Credentials of gRPC never
// hear that they were refused; as a middleware the extension does, and tries the call once
// more with another token.
func (e *keylessExtension) GetGRPCClientOptions(context.Context) ([]grpc.DialOption, error) {
	if e.tokens == nil {
		return nil, errNotStarted
	}
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(e.again)}, nil
}

//nolint:revive // the arguments are gRPC's
func (e *keylessExtension) again(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	used, _ := e.tokens.Latest()
	err := invoke(ctx, method, request, reply, connection, options...)
	if status.Code(err) != codes.Unauthenticated || used.Value.IsZero() {
		return err
	}
	token, failure := e.tokens.Refresh(ctx, used, "")
	if failure != nil || token.Value.Equal(used.Value) {
		return err
	}
	return invoke(ctx, method, request, reply, connection, options...)
}
