// Package setup lays the way from an identity in Entra to a role in AWS, or back: it looks
// at what there is in both, plans what is missing as plain data, makes it step by step,
// and takes away again what it made.
//
//	state, err := clouds.Observe(ctx, spec)
//	for _, step := range setup.Plan(spec, state) { … }
//	state, err = setup.Applier{Clouds: clouds}.Apply(ctx, spec, state)
package setup

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/pipelines"
)

// Kind says what the workload proves itself with.
type Kind string

// The kinds of workloads.
const (
	ManagedIdentity Kind = "managed identity" // of a VM, App Service, AKS, Arc, …
	Application     Kind = "app registration"
	Pipelines       Kind = "service connection" // of Azure Pipelines
	FromAWS         Kind = "aws role"           // the way back: a role that becomes an identity in Entra
)

// Issuer is one of the two that sign the tokens of Azure Pipelines.
type Issuer string

// The issuers of Azure Pipelines; see package pipelines for when the second one ends.
const (
	IssuerEntra   Issuer = "entra"
	IssuerVSToken Issuer = "vstoken"
)

// AppIDPlace is what stands in an App ID URI for the application's client id.
const AppIDPlace = "{appId}"

const defaultURI = "api://" + AppIDPlace

// Spec is what is wanted. It is plain data.
type Spec struct {
	Name     string // of this set-up: what it makes is named and tagged after it
	Kind     Kind
	Cloud    string // Azure cloud; zero: public
	TenantID string // zero: that of the Azure login

	// Identity is who the workload is: the object id, client id or resource id of a
	// managed identity, or of a resource that has one; the client id of an app
	// registration. FromAWS: whom the role becomes, zero for an application that is made.
	Identity   string
	Pod        Pod        // whom in Kubernetes the identity trusts, if anybody
	Connection Connection // of Pipelines

	AppID        string // client id of the application that stands for AWS; zero: one is made
	AppIDURI     string // its App ID URI, in which {appId} stands for its client id; zero: api://{appId}
	TokenVersion int    // of its tokens, 1 or 2; zero: 1

	Account             string // zero: that of the AWS login
	Partition           string // the same
	Role                string // name; zero: keyless-NAME
	RolePath            string // zero: /
	MaxSession          time.Duration
	PermissionsBoundary string
	Policies            []string // ARNs of managed policies to attach
	Thumbprints         []string // of the issuer's certificate, for issuers with a private CA only

	Region string // for the profile that is printed; may be empty
}

// Pod is a service account of Kubernetes. The zero value is none.
type Pod struct {
	Issuer         string // of the cluster's tokens
	Namespace      string
	ServiceAccount string
}

// Connection is a service connection of Azure Pipelines.
type Connection struct {
	ID             string // GUID
	OrganizationID string // GUID
	Path           string // ORGANIZATION/PROJECT/CONNECTION, for tokens of vstoken.dev.azure.com
	Issuers        []Issuer
}

