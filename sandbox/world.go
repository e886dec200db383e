package sandbox

import "time"

// World is everything that exists on the far sides. It is plain data and must
// not change once it was given to [New]; what is written through the APIs of the
// sandbox changes its own copy.
type World struct {
	Tenants  []Tenant  `json:"tenants,omitempty" yaml:"tenants,omitempty"`
	Accounts []Account `json:"accounts,omitempty" yaml:"accounts,omitempty"`
	Issuers  []Issuer  `json:"issuers,omitempty" yaml:"issuers,omitempty"`

	Organizations []Organization `json:"organizations,omitempty" yaml:"organizations,omitempty"` // of Azure DevOps

	Search SearchEngine `json:"search,omitzero" yaml:"search,omitempty"`

	Host Host `json:"host,omitzero" yaml:"host,omitempty"`
}

// Tenant is an Entra tenant.
type Tenant struct {
	ID         string            `json:"id" yaml:"id"`
	Apps       []App             `json:"apps,omitempty" yaml:"apps,omitempty"`
	Identities []ManagedIdentity `json:"identities,omitempty" yaml:"identities,omitempty"` // those of the host that the metadata service serves
	Rules      []DCR             `json:"rules,omitempty" yaml:"rules,omitempty"`           // of Azure Monitor, in the subscriptions of the tenant

	// Administrators are the object ids of those whom Microsoft Graph and Azure Resource
	// Manager obey.
	Administrators []string `json:"administrators,omitempty" yaml:"administrators,omitempty"`

	// RefreshIn is the refresh_in hint of all token answers; zero: none.
	RefreshIn time.Duration `json:"refresh_in,omitempty" yaml:"refresh_in,omitempty"`
}

// App is an application with its service principal. It can be a client, a
// resource (an API that tokens are for), or both.
type App struct {
	Name         string   `json:"name" yaml:"name"`
	ClientID     string   `json:"client_id" yaml:"client_id"`
	ObjectID     string   `json:"object_id" yaml:"object_id"`                             // of the service principal
	AppIDURI     string   `json:"app_id_uri,omitempty" yaml:"app_id_uri,omitempty"`       // makes the app a resource
	TokenVersion int      `json:"token_version,omitempty" yaml:"token_version,omitempty"` // requestedAccessTokenVersion of the resource: 1 (or 0) or 2
	Roles        []string `json:"roles,omitempty" yaml:"roles,omitempty"`                 // app roles of the resource

	Secrets              []AppSecret `json:"secrets,omitempty" yaml:"secrets,omitempty"`
	Certificates         [][]byte    `json:"certificates,omitempty" yaml:"certificates,omitempty"` // DER
	FederatedCredentials []FIC       `json:"federated_credentials,omitempty" yaml:"federated_credentials,omitempty"`

	AssignmentRequired bool     `json:"assignment_required,omitempty" yaml:"assignment_required,omitempty"` // only the assigned get tokens
	Assigned           []string `json:"assigned,omitempty" yaml:"assigned,omitempty"`                       // object ids that have the app roles
}

// AppSecret is a client secret. The zero Expiry means never.
type AppSecret struct {
	Value  string    `json:"value" yaml:"value"`
	Expiry time.Time `json:"expiry,omitzero" yaml:"expiry,omitempty"`
}

// FIC is a federated identity credential: the application trusts tokens with
// exactly these three values.
type FIC struct {
	Name     string `json:"name,omitempty" yaml:"name,omitempty"` // credential-1 and so on when empty
	Issuer   string `json:"issuer" yaml:"issuer"`
	Subject  string `json:"subject" yaml:"subject"`
	Audience string `json:"audience" yaml:"audience"` // usually api://AzureADTokenExchange
}

// ManagedIdentity is an identity that Azure gives to a host.
type ManagedIdentity struct {
	Name           string `json:"name" yaml:"name"`
	ClientID       string `json:"client_id" yaml:"client_id"`
	ObjectID       string `json:"object_id" yaml:"object_id"`
	ResourceID     string `json:"resource_id" yaml:"resource_id"`
	SystemAssigned bool   `json:"system_assigned,omitempty" yaml:"system_assigned,omitempty"`

	// FederatedCredentials let others prove that they are this identity; one that is
	// assigned by the system can have none.
	FederatedCredentials []FIC `json:"federated_credentials,omitempty" yaml:"federated_credentials,omitempty"`
}

