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
	Serve    *Serve             `yaml:"serve" doc:"What the daemon hands out, and to whom."`
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
	Auto              *Choice            `yaml:"auto" doc:"Whatever there is, as Azure's own libraries look for it: an application in the environment, a pod in AKS, App Service, Functions, Container Apps, Azure Arc, a VM, and what resembles them, or who is signed in with az or azd."`
	ManagedIdentity   *ManagedIdentity   `yaml:"managed_identity" doc:"The managed identity of an Azure VM or scale set."`
	AppService        *Choice            `yaml:"app_service" doc:"The managed identity of an App Service, a Function or a Container App."`
	Arc               *Choice            `yaml:"arc" doc:"The managed identity of a server that Azure Arc connects."`
	WorkloadIdentity  *WorkloadIdentity  `yaml:"workload_identity" doc:"The service account of a Kubernetes pod, as the webhook of Entra Workload ID sets it up."`
	ServiceFabric     *Host              `yaml:"service_fabric" doc:"The managed identity of a Service Fabric application."`
	AzureML           *Client            `yaml:"azure_ml" doc:"The managed identity of an Azure Machine Learning compute."`
	CloudShell        *Host              `yaml:"cloud_shell" doc:"The person at an Azure Cloud Shell."`
	ClientSecret      *ClientSecret      `yaml:"client_secret" doc:"An app registration with a client secret."`
	Certificate       *Certificate       `yaml:"certificate" doc:"An app registration with a certificate."`
	AssertionFile     *AssertionFile     `yaml:"assertion_file" doc:"An app registration or managed identity that trusts the issuer of a token in a file."`
	AzurePipelines    *AzurePipelines    `yaml:"azure_pipelines" doc:"A service connection of the Azure Pipelines job that runs."`
	AWS               *AWSWorkload       `yaml:"aws" doc:"An app registration or managed identity that trusts the tokens of an AWS account: for workloads that run in AWS."`
	Pod               *Host              `yaml:"pod" doc:"The pod that asks, for the daemon of a Kubernetes node: its projected token is the subject token."`
	AzureCLI          *AzureCLI          `yaml:"azure_cli" doc:"Who is signed in with the Azure CLI (az login)."`
	AzureDeveloperCLI *AzureDeveloperCLI `yaml:"azure_developer_cli" doc:"Who is signed in with the Azure Developer CLI (azd auth login)."`
}

// Choice is the host's own identity, unless one of the ids names another of its.
type Choice struct {
	ClientID   string `yaml:"client_id" doc:"Client id of a user-assigned identity."`
	ObjectID   string `yaml:"object_id" doc:"Object (principal) id of a user-assigned identity."`
	ResourceID string `yaml:"resource_id" doc:"ARM resource id of a user-assigned identity."`
}

// Host is a host that has one identity.
type Host struct{}

// Client is a host that knows its identities by their client ids.
type Client struct {
	ClientID string `yaml:"client_id" doc:"Client id of a user-assigned identity."`
}

// WorkloadIdentity is what the webhook puts into the environment of the pod, unless
// something else is said.
type WorkloadIdentity struct {
	Application
	File string `yaml:"file" doc:"File with the token; it is read each time."`
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

// AWSWorkload is an identity that trusts the tokens which AWS STS issues to the roles of
// an account. The credentials are those that the host in AWS offers.
type AWSWorkload struct {
	Application
	Region      string `yaml:"region" doc:"Region whose STS issues the token; otherwise AWS_REGION, AWS_DEFAULT_REGION or us-east-1."`
	STSEndpoint string `yaml:"sts_endpoint" doc:"Address of the STS that issues the token, if it is not AWS's; otherwise AWS_ENDPOINT_URL_STS."`
}

// AzureCLI is who is signed in with the Azure CLI, in the tenant of the subscription
// unless another is named.
type AzureCLI struct {
	TenantID     string `yaml:"tenant_id" doc:"Tenant id."`
	Subscription string `yaml:"subscription" doc:"Name or id of the subscription whose account is asked; otherwise the one that is selected."`
}

// AzureDeveloperCLI is who is signed in with the Azure Developer CLI, in the account's own
// tenant unless another is named.
type AzureDeveloperCLI struct {
	TenantID string `yaml:"tenant_id" doc:"Tenant id."`
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
	ClientSecret Secret `yaml:"client_secret" doc:"The secret's value. Without it whatever there is proves itself, as with source: { auto: {} }."`
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
