package convert

import (
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/yamltree"
	"github.com/keyless-id/keyless/profile"
)

// azuread is Prometheus's block of that name (storage/remote/azuread of Prometheus 3.15).
type azuread struct {
	Cloud            string              `yaml:"cloud"`
	ManagedIdentity  *managedIdentity    `yaml:"managed_identity"`
	WorkloadIdentity *workloadIdentity   `yaml:"workload_identity"`
	OAuth            *clientSecret       `yaml:"oauth"`
	Certificate      *clientCertificate  `yaml:"certificate"`
	SDK              *defaultCredentials `yaml:"sdk"`
	Scope            string              `yaml:"scope"`
}

type managedIdentity struct {
	ClientID string `yaml:"client_id"`
}

type workloadIdentity struct {
	ClientID  string `yaml:"client_id"`
	TenantID  string `yaml:"tenant_id"`
	TokenFile string `yaml:"token_file_path"`
}

type clientSecret struct {
	ClientID string `yaml:"client_id"`
	TenantID string `yaml:"tenant_id"`
	Secret   hidden `yaml:"client_secret"`
}

type clientCertificate struct {
	ClientID  string `yaml:"client_id"`
	TenantID  string `yaml:"tenant_id"`
	File      string `yaml:"certificate_path"`
	KeyFile   string `yaml:"certificate_key_path"`
	Password  hidden `yaml:"certificate_password"`
	SendChain bool   `yaml:"send_certificate_chain"`
}

type defaultCredentials struct {
	TenantID string `yaml:"tenant_id"`
}

// hidden is whether a secret is there. The secret itself is not read.
type hidden bool

// UnmarshalNode looks whether there is anything.
func (h *hidden) UnmarshalNode(n *yamltree.Node) error {
	*h = n.Kind != yamltree.Nothing && n.Value != ""
	return nil
}

// decode fills target from a block strictly: what is not known may change who is meant.
func (b *remoteWrite) decode(key string, node *yamltree.Node, target any) error {
	err := yamltree.Decode(escaped(node), target, b.path+"."+key)
	var wrong *yamltree.Error
	if !errors.As(err, &wrong) {
		return err
	}
	hint := ""
	if wrong.Unknown != "" {
		hint = "known here: " + strings.Join(wrong.Known, ", ")
	}
	return at{wrong.Line, wrong.Path}.wrong(hint, "%s", wrong.Message)
}

// escaped copies a tree so that profile does not look into the environment for it.
func escaped(n *yamltree.Node) *yamltree.Node {
	copied := *n
	copied.Value = literal(n.Value)
	copied.Items = nil
	for _, item := range n.Items {
		copied.Items = append(copied.Items, escaped(item))
	}
	return &copied
}

// azure makes the profile and the rest of the route of a block for Azure.
func (b *remoteWrite) azure(d *draft, r *profile.Route, u *url.URL) error {
	ad, key, err := b.azuread()
	if err != nil {
		return err
	}
	c, known := cloudNamed(ad.Cloud)
	if !known {
		return b.below(key).wrong("AzurePublic, AzureGovernment or AzureChina", "names a cloud that is not known here")
	}
	p := profile.Profile{Scope: c.scope}
	if ad.Scope != "" {
		p.Scope = ad.Scope
	}
	if !strings.HasSuffix(p.Scope, "/.default") {
		p.Scope, p.Audience = "", p.Scope
		d.note(b.below(key), "the scope does not end in /.default, which Entra ID wants of an application; it is taken for an audience")
	}
	name := "entra"
	if r.Preset = azurePreset(u, r.Path, p.Scope+p.Audience); r.Preset != "" {
		name = "azure-monitor"
	}
	comment := ""
	if p.Source, comment, err = b.source(d, ad, c, key); err != nil {
		return err
	}
	r.Profile = d.identify(name, comment, p)
	return nil
}

// azuread reads the block under either of its names.
func (b *remoteWrite) azuread() (azuread, string, error) {
	if node := b.node.Child("azuread"); node != nil {
		var ad azuread
		return ad, "azuread", b.decode("azuread", node, &ad)
	}
	node := b.node.Child("azure_ad_auth")
	if node.Kind == yamltree.List && len(node.Items) == 1 { // as the example in the proposal has it
		node = node.Items[0]
	}
	ad := azuread{ManagedIdentity: &managedIdentity{}}
	return ad, "azure_ad_auth", b.decode("azure_ad_auth", node, ad.ManagedIdentity)
}

