package azhost

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// Kind is a kind of host.
type Kind string

// The kinds of hosts, in the order in which they are looked for.
const (
	KindEnvironment      Kind = opEnvironment // an application whose secret or certificate the environment has
	KindWorkloadIdentity Kind = opWorkloadIdentity
	KindServiceFabric    Kind = opServiceFabric
	KindAppService       Kind = opAppService // also Functions and Container Apps
	KindAzureML          Kind = opAzureML
	KindCloudShell       Kind = opCloudShell
	KindArc              Kind = opArc
	KindVM               Kind = opManagedIdentity // whatever has an instance metadata service

	// A developer's machine, with the program that somebody is signed in with.
	KindAzureCLI          Kind = "azure cli"
	KindAzureDeveloperCLI Kind = "azure developer cli"
)

// Hosted lists the kinds of hosts that Azure gives an identity, as opposed to
// applications and people.
func Hosted() []Kind {
	return []Kind{KindWorkloadIdentity, KindServiceFabric, KindAppService, KindAzureML, KindCloudShell, KindArc, KindVM}
}

// CodeNoHost says that nothing gives the program an identity, or not one of the kinds that
// are looked for.
const CodeNoHost = "NoHost"

const (
	opDetect = "detection"

	// probeTimeout keeps the whole of a detection that finds nothing under a second.
	probeTimeout = 900 * time.Millisecond
)

// Detector finds out what kind of host the program runs on. The zero value looks
// at nothing but the machine; see [Detect].
type Detector struct {
	Getenv func(name string) string // zero: an empty environment
	Agent  string                   // the file that shows that Azure Arc connects the machine; zero: himds where its package puts it

	// Only says what to look for, whatever else there is. Azure Arc or a virtual machine
	// alone is taken for granted. Zero: what AZURE_TOKEN_CREDENTIALS names, as in
	// Microsoft's own libraries, else everything.
	Only []Kind

	// Client is for the host's endpoint, here and in the source, but not for Service
	// Fabric, which pins a certificate; zero: a shared one without a proxy, for this
	// machine and what is near it.
	Client *http.Client
	// ArcTokenDir is the folder that the files of Azure Arc's agent are read from; zero: the
	// documented one. It is for tests.
	ArcTokenDir string
	// Cloud is for Entra, which the source of a pod asks; zero: a shared one that
	// honours HTTPS_PROXY and NO_PROXY.
	Cloud *http.Client
}

// Detect looks where the program runs, by its environment, the files of Azure Arc and,
// if these say nothing, by asking for the instance metadata service. The order is that
// of Microsoft's own libraries (DefaultAzureCredential): an application in the
// environment, workload identity, Service Fabric, App Service, Azure ML, Cloud Shell,
// Azure Arc, virtual machine, and the Azure CLIs of a developer. It takes less than a
// second, and asks for no token.
func Detect(ctx context.Context, getenv func(name string) string) (Detected, error) {
	return Detector{Getenv: getenv}.Detect(ctx)
}

// Detected is what was found.
type Detected struct {
	Kind     Kind
	Endpoint string // whom its source will ask
	// Why says for people what decided, and what was looked at before.
	Why []string

	detector Detector
}

// Identity chooses one of a host's identities; at most one field is set. Zero: the
// one that AZURE_CLIENT_ID names where the host lets choose, else the host's own.
type Identity struct {
	ClientID   string
	ObjectID   string
	ResourceID string
}

// Detect is [Detect] with the detector's fields.
func (d Detector) Detect(ctx context.Context) (Detected, error) {
	if d.Getenv == nil {
		d.Getenv = func(string) string { return "" }
	}
	look := &lookout{Detector: d}
	if err := look.narrow(); err != nil {
		return Detected{}, err
	}
	for _, seek := range []func(context.Context) (Kind, string){
		look.application, look.pod, look.identityEndpoint, look.msiEndpoint, look.agent, look.metadata, look.azureCLI, look.azureDeveloperCLI,
	} {
		if kind, endpoint := seek(ctx); look.wants(kind) {
			return Detected{Kind: kind, Endpoint: endpoint, Why: look.why, detector: look.Detector}, nil
		} else if kind != "" {
			look.say("which makes it: %s, which is not looked for", kind)
		}
	}
	return Detected{Why: look.why}, look.nothing(ctx)
}

// lookout gathers what was seen.
type lookout struct {
	Detector
	why    []string
	silent error // why the metadata service counts as absent
	named  bool  // the environment says where it is
}

func (l *lookout) say(format string, args ...any) {
	l.why = append(l.why, fmt.Sprintf(format, args...))
}

// wants reports whether the kind is looked for; no kind is not.
func (l *lookout) wants(kind Kind) bool {
	return kind != "" && (len(l.Only) == 0 || slices.Contains(l.Only, kind))
}

