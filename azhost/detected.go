package azhost

import (
	"errors"
	"fmt"

	keyless "github.com/keyless-id/keyless"
)

// errNoChoice is for hosts whose identity is given.
var errNoChoice = errors.New("the identity cannot be chosen here: want no client id, object id or resource id")

// Source returns what gets tokens for resource on this host.
func (d Detected) Source(resource string, which Identity) (keyless.TokenSource, error) {
	source, err := d.source(resource, d.choice(which))
	if err == nil {
		err = source.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Kind, err)
	}
	return source, nil
}

// source is a token source that can look at itself.
type source interface {
	keyless.TokenSource
	Validate() error
}

// choice adds what the environment chooses.
func (d Detected) choice(which Identity) Identity {
	if which != (Identity{}) {
		return which
	}
	switch d.Kind {
	case KindEnvironment, KindCloudShell, KindServiceFabric, KindAzureCLI, KindAzureDeveloperCLI:
		return which
	}
	id := d.env("AZURE_CLIENT_ID")
	if id == "" && d.Kind == KindAzureML {
		id = d.env("DEFAULT_IDENTITY_CLIENT_ID")
	}
	return Identity{ClientID: id}
}

func (d Detected) env(name string) string {
	if d.detector.Getenv == nil {
		return ""
	}
	return d.detector.Getenv(name)
}

func (d Detected) secret(name string) keyless.Secret { return keyless.NewSecret(d.env(name)) }

func (d Detected) source(resource string, which Identity) (source, error) {
	client := d.detector.Client
	switch d.Kind {
	case KindAppService:
		app := AppService{
			Resource: resource, ClientID: which.ClientID, ObjectID: which.ObjectID, ResourceID: which.ResourceID,
			Endpoint: d.Endpoint, Header: d.secret("IDENTITY_HEADER"), Client: client,
		}
		if app.Header.IsZero() {
			app.Header, app.Legacy = d.secret("MSI_SECRET"), true
		}
		return app, nil
	case KindArc:
		return Arc{
			Resource: resource, ClientID: which.ClientID, ObjectID: which.ObjectID, ResourceID: which.ResourceID,
			Endpoint: d.Endpoint, TokenDir: d.detector.ArcTokenDir, Client: client,
		}, nil
	case KindVM:
		return ManagedIdentity{
			Resource: resource, ClientID: which.ClientID, ObjectID: which.ObjectID, ResourceID: which.ResourceID,
			Endpoint: d.Endpoint, Client: client,
		}, nil
	}
	if which.ObjectID != "" || which.ResourceID != "" {
		return nil, errors.New("object id or resource id; this host knows the client id only, or no choice at all")
	}
	return d.byClientID(resource, which.ClientID)
}

// byClientID is for hosts that know identities by their client id, or not at all.
func (d Detected) byClientID(resource, clientID string) (source, error) {
	switch d.Kind {
	case KindWorkloadIdentity:
		return WorkloadIdentity{
			Resource: resource, TenantID: d.env("AZURE_TENANT_ID"), ClientID: clientID,
			TokenFile: d.env("AZURE_FEDERATED_TOKEN_FILE"), Authority: d.Endpoint, Client: d.detector.Cloud,
		}, nil
	case KindAzureML:
		return AzureML{Resource: resource, ClientID: clientID, Endpoint: d.Endpoint, Secret: d.secret("MSI_SECRET"), Client: d.detector.Client}, nil
	}
	if clientID != "" {
		return nil, errNoChoice
	}
	switch d.Kind {
	case KindEnvironment:
		return d.environment(resource), nil
	case KindAzureCLI:
		return d.signedIn(resource), nil
	case KindAzureDeveloperCLI:
		return AzureDeveloperCLI{Resource: resource, Path: d.Endpoint}, nil
	case KindCloudShell:
		return CloudShell{Resource: resource, Endpoint: d.Endpoint, Client: d.detector.Client}, nil
	case KindServiceFabric:
		return ServiceFabric{
			Resource: resource, Endpoint: d.Endpoint, Header: d.secret("IDENTITY_HEADER"), Thumbprint: d.env("IDENTITY_SERVER_THUMBPRINT"),
		}, nil
	}
	return nil, errors.New("nothing was detected")
}
