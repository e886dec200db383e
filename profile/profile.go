// Package profile reads the configuration file and builds from it what the other
// packages offer. It is the only place that picks a source.
package profile

import (
	"fmt"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/yamltree"
)

//go:generate go test -run ^TestSchemaIsCurrent$ . -update

// File is the configuration file.
type File struct {
	Profiles map[string]Profile `yaml:"profiles" doc:"Named identities and what to trade them for."`
}

// Profile is one identity, and what to trade it for. Either Source, Audience or
// Scope, and AWS are set, or the block that Beats users know: AzureAD, RoleARN and
// DefaultRegion.
type Profile struct {
	Source      *Source `yaml:"source" doc:"How the workload proves who it is: exactly one of its keys."`
	Audience    string  `yaml:"audience" doc:"App ID URI that the token is for, as the IAM OIDC provider lists it."`
	Scope       string  `yaml:"scope" doc:"Instead of audience: the scope to ask for, which ends in /.default."`
	ExpectedAud string  `yaml:"expected_aud" doc:"The aud claim that the token is to have, where it is not the audience: the client id of an API whose tokens are v2.0 and whose App ID URI has no GUID."`
	AWS         *AWS    `yaml:"aws" doc:"The role that the token is traded for."`
	CAFile      string  `yaml:"ca_file" doc:"PEM file with the certificates to trust instead of the system's, for Entra and STS."`

	AzureAD       *AzureAD `yaml:"azure_ad" doc:"The block that Beats users know; goes with role_arn and default_region."`
	RoleARN       string   `yaml:"role_arn" doc:"With azure_ad: the role that the token is traded for."`
	DefaultRegion string   `yaml:"default_region" doc:"With azure_ad: the region whose STS is asked."`
}

// Source has exactly one field set.
type Source struct {
	Auto            *Auto            `yaml:"auto" doc:"Whatever the host offers: App Service, Functions, Container Apps, a pod in AKS, Azure Arc, a VM, and what resembles them."`
	ManagedIdentity *ManagedIdentity `yaml:"managed_identity" doc:"The managed identity of an Azure VM or scale set."`
	ClientSecret    *ClientSecret    `yaml:"client_secret" doc:"An app registration with a client secret."`
	Certificate     *Certificate     `yaml:"certificate" doc:"An app registration with a certificate."`
	AssertionFile   *AssertionFile   `yaml:"assertion_file" doc:"An app registration or managed identity that trusts the issuer of a token in a file."`
	AzurePipelines  *AzurePipelines  `yaml:"azure_pipelines" doc:"A service connection of the Azure Pipelines job that runs."`
}

// Auto is the host's own identity, unless one of the ids names another of its.
type Auto struct {
	ClientID   string `yaml:"client_id" doc:"Client id of a user-assigned identity."`
	ObjectID   string `yaml:"object_id" doc:"Object (principal) id of a user-assigned identity."`
	ResourceID string `yaml:"resource_id" doc:"ARM resource id of a user-assigned identity."`
}

// ManagedIdentity is the system-assigned identity, unless one of the ids names a
// user-assigned one.
type ManagedIdentity struct {
	ClientID   string `yaml:"client_id" doc:"Client id of a user-assigned identity."`
	ObjectID   string `yaml:"object_id" doc:"Object (principal) id of a user-assigned identity."`
	ResourceID string `yaml:"resource_id" doc:"ARM resource id of a user-assigned identity."`
	Endpoint   string `yaml:"endpoint" doc:"Address of the instance metadata service, if it is not http://169.254.169.254."`
}

// Application is what every app registration has.
type Application struct {
	TenantID      string `yaml:"tenant_id" doc:"Tenant id or a verified domain of the tenant."`
	ClientID      string `yaml:"client_id" doc:"Application (client) id."`
	Cloud         string `yaml:"cloud" doc:"Azure cloud: public (the default), usgov or china."`
	AuthorityHost string `yaml:"authority_host" doc:"Address of Entra ID, if it is not the cloud's."`
}

// ClientSecret is an app registration with a client secret.
type ClientSecret struct {
	Application
	ClientSecret Secret `yaml:"client_secret" doc:"The secret's value: ${NAME} or file:/path; in plain text it works and warns."`
}