var (
	names      = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)
	guids      = pattern.Lazy(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	accounts   = pattern.Lazy(`^[0-9]{12}$`)
	roleNames  = pattern.Lazy(`^[\w+=,.@-]{1,64}$`)
	rolePaths  = pattern.Lazy(`^/([!-.0-~]+/)*$`)
	policyARNs = pattern.Lazy(`^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+$`)
	thumbs     = pattern.Lazy(`^[0-9A-Fa-f]{40}$`)
	uris       = pattern.Lazy(`^(api|urn|https):[A-Za-z0-9._~:/{}-]{2,200}$`)
	issuers    = pattern.Lazy(`^https://[A-Za-z0-9._~/-]+$`)
	kubeNames  = pattern.Lazy(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	paths      = pattern.Lazy(`^[^/\x60\x27"$*?\\{}\x00-\x1f]+/[^/\x60\x27"$*?\\{}\x00-\x1f]+/[^/\x60\x27"$*?\\{}\x00-\x1f]+$`)
)

// Validate checks what can be checked without asking anybody.
func (s Spec) Validate() error {
	if !names().MatchString(s.Name) {
		return fmt.Errorf("name %q: want up to 40 letters, digits, - and _", wire.Quote(s.Name))
	}
	if _, err := cloudOf(s.Cloud); err != nil {
		return err
	}
	for _, check := range []func(Spec) error{Spec.validWho, Spec.validAudience, Spec.validRole} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

// must is an error if the text is there and does not have the form.
func must(what, text string, ok bool, want string) error {
	if text == "" || ok {
		return nil
	}
	return fmt.Errorf("%s %q: want %s", what, wire.Quote(text), want)
}

func (s Spec) validWho() error {
	isID := guids().MatchString(s.Identity)
	isResource := graph.CheckResourceID(s.Identity) == nil
	switch s.Kind {
	case ManagedIdentity:
		if !isID && !isResource {
			return fmt.Errorf("managed identity %q: want its object id, its client id or a resource id", wire.Quote(s.Identity))
		}
	case Application:
		if !isID {
			return fmt.Errorf("app registration %q: want its client id", wire.Quote(s.Identity))
		}
	case FromAWS:
		if s.Identity != "" && !isID && !graph.IsUserAssigned(s.Identity) {
			return fmt.Errorf("identity %q: want the client id of an application or the resource id of a user-assigned identity", wire.Quote(s.Identity))
		}
		if s.Role == "" {
			return errors.New("role: want the name of the role that the workload in AWS has")
		}
	case Pipelines:
		return s.Connection.validate()
	default:
		return errors.New("want one of managed identity, app registration, service connection, or a role in AWS")
	}
	return errors.Join(must("tenant", s.TenantID, guids().MatchString(s.TenantID), "a GUID"), s.Pod.validate(s))
}

func (p Pod) validate(s Spec) error {
	switch {
	case p == Pod{}:
		return nil
	case !issuers().MatchString(p.Issuer):
		return fmt.Errorf("issuer of the cluster %q: want its https address (az aks show --query oidcIssuerProfile.issuerUrl)", wire.Quote(p.Issuer))
	case !kubeNames().MatchString(p.Namespace) || !kubeNames().MatchString(p.ServiceAccount):
		return errors.New("service account: want NAMESPACE/NAME")
	case s.Kind == ManagedIdentity && !graph.IsUserAssigned(s.Identity):
		return errors.New("a service account needs the resource id of a user-assigned identity: others trust no pods")
	case s.Kind == FromAWS || s.Kind == Pipelines:
		return errors.New("a service account goes with a managed identity or an app registration")
	}
	return nil
}

func (c Connection) validate() error {
	if len(c.Issuers) == 0 {
		return errors.New("issuer: want entra, vstoken or both")
	}
	for _, issuer := range c.Issuers {
		switch issuer {
		case IssuerEntra:
			if !guids().MatchString(c.ID) {
				return fmt.Errorf("service connection %q: want its id, a GUID (resourceId in its address)", wire.Quote(c.ID))
			}
		case IssuerVSToken:
			if !paths().MatchString(c.Path) {
				return fmt.Errorf("path of the connection %q: want ORGANIZATION/PROJECT/CONNECTION, for the issuer %s", wire.Quote(c.Path), issuer)
			}
		default:
			return fmt.Errorf("issuer %q: want entra, vstoken or both", wire.Quote(string(issuer)))
		}
	}
	if !guids().MatchString(c.OrganizationID) {
		return fmt.Errorf("organization %q: want its id, a GUID (System.CollectionId in a job)", wire.Quote(c.OrganizationID))
	}
	return nil
}

func (s Spec) validAudience() error {
	if s.TokenVersion != 0 && s.TokenVersion != 1 && s.TokenVersion != 2 {
		return fmt.Errorf("token version %d: want 1 or 2", s.TokenVersion)
	}
	return errors.Join(
		must("application", s.AppID, guids().MatchString(s.AppID), "its client id"),
		must("App ID URI", s.AppIDURI, uris().MatchString(s.AppIDURI), "api://… or urn://…, in which {appId} may stand for the client id"),
	)
}

func (s Spec) validRole() error {
	errs := []error{
		must("account", s.Account, accounts().MatchString(s.Account), "12 digits"),
		must("role", s.Role, roleNames().MatchString(s.Role), "a name, without its path"),
		must("path of the role", s.RolePath, rolePaths().MatchString(s.RolePath), "/ or /…/"),
		must("permissions boundary", s.PermissionsBoundary, policyARNs().MatchString(s.PermissionsBoundary), "the ARN of a managed policy"),
	}
	for _, policy := range s.Policies {
		errs = append(errs, must("policy", policy, policyARNs().MatchString(policy), "the ARN of a managed policy"))
	}
	for _, thumbprint := range s.Thumbprints {
		errs = append(errs, must("thumbprint", thumbprint, thumbs().MatchString(thumbprint), "40 hexadecimal digits"))
	}
	if s.MaxSession != 0 && (s.MaxSession < time.Hour || s.MaxSession > 12*time.Hour || s.MaxSession%time.Second != 0) {
		errs = append(errs, fmt.Errorf("longest session %s: want 1h to 12h", s.MaxSession))
	}
	return errors.Join(errs...)
}

// Warnings are what may go wrong with a set-up that is valid.
func (s Spec) Warnings() []string {
	var all []string
	if strings.HasPrefix(s.AppIDURI, "urn:") {
		all = append(all, "App ID URI "+s.AppIDURI+": newer tenants refuse what is neither api://{appId} nor under a verified domain (app management policy)")
	}
	if s.Kind == Pipelines && s.has(IssuerVSToken) {
		all = append(all, "tokens of vstoken.dev.azure.com end on "+pipelines.VSTokenRetired().Format(time.DateOnly)+"; --issuer both lets the connection move before that")
	}
	if len(s.Thumbprints) > 0 {
		all = append(all, "thumbprints go stale when the issuer's certificate changes; only issuers with a private CA need them")
	}
	return all
}

func (s Spec) has(issuer Issuer) bool {
	for _, wanted := range s.Connection.Issuers {
		if wanted == issuer {
			return true
		}
	}
	return false
}

// title is what things that are made are called.
func (s Spec) title() string { return "keyless-" + s.Name }

func (s Spec) roleName() string {
	if s.Role == "" {
		return s.title()
	}
	return s.Role
}

func (s Spec) rolePath() string {
	if s.RolePath == "" {
		return "/"
	}
	return s.RolePath
}

func (s Spec) version() int { return max(s.TokenVersion, 1) }

// throughEntra says that an application stands for AWS in Entra.
func (s Spec) throughEntra() bool { return s.Kind == ManagedIdentity || s.Kind == Application }

// TagKey is the key of the tag that roles and providers have.
const TagKey = "keyless:setup"

func (s Spec) tags() map[string]string { return map[string]string{TagKey: s.Name} }

// entraTag is the tag of an application, which has no key and value.
func (s Spec) entraTag() string { return TagKey + "=" + s.Name }
