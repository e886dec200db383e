package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/setup"
)

// wish is what a command line of setup says.
type wish struct {
	*program
	wanted setup.Spec

	profile, config, as       string
	managedIdentity, app      string
	serviceConnection         string
	issuer                    string
	awsRole                   string
	serviceAccount            string
	graphEndpoint, armAddress string
}

func (w *wish) addTo(cmd *cobra.Command) {
	if !w.wantsFlags("setup") {
		return
	}
	f := cmd.Flags()
	f.StringVar(&w.managedIdentity, "managed-identity", "", "the workload: `id` of a managed identity (object id, client id), or resource id of it or of a VM, web app, Arc server, … that has one")
	f.StringVar(&w.app, "app-registration", "", "the workload: client `id` of an app registration")
	f.StringVar(&w.serviceConnection, "service-connection", "", "the workload: `id` of a service connection of Azure Pipelines")
	f.StringVar(&w.awsRole, "aws-role", "", "the way back: `name` of the role that a workload in AWS has; it becomes --app-registration, --managed-identity, or an application that is made")
	f.StringVar(&w.wanted.Connection.OrganizationID, "organization-id", "", "`id` of the Azure DevOps organization (System.CollectionId in a job)")
	f.StringVar(&w.wanted.Connection.Path, "connection-path", "", "`ORGANIZATION/PROJECT/CONNECTION`, for the issuer vstoken")
	f.StringVar(&w.issuer, "issuer", string(setup.IssuerEntra), "issuer of the connection's tokens: `entra`, vstoken, or both while it moves")
	f.StringVar(&w.serviceAccount, "service-account", "", "`NAMESPACE/NAME` in Kubernetes that the identity trusts")
	f.StringVar(&w.wanted.Pod.Issuer, "cluster-issuer", "", "`address` of the cluster's OIDC issuer, with --service-account")
	f.StringVar(&w.wanted.TenantID, "tenant", "", "Entra tenant `id`; otherwise that of the login")
	f.StringVar(&w.wanted.Cloud, "cloud", "", "Azure `cloud`: public, usgov or china")
	f.StringVar(&w.wanted.AppID, "app", "", "client `id` of the application that stands for AWS; otherwise one is made")
	f.StringVar(&w.wanted.AppIDURI, "app-id-uri", "", "its App ID `URI`, api://… or urn://…; {appId} stands for its client id (default api://{appId})")
	f.IntVar(&w.wanted.TokenVersion, "token-version", 0, "`version` of its tokens, 1 or 2 (default 1)")
	w.addAWS(cmd)
	f.StringVar(&w.profile, "profile", "", "take the workload, the audience and the role from this `profile` of keyless.yaml")
	f.StringVar(&w.as, "as", "", "`profile` of keyless.yaml whose identity looks and changes, instead of the logins of az and aws")
	f.StringVar(&w.config, "config", "", "configuration `file`; otherwise $KEYLESS_CONFIG, ~/.config/keyless/keyless.yaml, /etc/keyless/keyless.yaml")
	f.StringVar(&w.graphEndpoint, "graph-endpoint", "", "`address` of Microsoft Graph, if it is not the cloud's")
	f.StringVar(&w.armAddress, "arm-endpoint", "", "`address` of Azure Resource Manager, if it is not the cloud's")
}

func (w *wish) addAWS(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.wanted.Role, "role", "", "`name` of the role (default keyless-NAME)")
	f.StringVar(&w.wanted.RolePath, "role-path", "", "`path` of the role, such as /workloads/")
	f.StringArrayVar(&w.wanted.Policies, "policy", nil, "`ARN` of a managed policy to attach to the role. May be repeated.")
	f.StringVar(&w.wanted.PermissionsBoundary, "permissions-boundary", "", "`ARN` of the managed policy that bounds the role")
	f.DurationVar(&w.wanted.MaxSession, "max-session", 0, "how long sessions of the role may last, 1h to 12h")
	f.StringVar(&w.wanted.Account, "account", "", "AWS account `id` that the login must be for")
	f.StringVar(&w.wanted.Partition, "partition", "", "AWS `partition` for render (default aws)")
	f.StringVar(&w.wanted.Region, "region", "", "AWS `region` for STS and the printed profile; otherwise AWS_REGION, AWS_DEFAULT_REGION")
	f.StringArrayVar(&w.wanted.Thumbprints, "thumbprint", nil, "`SHA-1` of the issuer's certificate, for issuers with a private CA only. May be repeated.")
}

// spec is what is wanted, checked as far as it can be without asking anybody.
func (w *wish) spec(name string) (setup.Spec, error) {
	spec := w.wanted
	spec.Name = name
	if w.profile != "" {
		selected, err := profile.Select(w.profile, w.config, nil, w.getenv)
		if err != nil {
			return spec, err
		}
		fromProfile(&spec, selected)
	}
	if err := w.who(&spec); err != nil {
		return spec, usageError{err}
	}
	if spec.Region == "" {
		spec.Region = cmp.Or(w.getenv("AWS_REGION"), w.getenv("AWS_DEFAULT_REGION"))
	}
	if err := spec.Validate(); err != nil {
		return spec, usageError{err}
	}
	return spec, nil
}

