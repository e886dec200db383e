package keylessextension

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var _ extensionauth.Server = (*keylessExtension)(nil)

var (
	errNoServer = errors.New("keyless: server is not configured")
	errNoToken  = errors.New("one Authorization header with one bearer token is wanted")
)

// maxToken is how long a token may be, in bytes. Those of Entra have 1 to 3 KiB.
const maxToken = 16 << 10

// Authenticate implements [extensionauth.Server]. What it says goes to the caller, so it
// says nothing of the token and little of what is wanted; the log has the rest.
func (e *keylessExtension) Authenticate(ctx context.Context, headers map[string][]string) (context.Context, error) {
	if e.verifier == nil {
		return ctx, errNoServer
	}
	caller, err := e.caller(ctx, headers)
	e.telemetry.ExtensionKeylessAuthentications.Add(ctx, 1, metric.WithAttributes(outcome(err)))
	if err != nil {
		e.logger.Debug("a caller was turned away", zap.Error(err))
		return ctx, public(err)
	}
	info := client.FromContext(ctx)
	info.Auth = caller
	return client.NewContext(ctx, info), nil
}

func (e *keylessExtension) caller(ctx context.Context, headers map[string][]string) (*caller, error) {
	token, err := bearerToken(headers)
	if err != nil {
		return nil, err
	}
	return e.verifier.verify(ctx, token)
}

// public is what the caller may know. Keys that cannot be had are no fault of the caller's,
// which may try again: gRPC passes that on, and HTTP makes a 401 of it as of everything else.
func public(err error) error {
	var unfetched *keysError
	var refused refusalError
	switch {
	case errors.As(err, &unfetched):
		return status.Error(codes.Unavailable, "the issuer's keys cannot be had at the moment")
	case errors.As(err, &refused), errors.Is(err, errNoToken):
		return err
	}
	return refusalError("the token is not one of the issuer's")
}

// bearerToken takes the token out of the headers, of HTTP or of gRPC's metadata (RFC 6750,
// section 2.1). Two of them are refused: somebody on the way might have looked at the other.
func bearerToken(headers map[string][]string) (string, error) {
	var values []string
	for name, all := range headers {
		if strings.EqualFold(name, "Authorization") {
			values = append(values, all...)
		}
	}
	if len(values) != 1 {
		return "", errNoToken
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || !isCompact(token) {
		return "", errNoToken
	}
	return token, nil
}

// isCompact reports whether text has the form of a signed token (RFC 7515, section 3.1).
func isCompact(text string) bool {
	const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	parts := strings.Split(text, ".")
	return len(text) <= maxToken && len(parts) == 3 && !slices.ContainsFunc(parts, func(part string) bool {
		return part == "" || strings.Trim(part, base64url) != ""
	})
}

// caller is who a token says it is, for the components behind the receiver.
type caller struct{ attributes map[string]any }

var _ client.AuthData = (*caller)(nil)

// GetAttribute returns a string, or for roles a []string; nil: there is no such attribute.
func (c *caller) GetAttribute(name string) any { return c.attributes[name] }

// GetAttributeNames returns those of a claim that the token has.
func (c *caller) GetAttributeNames() []string {
	names := make([]string, 0, len(c.attributes))
	for name := range c.attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
