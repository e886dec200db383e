package profile

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/wire"
)

// hosted is a source that first finds out what kind of host it is on. It looks anew
// each time: asking a host costs more than looking.
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
		return keyless.Token{}, h.because(found, &keyless.Error{Hop: keyless.HopSource, Op: "auto", Err: err})
	}
	token, err := source.Token(ctx)
	return token, h.because(found, err)
}

// because says why this host was asked, if it was not the profile that named it.
func (h hosted) because(found azhost.Detected, err error) error {
	e, ok := err.(*keyless.Error) //nolint:errorlint // what wraps the error is not ours to change
	if !ok || len(h.detector.Only) == 1 {
		return err
	}
	own := *e
	own.Hint = strings.TrimPrefix(fmt.Sprintf("%s (%s was chosen: %s)", own.Hint, found.Kind, strings.Join(found.Why, "; ")), " ")
	return &own
}

func (h hosted) found(ctx context.Context) (string, error) {
	found, err := h.detector.Detect(ctx)
	if err != nil {
		return "", err
	}
	text := string(found.Kind)
	if found.Endpoint != "" {
		text += " at " + found.Endpoint
	}
	if len(found.Why) > 0 {
		text += " (" + strings.Join(found.Why, "; ") + ")"
	}
	return text, nil
}

// deciders are the variables by which a host says what it is and whose identity it
// has; see azhost.Detect.
func deciders() []string {
	return []string{
		"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
		"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_TOKEN_CREDENTIALS", "WEBSITE_SITE_NAME",
		"IDENTITY_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "DEFAULT_IDENTITY_CLIENT_ID",
	}
}

// host is a source whose kind of host is known, or to be found out.
func (b *builder) host() (keyless.TokenSource, error) {
	h := hosted{detector: azhost.Detector{
		Getenv: b.getenv, Cloud: b.client(), Client: b.Far.local(wire.Near), ArcTokenDir: b.Far.ArcTokenDir,
	}, resource: b.audience()}
	if w := b.Source.WorkloadIdentity; w != nil {
		authority, err := b.authority(&w.Application, "source.workload_identity")
		if err != nil {
			return nil, err
		}
		h.detector.Getenv = b.overlaid(map[string]string{
			"AZURE_TENANT_ID": w.TenantID, "AZURE_CLIENT_ID": w.ClientID, "AZURE_FEDERATED_TOKEN_FILE": w.File, "AZURE_AUTHORITY_HOST": authority,
		})
	}
	var which Choice
	h.detector.Only, which = b.kinds()
	h.identity = azhost.Identity{ClientID: which.ClientID, ObjectID: which.ObjectID, ResourceID: which.ResourceID}
	b.digest(h)
	return h, nil
}

// kinds are the hosts to look for, and which of their identities is wanted. An
// identity that is chosen is a host's.
func (b *builder) kinds() ([]azhost.Kind, Choice) {
	switch source := b.Source; {
	case source.AppService != nil:
		return []azhost.Kind{azhost.KindAppService}, *source.AppService
	case source.Arc != nil:
		return []azhost.Kind{azhost.KindArc}, *source.Arc
	case source.WorkloadIdentity != nil:
		return []azhost.Kind{azhost.KindWorkloadIdentity}, Choice{}
	case source.ServiceFabric != nil:
		return []azhost.Kind{azhost.KindServiceFabric}, Choice{}
	case source.AzureML != nil:
		return []azhost.Kind{azhost.KindAzureML}, Choice{ClientID: source.AzureML.ClientID}
	case source.CloudShell != nil:
		return []azhost.Kind{azhost.KindCloudShell}, Choice{}
	case *source.Auto != Choice{}:
		return azhost.Hosted(), *source.Auto
	}
	return nil, Choice{}
}

func (b *builder) overlaid(values map[string]string) func(string) string {
	return func(name string) string { return first(values[name], b.getenv(name)) }
}

func (b *builder) digest(h hosted) {
	getenv := h.detector.Getenv
	b.answer = append(b.answer, "host", fmt.Sprint(h.detector.Only), h.resource, h.identity.ClientID, h.identity.ObjectID, h.identity.ResourceID)
	for _, name := range deciders() {
		b.answer = append(b.answer, getenv(name))
	}
	for _, name := range []string{"IDENTITY_HEADER", "MSI_SECRET", "AZURE_CLIENT_SECRET"} {
		b.answer = append(b.answer, fmt.Sprint(getenv(name) != ""))
		b.attempt = append(b.attempt, getenv(name))
	}
	b.attempt = append(b.attempt, fileState(getenv("AZURE_CLIENT_CERTIFICATE_PATH")), fileState(getenv("AZURE_FEDERATED_TOKEN_FILE")))
	if b.Source.Auto != nil {
		b.signedIn("AZURE_CONFIG_DIR", ".azure", "azureProfile.json")
		b.signedIn("AZD_CONFIG_DIR", ".azd", "auth.json")
	}
}

// signedIn makes what is remembered that of one person: the programs note in a file who
// is signed in. (That azd notes it in auth.json is unverified.)
func (b *builder) signedIn(variable, folder, file string) {
	if folder = first(b.getenv(variable), filepath.Join(first(b.getenv("HOME"), b.getenv("USERPROFILE")), folder)); folder == "" {
		return
	}
	state := fileState(filepath.Join(folder, file))
	b.answer = append(b.answer, state)
	b.unsettled = b.unsettled || state != ""
}

func (b *builder) azureCLI(a *AzureCLI) (keyless.TokenSource, error) {
	source := azhost.AzureCLI{Resource: b.audience(), TenantID: a.TenantID, Subscription: a.Subscription}
	b.answer = append(b.answer, "azure_cli", source.Resource, a.TenantID, a.Subscription)
	b.signedIn("AZURE_CONFIG_DIR", ".azure", "azureProfile.json")
	return source, b.valid("source.azure_cli", source.Validate())
}

func (b *builder) azureDeveloperCLI(a *AzureDeveloperCLI) (keyless.TokenSource, error) {
	source := azhost.AzureDeveloperCLI{Resource: b.audience(), TenantID: a.TenantID}
	b.answer = append(b.answer, "azure_developer_cli", source.Resource, a.TenantID)
	b.signedIn("AZD_CONFIG_DIR", ".azd", "auth.json")
	return source, b.valid("source.azure_developer_cli", source.Validate())
}