// alone reports whether the kind is the only one that is looked for.
func (l *lookout) alone(kind Kind) bool { return len(l.Only) == 1 && l.Only[0] == kind }

// tokenCredentials is the variable by which Microsoft's own libraries are narrowed.
const tokenCredentials = "AZURE_TOKEN_CREDENTIALS" //nolint:gosec // the name of a variable

// narrow does what AZURE_TOKEN_CREDENTIALS says ("Credential chains in the Azure Identity
// client library", Microsoft Learn), unless the caller has said it.
func (l *lookout) narrow() error {
	value := l.Getenv(tokenCredentials)
	if value == "" || len(l.Only) > 0 {
		return nil
	}
	switch strings.ToLower(value) {
	case "prod":
		l.Only = append([]Kind{KindEnvironment}, Hosted()...)
	case "dev":
		l.Only = []Kind{KindAzureCLI, KindAzureDeveloperCLI}
	case "environmentcredential":
		l.Only = []Kind{KindEnvironment}
	case "workloadidentitycredential":
		l.Only = []Kind{KindWorkloadIdentity}
	case "managedidentitycredential":
		l.Only = Hosted()[1:]
	case "azureclicredential":
		l.Only = []Kind{KindAzureCLI}
	case "azuredeveloperclicredential":
		l.Only = []Kind{KindAzureDeveloperCLI}
	default:
		return &keyless.Error{
			Hop: keyless.HopSource, Op: opDetect, Code: CodeNoHost, Message: fmt.Sprintf("%s=%q is not known", tokenCredentials, value),
			Hint: "want dev, prod, or one of EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential, AzureCLICredential, AzureDeveloperCLICredential",
		}
	}
	l.say("%s=%s", tokenCredentials, value)
	return nil
}

// needs says what shows that a host is of a kind, where something must.
func (k Kind) needs() string {
	switch k {
	case KindEnvironment:
		return "AZURE_TENANT_ID, AZURE_CLIENT_ID, and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH"
	case KindWorkloadIdentity:
		return "AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID and AZURE_CLIENT_ID, which the webhook sets in a pod with the label azure.workload.identity/use: \"true\""
	case KindServiceFabric:
		return "IDENTITY_ENDPOINT, IDENTITY_HEADER and IDENTITY_SERVER_THUMBPRINT"
	case KindAppService:
		return "IDENTITY_ENDPOINT and IDENTITY_HEADER, which the platform sets once an identity is switched on"
	case KindAzureML:
		return "MSI_ENDPOINT and MSI_SECRET"
	case KindCloudShell:
		return "MSI_ENDPOINT"
	case KindAzureCLI:
		return "the program az, and somebody who is signed in with it"
	case KindAzureDeveloperCLI:
		return "the program azd, and somebody who is signed in with it"
	}
	return ""
}

// nothing is temporary if it was the caller who had no time.
func (l *lookout) nothing(ctx context.Context) error {
	if len(l.why) == 0 {
		l.say("nothing of it is here")
	}
	e := &keyless.Error{
		Hop: keyless.HopSource, Op: opDetect, Code: CodeNoHost, Message: strings.Join(l.why, "; "), Err: l.silent,
		Hint: "nothing here gives the program an identity; is this a host in Azure whose managed identity is switched on? Elsewhere sign in (az login), or choose a source: client_secret, certificate, assertion_file, aws",
	}
	switch {
	case ctx.Err() != nil:
		e.Temporary, e.Hint = true, "the caller gave up before the host was found out"
	case len(l.Only) == 1:
		e.Op, e.Hint = string(l.Only[0]), "this source needs "+l.Only[0].needs()
	}
	return e
}

// set reports which of the variables are set, and says so if some are and some
// are not.
func (l *lookout) set(names ...string) bool {
	var present, missing []string
	for _, name := range names {
		if l.Getenv(name) == "" {
			missing = append(missing, name)
		} else {
			present = append(present, name)
		}
	}
	switch {
	case len(missing) == 0:
		l.say("%s: set", strings.Join(names, " and "))
		return true
	case len(present) > 0:
		l.say("%s: set, but not %s", strings.Join(present, " and "), strings.Join(missing, " and "))
	}
	return false
}

// application is whole, or it is left alone: half of it belongs to other kinds too.
func (l *lookout) application(context.Context) (Kind, string) {
	for _, proof := range []string{envSecret, envCertificate} {
		if l.Getenv(proof) != "" && l.set("AZURE_TENANT_ID", "AZURE_CLIENT_ID", proof) {
			return KindEnvironment, l.Getenv("AZURE_AUTHORITY_HOST")
		}
	}
	return "", ""
}

