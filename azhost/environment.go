package azhost

import (
	"strings"

	"github.com/keyless-id/keyless/entra"
)

const opEnvironment = "environment"

// Names of the variables that Microsoft's own libraries know (EnvironmentCredential).
const (
	envSecret      = "AZURE_CLIENT_SECRET" //nolint:gosec // the name of a variable
	envCertificate = "AZURE_CLIENT_CERTIFICATE_PATH"
)

// environment is the application that AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret or
// a certificate make.
func (d Detected) environment(resource string) source {
	tenant, client, scope := d.env("AZURE_TENANT_ID"), d.env("AZURE_CLIENT_ID"), entra.Scope(resource)
	if secret := d.secret(envSecret); !secret.IsZero() {
		return entra.ClientSecret{TenantID: tenant, ClientID: client, Secret: secret, Scope: scope, Authority: d.Endpoint, Client: d.detector.Cloud}
	}
	chain := d.env("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN")
	return entra.Certificate{
		TenantID: tenant, ClientID: client, File: d.env(envCertificate), Password: d.secret("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
		SendChain: chain == "1" || strings.EqualFold(chain, "true"), Scope: scope, Authority: d.Endpoint, Client: d.detector.Cloud,
	}
}
