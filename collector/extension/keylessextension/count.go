package keylessextension

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	keyless "github.com/keyless-id/keyless"
)

// countedSource counts how often a source is asked.
type countedSource struct {
	keyless.TokenSource
	count func(ctx context.Context, kind string, err error)
}

func (e *keylessExtension) counted(source keyless.TokenSource) keyless.TokenSource {
	return countedSource{source, e.count}
}

// Token implements [keyless.TokenSource].
func (s countedSource) Token(ctx context.Context) (keyless.Token, error) {
	token, err := s.TokenSource.Token(ctx)
	s.count(ctx, "token", err)
	return token, hint(err)
}

// Refresh implements [keyless.Refresher], as well as the source can.
func (s countedSource) Refresh(ctx context.Context, refused keyless.Token, claims string) (keyless.Token, error) {
	source, ok := s.TokenSource.(keyless.Refresher)
	if !ok {
		return s.Token(ctx)
	}
	token, err := source.Refresh(ctx, refused, claims)
	s.count(ctx, "token", err)
	return token, hint(err)
}

func (e *keylessExtension) countedCredentials(from keyless.CredentialsProvider) keyless.CredentialsProvider {
	return keyless.CredentialsProviderFunc(func(ctx context.Context) (keyless.Credentials, error) {
		credentials, err := from.Credentials(ctx)
		e.count(ctx, "credentials", err)
		return credentials, hint(err)
	})
}

func (e *keylessExtension) count(ctx context.Context, kind string, err error) {
	e.telemetry.ExtensionKeylessRequests.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", kind), outcome(err)))
}

func outcome(err error) attribute.KeyValue {
	if err != nil {
		return attribute.String("outcome", "failure")
	}
	return attribute.String("outcome", "success")
}
