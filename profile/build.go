package profile

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/pipelines"
)

// Built is a profile as something that works.
type Built struct {
	Source    keyless.TokenSource
	Exchanger keyless.Exchanger // nil: the profile names no role
	// STS is the first step of Exchanger, of which chained roles are the others; the zero
	// value if there is none.
	STS awssts.WebIdentity

	// SourceKey and CredentialsKey are digests of all that changes the token and the
	// credentials: a cache's names for them.
	SourceKey      string
	CredentialsKey string
	// Fleeting says that the token itself must not be kept on disk: it is good for a day
	// and for everything that trusts its issuer.
	Fleeting bool
	// Unsettled says that the answer depends on more than the command line, the
	// environment and the configuration file: on who is signed in.
	Unsettled bool
	// Found says what a source that looks around for itself finds, and why; nil for
	// sources that the profile names.
	Found func(ctx context.Context) (string, error)
	// Assertion is the token by which the source proves itself to Entra, if that is not a
	// file that somebody else keeps; nil: there is none.
	Assertion keyless.TokenSource
	// Attempt is a digest of what, besides the keys, decides whether asking works:
	// secrets, and the files they are in.
	Attempt string

	overTLS *http.Client // with which STS is asked, if that is over https
}

// Prepare loads what asking STS over https will need, the certificates to trust. It
// can be done while the source is asked.
func (b *Built) Prepare() {
	if b.overTLS != nil {
		wire.LoadRoots(b.overTLS)
	}
}

// builder gathers what the digests are made of while it builds.
type builder struct {
	*Selected
	getenv    func(string) string
	answer    []string // what changes the answer
	attempt   []string // what changes whether there is one
	unsettled bool
}

// Build makes the source and, if the profile names a role, the exchanger. It reads
// no secret and asks nobody. The far sides can be moved by the environment that
// Azure's and AWS's own SDKs know: AZURE_POD_IDENTITY_AUTHORITY_HOST,
// AZURE_AUTHORITY_HOST, AWS_ENDPOINT_URL_STS, AWS_CA_BUNDLE.
func (s *Selected) Build(getenv func(string) string) (*Built, error) {
	b := &builder{Selected: s, getenv: getenv}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		b.attempt = append(b.attempt, getenv(name))
	}
	source, err := b.source(b.client())
	if err != nil {
		return nil, err
	}
	built := &Built{Source: source, Fleeting: s.Source.AzurePipelines != nil, Unsettled: b.unsettled, SourceKey: "token-" + filecache.Digest(b.answer)}
	if finder, ok := source.(interface {
		found(ctx context.Context) (string, error)
	}); ok {
		built.Found = finder.found
	}
	if prover, ok := source.(interface{ assertion() keyless.TokenSource }); ok {
		built.Assertion = prover.assertion()
	}
	if s.AWS != nil {
		sts := b.webIdentity()
		built.STS = sts
		if built.Exchanger, err = b.exchanger(sts); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(sts.Endpoint, "http:") {
			built.overTLS = sts.Client
		}
		built.CredentialsKey = "aws-" + filecache.Digest(b.answer)
	}
	built.Attempt = filecache.Digest(b.attempt)
	return built, nil
}

// client returns the client for Entra.
func (b *builder) client() *http.Client {
	b.attempt = append(b.attempt, fileState(b.CAFile))
	if b.CAFile == "" {
		return b.Far.client(wire.Cloud())
	}
	return b.Far.client(wire.NewCloud(b.CAFile))
}

// awsClient returns the client for STS, for which AWS's own variable counts too.
func (b *builder) awsClient() *http.Client {
	bundle := b.getenv("AWS_CA_BUNDLE")
	b.attempt = append(b.attempt, fileState(bundle))
	if b.CAFile != "" || bundle == "" {
		return b.client()
	}
	return b.Far.client(wire.NewCloud(bundle))
}