// Certificate is an app registration with a certificate.
type Certificate struct {
	Application
	CertificateFile string `yaml:"certificate_file" doc:"PEM or PKCS#12 file with the certificate and, unless key_file is set, its key. Read again when it changes."`
	KeyFile         string `yaml:"key_file" doc:"PEM file with the private key."`
	Password        Secret `yaml:"password" doc:"Password of a PKCS#12 file: ${NAME} or file:/path."`
	SendChain       bool   `yaml:"send_chain" doc:"Send the certificate chain (x5c), for subject name and issuer authentication."`
}

// AssertionFile is an identity that trusts the issuer of the token in a file.
type AssertionFile struct {
	Application
	File string `yaml:"file" doc:"File with the token; it is read each time."`
}

// AzurePipelines is a service connection, in a job of Azure Pipelines.
type AzurePipelines struct {
	ServiceConnectionID string `yaml:"service_connection_id" doc:"Id (GUID) of the service connection, not its name."`
	Subject             string `yaml:"subject" doc:"The subject that the job's token must have; otherwise whichever the connection has."`
}

// AWS is the role that a token is traded for.
type AWS struct {
	RoleARN       string        `yaml:"role_arn" doc:"ARN of the role."`
	Region        string        `yaml:"region" doc:"Region whose STS is asked; otherwise AWS_REGION, AWS_DEFAULT_REGION, or the partition's first."`
	Duration      time.Duration `yaml:"duration" doc:"How long the credentials are to live, 15m to 12h and no longer than the role allows; 1h if not set."`
	SessionName   string        `yaml:"session_name" doc:"Role session name as CloudTrail shows it; otherwise made from the identity."`
	SessionPolicy string        `yaml:"session_policy" doc:"IAM policy (JSON) that narrows the session."`
	PolicyARNs    []string      `yaml:"policy_arns" doc:"Managed policies that narrow the session."`
	Chain         []Hop         `yaml:"chain" doc:"Roles to assume from there, one after the other; a role ARN or a block."`
	FIPS          bool          `yaml:"fips" doc:"Use STS's FIPS endpoint; also AWS_USE_FIPS_ENDPOINT=true."`
	STSEndpoint   string        `yaml:"sts_endpoint" doc:"Address of STS, if it is not AWS's; otherwise AWS_ENDPOINT_URL_STS."`
}

// Hop is a role that is assumed with the credentials of the one before.
type Hop struct {
	RoleARN     string        `yaml:"role_arn" doc:"ARN of the role."`
	ExternalID  string        `yaml:"external_id" doc:"The external id that the role's trust policy asks for."`
	SessionName string        `yaml:"session_name" doc:"Role session name; otherwise that of the first role."`
	Duration    time.Duration `yaml:"duration" doc:"15m to 1h: AWS allows no more when roles are chained."`
}

// AzureAD is the block that Beats users know.
type AzureAD struct {
	TenantID     string `yaml:"tenant_id" doc:"Tenant id."`
	ClientID     string `yaml:"client_id" doc:"Application (client) id."`
	ClientSecret Secret `yaml:"client_secret" doc:"The secret's value. Without it the machine's managed identity is used, or the user-assigned one that AZURE_CLIENT_ID names."`
	Scope        string `yaml:"scope" doc:"The scope to ask for, api://…/.default."`
}

// Secret is a secret value or the file that has it.
type Secret struct {
	Value keyless.Secret
	File  string
}

// UnmarshalNode reads a role ARN as a hop without further wishes.
func (h *Hop) UnmarshalNode(n *yamltree.Node) error {
	if n.Kind == yamltree.Text {
		h.RoleARN = n.Value
		return nil
	}
	type plain Hop
	return yamltree.Decode(n, (*plain)(h), "")
}

// UnmarshalNode reads the value, or the name of its file after "file:".
func (s *Secret) UnmarshalNode(n *yamltree.Node) error {
	if n.Kind != yamltree.Text {
		return fmt.Errorf("want a text, not %s", n.Kind)
	}
	if path, ok := filePath(n.Value); ok {
		s.File = path
		return nil
	}
	s.Value = keyless.NewSecret(n.Value)
	return nil
}
