package azhost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// Kind is a kind of host.
type Kind string

// The kinds of hosts.
const (
	KindWorkloadIdentity Kind = opWorkloadIdentity
	KindServiceFabric    Kind = opServiceFabric
	KindAppService       Kind = opAppService // also Functions and Container Apps
	KindAzureML          Kind = opAzureML
	KindCloudShell       Kind = opCloudShell
	KindArc              Kind = opArc
	KindVM               Kind = opManagedIdentity // whatever has an instance metadata service
)

const (
	opDetect   = "detection"
	codeNoHost = "NoHost"

	// probeTimeout keeps the whole of a detection that finds nothing under a second.
	probeTimeout = 900 * time.Millisecond
)

// Detector finds out what kind of host the program runs on. The zero value looks
// at nothing but the machine; see [Detect].
type Detector struct {
	Getenv func(name string) string // zero: an empty environment
	Agent  string                   // the file that shows that Azure Arc connects the machine; zero: himds where its package puts it

	// Client is for the host's endpoint, here and in the source, but not for Service
	// Fabric, which pins a certificate; zero: a shared one without a proxy, for this
	// machine and what is near it.
	Client *http.Client
	// Cloud is for Entra, which the source of a pod asks; zero: a shared one that
	// honours HTTPS_PROXY and NO_PROXY.
	Cloud *http.Client
}

// Detect looks where the program runs, by its environment, the files of Azure Arc
// and, if these say nothing, by asking for the instance metadata service. The order
// is that of Microsoft's own libraries: workload identity, then Service Fabric, App
// Service, Azure ML, Cloud Shell, Azure Arc, virtual machine. It takes less than a
// second.
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
	for _, kind := range []func() (Kind, string){look.pod, look.identityEndpoint, look.msiEndpoint, look.agent} {
		if kind, endpoint := kind(); kind != "" {
			return look.found(kind, endpoint), nil
		}
	}
	endpoint := d.Getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
	if endpoint == "" {
		endpoint = DefaultEndpoint
	} else {
		look.say("AZURE_POD_IDENTITY_AUTHORITY_HOST says where the instance metadata service is")
	}
	if err := look.probe(ctx, endpoint); err != nil {
		return Detected{Why: look.why}, look.nothing(ctx, err)
	}
	return look.found(KindVM, endpoint), nil
}

// lookout gathers what was seen.
type lookout struct {
	Detector
	why []string
}

func (l *lookout) say(format string, args ...any) {
	l.why = append(l.why, fmt.Sprintf(format, args...))
}

func (l *lookout) found(kind Kind, endpoint string) Detected {
	return Detected{Kind: kind, Endpoint: endpoint, Why: l.why, detector: l.Detector}
}

// nothing is temporary if it was the caller who had no time.
func (l *lookout) nothing(ctx context.Context, err error) error {
	e := &keyless.Error{
		Hop: keyless.HopSource, Op: opDetect, Code: codeNoHost, Message: strings.Join(l.why, "; "), Err: err,
		Hint: "nothing here gives the program an identity; is this a host in Azure whose managed identity is switched on? Elsewhere choose a source: client_secret, certificate or assertion_file",
	}
	if ctx.Err() != nil {
		e.Temporary, e.Hint = true, "the caller gave up before the host was found out"
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

func (l *lookout) pod() (Kind, string) {
	if l.Getenv("AZURE_FEDERATED_TOKEN_FILE") == "" {
		return "", "" // the other two belong to applications as well
	}
	if !l.set("AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID") {
		return "", ""
	}
	return KindWorkloadIdentity, l.Getenv("AZURE_AUTHORITY_HOST")
}

func (l *lookout) identityEndpoint() (Kind, string) {
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

func (l *lookout) msiEndpoint() (Kind, string) {
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

func (l *lookout) agent() (Kind, string) {
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
	return "", ""
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

// errNoChoice is for hosts whose identity is given.
var errNoChoice = errors.New("the identity cannot be chosen here: want no client id, object id or resource id")

// Source returns what gets tokens for resource on this host.
func (d Detected) Source(resource string, which Identity) (keyless.TokenSource, error) {
	source, err := d.source(resource, d.choice(which))
	if err == nil {
		err = source.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Kind, err)
	}
	return source, nil
}

// source is a token source that can look at itself.
type source interface {
	keyless.TokenSource
	Validate() error
}

// choice adds what the environment chooses.
func (d Detected) choice(which Identity) Identity {
	if which != (Identity{}) {
		return which
	}
	switch d.Kind {
	case KindCloudShell, KindServiceFabric:
		return which
	}
	id := d.env("AZURE_CLIENT_ID")
	if id == "" && d.Kind == KindAzureML {
		id = d.env("DEFAULT_IDENTITY_CLIENT_ID")
	}
	return Identity{ClientID: id}
}

func (d Detected) env(name string) string {
	if d.detector.Getenv == nil {
		return ""
	}
	return d.detector.Getenv(name)
}

func (d Detected) secret(name string) keyless.Secret { return keyless.NewSecret(d.env(name)) }

func (d Detected) source(resource string, which Identity) (source, error) {
	client := d.detector.Client
	switch d.Kind {
	case KindAppService:
		app := AppService{
			Resource: resource, ClientID: which.ClientID, ObjectID: which.ObjectID, ResourceID: which.ResourceID,
			Endpoint: d.Endpoint, Header: d.secret("IDENTITY_HEADER"), Client: client,
		}
		if app.Header.IsZero() {
			app.Header, app.Legacy = d.secret("MSI_SECRET"), true
		}
		return app, nil
	case KindArc:
		return Arc{
			Resource: resource, ClientID: which.ClientID, ObjectID: which.ObjectID, ResourceID: which.ResourceID,
			Endpoint: d.Endpoint, Client: client,
		}, nil
	case KindVM:
		return ManagedIdentity{
			Resource: resource, ClientID: which.ClientID, ObjectID: which.ObjectID, ResourceID: which.ResourceID,
			Endpoint: d.Endpoint, Client: client,
		}, nil
	}
	if which.ObjectID != "" || which.ResourceID != "" {
		return nil, errors.New("object id or resource id; this host knows the client id only, or no choice at all")
	}
	return d.byClientID(resource, which.ClientID)
}

// byClientID is for hosts that know identities by their client id, or not at all.
func (d Detected) byClientID(resource, clientID string) (source, error) {
	switch d.Kind {
	case KindWorkloadIdentity:
		return WorkloadIdentity{
			Resource: resource, TenantID: d.env("AZURE_TENANT_ID"), ClientID: clientID,
			TokenFile: d.env("AZURE_FEDERATED_TOKEN_FILE"), Authority: d.Endpoint, Client: d.detector.Cloud,
		}, nil
	case KindAzureML:
		return AzureML{Resource: resource, ClientID: clientID, Endpoint: d.Endpoint, Secret: d.secret("MSI_SECRET"), Client: d.detector.Client}, nil
	}
	if clientID != "" {
		return nil, errNoChoice
	}
	switch d.Kind {
	case KindCloudShell:
		return CloudShell{Resource: resource, Endpoint: d.Endpoint, Client: d.detector.Client}, nil
	case KindServiceFabric:
		return ServiceFabric{
			Resource: resource, Endpoint: d.Endpoint, Header: d.secret("IDENTITY_HEADER"), Thumbprint: d.env("IDENTITY_SERVER_THUMBPRINT"),
		}, nil
	}
	return nil, errors.New("nothing was detected")
}