func (b *builder) source(client *http.Client) (keyless.TokenSource, error) {
	switch source := b.Source; {
	case source.ManagedIdentity != nil:
		return b.managedIdentity(source.ManagedIdentity)
	case source.AzurePipelines != nil:
		return b.pipelines(source.AzurePipelines, client)
	case source.Pod != nil:
		b.answer = append(b.answer, "pod", b.audience())
		return podSource{}, nil
	case source.AzureCLI != nil:
		return b.azureCLI(source.AzureCLI)
	case source.AzureDeveloperCLI != nil:
		return b.azureDeveloperCLI(source.AzureDeveloperCLI)
	}
	if app, _ := b.applicationOf(); app == nil {
		return b.host()
	}
	return b.registration(client)
}

// registration is an application, or what Entra treats like one.
func (b *builder) registration(client *http.Client) (keyless.TokenSource, error) {
	app, at := b.applicationOf()
	authority, err := b.authority(app, at)
	if err != nil {
		return nil, err
	}
	b.answer = append(b.answer, at, app.TenantID, app.ClientID, authority, b.scope())
	switch source := b.Source; {
	case source.ClientSecret != nil:
		return b.clientSecret(source.ClientSecret, authority, client)
	case source.Certificate != nil:
		return b.certificate(source.Certificate, authority, client)
	case source.AWS != nil:
		return b.awsWorkload(source.AWS, authority, client)
	}
	return b.assertion(b.Source.AssertionFile, authority, client)
}

// scope is what Entra is asked for.
func (b *builder) scope() string {
	if b.Scope != "" {
		return b.Scope
	}
	return entra.Scope(b.Audience)
}

// audience is what the token is for.
func (b *builder) audience() string {
	if b.Audience != "" {
		return b.Audience
	}
	return entra.Audience(b.Scope)
}