// who reads the flags that say who the workload is.
func (w *wish) who(spec *setup.Spec) error {
	if w.serviceAccount != "" {
		spec.Pod.Namespace, spec.Pod.ServiceAccount, _ = strings.Cut(w.serviceAccount, "/")
	}
	if w.managedIdentity != "" && w.app != "" {
		return errors.New("--managed-identity and --app-registration: want one of them")
	}
	if w.serviceConnection != "" && (w.awsRole != "" || w.managedIdentity+w.app != "") {
		return errors.New("--service-connection stands for the workload alone")
	}
	switch {
	case w.awsRole != "":
		spec.Kind, spec.Role, spec.Identity = setup.FromAWS, w.awsRole, w.managedIdentity+w.app
	case w.managedIdentity != "":
		spec.Kind, spec.Identity = setup.ManagedIdentity, w.managedIdentity
	case w.app != "":
		spec.Kind, spec.Identity = setup.Application, w.app
	case w.serviceConnection != "" || w.wanted.Connection.Path != "":
		spec.Kind, spec.Connection.ID = setup.Pipelines, w.serviceConnection
	}
	if spec.Kind == setup.Pipelines {
		return w.issuers(spec)
	}
	return nil
}

func (w *wish) issuers(spec *setup.Spec) error {
	switch w.issuer {
	case "both":
		spec.Connection.Issuers = []setup.Issuer{setup.IssuerEntra, setup.IssuerVSToken}
	case string(setup.IssuerEntra), string(setup.IssuerVSToken):
		spec.Connection.Issuers = []setup.Issuer{setup.Issuer(w.issuer)}
	default:
		return fmt.Errorf("--issuer %s: want entra, vstoken or both", w.issuer)
	}
	return nil
}

// fromProfile takes from a profile what it says of the two ends.
func fromProfile(spec *setup.Spec, s *profile.Selected) {
	if s.AWS != nil {
		arn := strings.SplitN(s.AWS.RoleARN, ":", 6)
		if path, name, ok := rolePath(arn); ok {
			spec.Partition, spec.Account, spec.RolePath, spec.Role = arn[1], arn[4], path, name
		}
		spec.Region = cmp.Or(spec.Region, s.AWS.Region)
		if s.AWS.Duration > time.Hour {
			spec.MaxSession = s.AWS.Duration
		}
	}
	if !strings.HasPrefix(s.Audience, "https://") { // that is a service of Azure, reached the way back
		spec.AppIDURI = cmp.Or(spec.AppIDURI, s.Audience)
	}
	profileIdentity(spec, s.Source)
}

func rolePath(arn []string) (path, name string, ok bool) {
	if len(arn) != 6 {
		return "", "", false
	}
	resource, ok := strings.CutPrefix(arn[5], "role/")
	at := strings.LastIndex("/"+resource, "/")
	return ("/" + resource)[:at+1], ("/" + resource)[at+1:], ok
}

func profileIdentity(spec *setup.Spec, s *profile.Source) {
	switch {
	case s == nil:
	case s.ManagedIdentity != nil:
		spec.Kind, spec.Identity = setup.ManagedIdentity, cmp.Or(s.ManagedIdentity.ResourceID, s.ManagedIdentity.ObjectID, s.ManagedIdentity.ClientID)
	case s.AzurePipelines != nil:
		spec.Kind, spec.Connection.ID = setup.Pipelines, s.AzurePipelines.ServiceConnectionID
	case s.AWS != nil:
		spec.Kind, spec.Identity, spec.TenantID = setup.FromAWS, s.AWS.ClientID, cmp.Or(spec.TenantID, s.AWS.TenantID)
	case s.WorkloadIdentity != nil:
		spec.Kind, spec.Identity, spec.TenantID = setup.ManagedIdentity, s.WorkloadIdentity.ClientID, cmp.Or(spec.TenantID, s.WorkloadIdentity.TenantID)
	default:
		if choice := choiceOf(s); choice != nil {
			spec.Kind, spec.Identity = setup.ManagedIdentity, cmp.Or(choice.ResourceID, choice.ObjectID, choice.ClientID)
		}
		if app := registrationOf(s); app != nil {
			spec.Kind, spec.Identity, spec.TenantID = setup.Application, app.ClientID, cmp.Or(spec.TenantID, app.TenantID)
		}
	}
}

func choiceOf(s *profile.Source) *profile.Choice {
	switch {
	case s.Auto != nil:
		return s.Auto
	case s.AppService != nil:
		return s.AppService
	}
	return s.Arc
}

func registrationOf(s *profile.Source) *profile.Application {
	switch {
	case s.ClientSecret != nil:
		return &s.ClientSecret.Application
	case s.Certificate != nil:
		return &s.Certificate.Application
	case s.AssertionFile != nil:
		return &s.AssertionFile.Application
	}
	return nil
}