const onVM = "The managed identity of a VM in Azure. On a machine of Azure Arc: arc, in App Service or\na Container App: app_service, instead of managed_identity."

// source is the one way that the block under key names.
func (b *remoteWrite) source(d *draft, ad azuread, c cloud, key string) (*profile.Source, string, error) {
	ways := slices.DeleteFunc(yamltree.Set(&ad), func(name string) bool { return name == "cloud" || name == "scope" })
	if len(ways) != 1 {
		return nil, "", b.below(key).wrong("managed_identity, workload_identity, oauth, certificate or sdk", "wants one way to prove an identity, has %d", len(ways))
	}
	switch {
	case ad.ManagedIdentity != nil:
		return &profile.Source{ManagedIdentity: &profile.ManagedIdentity{ClientID: ad.ManagedIdentity.ClientID}}, onVM, nil
	case ad.WorkloadIdentity != nil:
		w := ad.WorkloadIdentity
		return &profile.Source{WorkloadIdentity: &profile.WorkloadIdentity{Application: c.application(w.TenantID, w.ClientID), File: w.TokenFile}}, "", nil
	case ad.SDK != nil:
		if ad.SDK.TenantID != "" {
			d.note(b.below(key, "sdk", "tenant_id"), "is not carried over: set AZURE_TENANT_ID for an application in the environment; other identities have one tenant only")
		}
		return &profile.Source{Auto: &profile.Choice{}}, "", nil
	case ad.OAuth != nil:
		source, err := b.clientSecret(d, ad.OAuth, c)
		return source, "", err
	}
	source, err := b.certificate(d, ad.Certificate, c)
	return source, "", err
}

func (c cloud) application(tenant, client string) profile.Application {
	return profile.Application{TenantID: tenant, ClientID: client, Cloud: c.name}
}

func (b *remoteWrite) clientSecret(d *draft, s *clientSecret, c cloud) (*profile.Source, error) {
	if s.TenantID == "" || s.ClientID == "" {
		return nil, b.below("azuread", "oauth").wrong("", "wants tenant_id and client_id")
	}
	app := c.application(s.TenantID, s.ClientID)
	return &profile.Source{ClientSecret: &profile.ClientSecret{
		Application: app, ClientSecret: d.clientSecret(b.below("azuread", "oauth", "client_secret"), "", app),
	}}, nil
}

func (b *remoteWrite) certificate(d *draft, s *clientCertificate, c cloud) (*profile.Source, error) {
	where := b.below("azuread", "certificate")
	if s.TenantID == "" || s.ClientID == "" || s.File == "" {
		return nil, where.wrong("", "wants tenant_id, client_id and certificate_path")
	}
	source := &profile.Certificate{Application: c.application(s.TenantID, s.ClientID), CertificateFile: s.File, KeyFile: s.KeyFile, SendChain: s.SendChain}
	if s.Password {
		name := d.secretName("AZURE_CLIENT_CERTIFICATE_PASSWORD", source.Application)
		source.Password = inEnvironment(name)
		d.note(b.below("azuread", "certificate", "certificate_password"), "is not copied: put it into the environment of keyless as %s, or into a file and write password: file:/PATH", name)
	}
	if !filepath.IsAbs(s.File) || s.KeyFile != "" && !filepath.IsAbs(s.KeyFile) {
		d.note(where, "a path is not absolute: keyless looks from the folder that it is started in")
	}
	return &profile.Source{Certificate: source}, nil
}

// clientSecret refers to the environment variable for the secret of an application: own if
// the other tool has it there as well.
func (d *draft) clientSecret(where at, own string, app profile.Application) profile.Secret {
	if own == "" {
		own = d.secretName("AZURE_CLIENT_SECRET", app)
	}
	d.note(where, "is not copied: put it into the environment of keyless as %s, or into a file and write client_secret: file:/PATH; better, let the machine's own identity take its place", own)
	return inEnvironment(own)
}

func inEnvironment(name string) profile.Secret {
	return profile.Secret{Value: keyless.NewSecret("${" + name + "}")}
}