func (l *lookout) pod(context.Context) (Kind, string) {
	if l.Getenv("AZURE_FEDERATED_TOKEN_FILE") == "" {
		return "", "" // the other two belong to applications as well
	}
	if !l.set("AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID") {
		return "", ""
	}
	return KindWorkloadIdentity, l.Getenv("AZURE_AUTHORITY_HOST")
}

func (l *lookout) identityEndpoint(context.Context) (Kind, string) {
	endpoint := l.Getenv("IDENTITY_ENDPOINT")
	if endpoint == "" || l.Getenv("IDENTITY_HEADER") == "" {
		return "", ""
	}
	l.say("IDENTITY_ENDPOINT and IDENTITY_HEADER: set")
	if l.Getenv("IDENTITY_SERVER_THUMBPRINT") != "" {
		l.say("IDENTITY_SERVER_THUMBPRINT: set")
		return KindServiceFabric, endpoint
	}
	return KindAppService, endpoint
}

func (l *lookout) msiEndpoint(context.Context) (Kind, string) {
	endpoint := l.Getenv("MSI_ENDPOINT")
	switch {
	case endpoint == "":
		return "", ""
	case l.Getenv("MSI_SECRET") == "":
		l.say("MSI_ENDPOINT: set, without MSI_SECRET")
		return KindCloudShell, endpoint
	}
	l.say("MSI_ENDPOINT and MSI_SECRET: set")
	if l.Getenv("WEBSITE_SITE_NAME") != "" { // the likes of 2017, which Microsoft's libraries do not tell apart
		l.say("WEBSITE_SITE_NAME: set")
		return KindAppService, endpoint
	}
	return KindAzureML, endpoint
}

func (l *lookout) agent(context.Context) (Kind, string) {
	if (l.Getenv("IDENTITY_ENDPOINT") != "" || l.Getenv("IMDS_ENDPOINT") != "") && l.set("IDENTITY_ENDPOINT", "IMDS_ENDPOINT") {
		return KindArc, l.Getenv("IDENTITY_ENDPOINT")
	}
	agent := l.Agent
	if agent == "" {
		agent = arcAgent()
	}
	if info, err := os.Stat(agent); err == nil && info.Mode().IsRegular() {
		l.say("%s exists", agent)
		return KindArc, DefaultArcEndpoint
	}
	if l.alone(KindArc) {
		return KindArc, DefaultArcEndpoint
	}
	return "", ""
}

// metadata does not ask where it is known that there is a service, or that nobody
// wants it.
func (l *lookout) metadata(ctx context.Context) (Kind, string) {
	if !l.wants(KindVM) {
		return "", ""
	}
	endpoint := l.Getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
	if endpoint == "" {
		endpoint = DefaultEndpoint
	} else {
		l.named = true
		l.say("AZURE_POD_IDENTITY_AUTHORITY_HOST says where the instance metadata service is")
	}
	if l.alone(KindVM) {
		return KindVM, endpoint
	}
	if l.silent = l.probe(ctx, endpoint); l.silent != nil {
		return "", ""
	}
	return KindVM, endpoint
}

func (l *lookout) azureCLI(ctx context.Context) (Kind, string) {
	return l.program(ctx, KindAzureCLI, "az")
}

func (l *lookout) azureDeveloperCLI(ctx context.Context) (Kind, string) {
	return l.program(ctx, KindAzureDeveloperCLI, "azd")
}

// program returns the path of the program as the endpoint. Whether somebody is signed in
// with it shows when it is asked. A host that is named and does not answer, or had no time
// to, is no reason to become a person.
func (l *lookout) program(ctx context.Context, kind Kind, name string) (Kind, string) {
	if !l.wants(kind) || l.named || ctx.Err() != nil {
		return "", ""
	}
	path, err := exec.LookPath(name)
	if err != nil {
		l.say("%s is not installed", name)
		return "", ""
	}
	l.say("%s is installed", path)
	return kind, path
}

// probe asks for the metadata service without the header that it demands: any
// answer but a redirect shows that it is there, and none costs it a token.
func (l *lookout) probe(ctx context.Context, endpoint string) error {
	base, err := wire.Endpoint(endpoint)
	if err != nil {
		return fmt.Errorf("instance metadata service: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	address := base.JoinPath(imdsPath)
	address.RawQuery = "api-version=" + imdsVersion
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return err
	}
	answer, err := wire.Do(orClient(l.Client, wire.Local), request)
	if err != nil {
		l.say("no variable of a host is set, no agent of Azure Arc is installed, and no instance metadata service answers")
		return err
	}
	l.say("the instance metadata service at %s answers (HTTP %d)", base.Host, answer.Status)
	return nil
}