func (b *builder) managedIdentity(m *ManagedIdentity) (keyless.TokenSource, error) {
	source := azhost.ManagedIdentity{
		Resource: b.audience(), ClientID: m.ClientID, ObjectID: m.ObjectID, ResourceID: m.ResourceID,
		Endpoint: first(m.Endpoint, b.getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")), Client: b.Far.local(wire.Local),
	}
	b.answer = append(b.answer, "managed_identity", source.Resource, source.ClientID, source.ObjectID, source.ResourceID, source.Endpoint)
	return source, b.valid("source.managed_identity", source.Validate())
}

// pipelines is of one job, and so is what is remembered of it: another job on the same
// agent, as the same user, must prove itself anew.
func (b *builder) pipelines(p *AzurePipelines, client *http.Client) (keyless.TokenSource, error) {
	source := pipelines.Job{
		RequestURI: b.getenv("SYSTEM_OIDCREQUESTURI"), AccessToken: keyless.NewSecret(b.getenv("SYSTEM_ACCESSTOKEN")),
		ServiceConnectionID: p.ServiceConnectionID, Subject: p.Subject, Client: client,
	}
	b.answer = append(b.answer, "azure_pipelines", source.RequestURI, filecache.Digest([]string{source.AccessToken.Reveal()}), source.ServiceConnectionID, source.Subject)
	return source, b.valid("source.azure_pipelines", source.Validate())
}

func (b *builder) authority(app *Application, at string) (string, error) {
	switch {
	case app.Cloud != "" && app.AuthorityHost != "":
		return "", b.fail(at+".authority_host", "keep one of them", "stands beside cloud")
	case app.AuthorityHost != "":
		return app.AuthorityHost, nil
	case app.Cloud != "":
		authority, err := entra.AuthorityFor(app.Cloud)
		return authority, b.valid(at+".cloud", err)
	}
	return b.getenv("AZURE_AUTHORITY_HOST"), nil
}

func (b *builder) clientSecret(c *ClientSecret, authority string, client *http.Client) (keyless.TokenSource, error) {
	source := entra.ClientSecret{
		TenantID: c.TenantID, ClientID: c.ClientID, Secret: c.ClientSecret.Value, SecretFile: c.ClientSecret.File,
		Scope: b.scope(), Authority: authority, Client: client,
	}
	b.attempt = append(b.attempt, c.ClientSecret.Value.Reveal(), fileState(c.ClientSecret.File))
	_, at := b.applicationOf()
	return source, b.valid(at, source.Validate())
}

func (b *builder) certificate(c *Certificate, authority string, client *http.Client) (keyless.TokenSource, error) {
	source := &entra.Certificate{
		TenantID: c.TenantID, ClientID: c.ClientID, File: c.CertificateFile, KeyFile: c.KeyFile,
		Password: c.Password.Value, PasswordFile: c.Password.File, SendChain: c.SendChain,
		Scope: b.scope(), Authority: authority, Client: client,
	}
	b.attempt = append(b.attempt, c.Password.Value.Reveal(), fileState(c.Password.File), fileState(c.CertificateFile), fileState(c.KeyFile))
	return source, b.valid("source.certificate", source.Validate())
}

func (b *builder) assertion(a *AssertionFile, authority string, client *http.Client) (keyless.TokenSource, error) {
	source := entra.Assertion{
		TenantID: a.TenantID, ClientID: a.ClientID, File: a.File,
		Scope: b.scope(), Authority: authority, Client: client,
	}
	b.attempt = append(b.attempt, fileState(a.File))
	return source, b.valid("source.assertion_file", source.Validate())
}

// fileState changes when the file does.
func fileState(path string) string {
	info, err := os.Stat(path)
	if path == "" || err != nil {
		return ""
	}
	return fmt.Sprint(path, info.Size(), info.ModTime().UnixNano())
}

func (b *builder) webIdentity() awssts.WebIdentity {
	return awssts.WebIdentity{
		RoleARN: b.AWS.RoleARN, SessionName: b.AWS.SessionName, Duration: b.AWS.Duration,
		Policy: b.AWS.SessionPolicy, PolicyARNs: b.AWS.PolicyARNs,
		Region:   first(b.AWS.Region, b.getenv("AWS_REGION"), b.getenv("AWS_DEFAULT_REGION")),
		FIPS:     b.AWS.FIPS || b.getenv("AWS_USE_FIPS_ENDPOINT") == "true",
		Endpoint: first(b.AWS.STSEndpoint, b.getenv("AWS_ENDPOINT_URL_STS")),
		Audience: b.audience(), ExpectedAudience: b.ExpectedAud, Client: b.awsClient(),
		AllowTokenExchangeAudience: b.Source.AzurePipelines != nil,
	}
}

func (b *builder) exchanger(ex awssts.WebIdentity) (keyless.Exchanger, error) {
	b.answer = append(b.answer, ex.RoleARN, ex.SessionName, ex.Duration.String(), ex.Policy, strings.Join(ex.PolicyARNs, " "),
		ex.Region, strconv.FormatBool(ex.FIPS), ex.Endpoint, ex.ExpectedAudience)
	if err := b.valid(b.pathOfRole(), ex.Validate()); err != nil {
		return nil, err
	}
	return b.chain(ex)
}

func (b *builder) pathOfRole() string {
	if b.AzureAD != nil {
		return "role_arn"
	}
	return "aws"
}

func (b *builder) chain(ex awssts.WebIdentity) (keyless.Exchanger, error) {
	hops := make([]awssts.AssumeRole, len(b.AWS.Chain))
	for i, hop := range b.AWS.Chain {
		hops[i] = awssts.AssumeRole{
			RoleARN: hop.RoleARN, ExternalID: hop.ExternalID, SessionName: first(hop.SessionName, ex.SessionName),
			Duration: hop.Duration, Region: ex.Region, FIPS: ex.FIPS, Endpoint: ex.Endpoint, Client: ex.Client,
		}
		b.answer = append(b.answer, hop.RoleARN, hop.ExternalID, hop.SessionName, hops[i].Duration.String())
		if err := b.valid(fmt.Sprintf("aws.chain[%d]", i), hops[i].Validate()); err != nil {
			return nil, err
		}
	}
	return awssts.Chain(ex, hops...), nil
}

// valid makes what a far side's own rules forbid an error of the configuration.
func (b *builder) valid(path string, err error) error {
	if err == nil {
		return nil
	}
	return b.fail(path, "", "%s", err.Error())
}

func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
