package profile

import (
	"context"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
)

// hosted is a source that first finds out what kind of host of Azure it is on. It
// looks anew each time: asking a host costs more than looking.
type hosted struct {
	detector azhost.Detector
	resource string
	identity azhost.Identity
}

// Token finds the host and asks it.
func (h hosted) Token(ctx context.Context) (keyless.Token, error) {
	found, err := h.detector.Detect(ctx)
	if err != nil {
		return keyless.Token{}, err
	}
	source, err := found.Source(h.resource, h.identity)
	if err != nil {
		return keyless.Token{}, &keyless.Error{Hop: keyless.HopSource, Op: "auto", Err: err}
	}
	return source.Token(ctx)
}

// deciders are the variables by which a host says what it is and whose identity it
// has; see azhost.Detect.
func deciders() []string {
	return []string{
		"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
		"IDENTITY_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "DEFAULT_IDENTITY_CLIENT_ID",
	}
}

func (b *builder) auto(a *Auto) keyless.TokenSource {
	source := hosted{
		detector: azhost.Detector{Getenv: b.getenv, Cloud: b.client()},
		resource: b.audience(),
		identity: azhost.Identity{ClientID: a.ClientID, ObjectID: a.ObjectID, ResourceID: a.ResourceID},
	}
	b.answer = append(b.answer, "auto", source.resource, a.ClientID, a.ObjectID, a.ResourceID)
	for _, name := range deciders() {
		b.answer = append(b.answer, b.getenv(name))
	}
	b.attempt = append(b.attempt, b.getenv("IDENTITY_HEADER"), b.getenv("MSI_SECRET"))
	return source
}