// Host is the virtual machine that the metadata service describes.
type Host struct {
	Name           string `json:"name,omitempty" yaml:"name,omitempty"`
	Location       string `json:"location,omitempty" yaml:"location,omitempty"`
	SubscriptionID string `json:"subscription_id,omitempty" yaml:"subscription_id,omitempty"`
	ResourceGroup  string `json:"resource_group,omitempty" yaml:"resource_group,omitempty"`

	// What AWS offers to the programs on the same host: RoleARN is the role of its
	// instance profile and of its container; without one the host is not in AWS.
	// ContainerToken is what the container endpoint wants in the Authorization header.
	RoleARN        string `json:"role_arn,omitempty" yaml:"role_arn,omitempty"`
	ContainerToken string `json:"container_token,omitempty" yaml:"container_token,omitempty"`
}

// Issuer is a further OpenID provider, for example
// https://token.actions.githubusercontent.com. Without JWKS the sandbox plays
// it and [Sandbox.Mint] signs for it; with JWKS the keys are someone else's.
type Issuer struct {
	URL  string `json:"url" yaml:"url"`
	JWKS string `json:"jwks,omitempty" yaml:"jwks,omitempty"` // a JWK set, as JSON
}

// Account is an AWS account.
type Account struct {
	ID              string             `json:"id" yaml:"id"`
	Partition       string             `json:"partition,omitempty" yaml:"partition,omitempty"` // aws when empty
	Providers       []OIDCProvider     `json:"providers,omitempty" yaml:"providers,omitempty"`
	Roles           []Role             `json:"roles,omitempty" yaml:"roles,omitempty"`
	Buckets         []Bucket           `json:"buckets,omitempty" yaml:"buckets,omitempty"`
	Users           []AccessKey        `json:"users,omitempty" yaml:"users,omitempty"`
	Workspaces      []MetricsWorkspace `json:"workspaces,omitempty" yaml:"workspaces,omitempty"`
	OutboundIssuer  string             `json:"outbound_issuer,omitempty" yaml:"outbound_issuer,omitempty"`   // https://<uuid>.tokens.sts.global.api.aws; empty: outbound federation is switched off
	Administrators  []string           `json:"administrators,omitempty" yaml:"administrators,omitempty"`     // ARNs of the users and roles that IAM obeys
	DisabledRegions []string           `json:"disabled_regions,omitempty" yaml:"disabled_regions,omitempty"` // STS answers RegionDisabledException there

	Alias          string   `json:"alias,omitempty" yaml:"alias,omitempty"`                     // as iam:ListAccountAliases has it
	Regions        []Region `json:"regions,omitempty" yaml:"regions,omitempty"`                 // what there is in EC2 and CloudWatch
	LinkedAccounts []string `json:"linked_accounts,omitempty" yaml:"linked_accounts,omitempty"` // ids of those whose metrics are seen from here
}

// OIDCProvider is an IAM OIDC identity provider.
type OIDCProvider struct {
	URL       string   `json:"url" yaml:"url"` // the issuer, trailing slash included
	ClientIDs []string `json:"client_ids" yaml:"client_ids"`

	Thumbprints []string          `json:"thumbprints,omitempty" yaml:"thumbprints,omitempty"`
	Tags        map[string]string `json:"tags,omitempty" yaml:"tags,omitempty"`
}

// Role is an IAM role.
type Role struct {
	Name        string        `json:"name" yaml:"name"`
	Path        string        `json:"path,omitempty" yaml:"path,omitempty"`               // "/" when empty
	TrustPolicy string        `json:"trust_policy" yaml:"trust_policy"`                   // JSON
	MaxSession  time.Duration `json:"max_session,omitempty" yaml:"max_session,omitempty"` // one hour when zero

	Description string            `json:"description,omitempty" yaml:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty" yaml:"tags,omitempty"`
	Policies    map[string]string `json:"policies,omitempty" yaml:"policies,omitempty"` // inline policies, JSON by name
	Attached    []string          `json:"attached,omitempty" yaml:"attached,omitempty"` // ARNs of managed policies

	// Denied are actions of CloudWatch, EC2 and tagging that its sessions may not, such as
	// ec2:DescribeInstances.
	Denied []string `json:"denied,omitempty" yaml:"denied,omitempty"`

	PermissionsBoundary string `json:"permissions_boundary,omitempty" yaml:"permissions_boundary,omitempty"` // ARN of a managed policy
}

// Bucket is an S3 bucket with its objects by key.
type Bucket struct {
	Name    string            `json:"name" yaml:"name"`
	Region  string            `json:"region,omitempty" yaml:"region,omitempty"` // us-east-1 when empty
	Objects map[string]string `json:"objects,omitempty" yaml:"objects,omitempty"`
}

// AccessKey is an IAM user with a static key. It is there so that tests can
// compare with what keyless replaces.
type AccessKey struct {
	UserName        string `json:"user_name" yaml:"user_name"`
	AccessKeyID     string `json:"access_key_id" yaml:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key" yaml:"secret_access_key"`
}
