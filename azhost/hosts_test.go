package azhost_test

import (
	"net/http"
	"strings"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/sandbox"
)

func world(t *testing.T, o sandbox.Options) (*sandbox.Sandbox, *http.Client) {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, &http.Client{Transport: s.RoundTripper()}
}

func environment(t *testing.T, s *sandbox.Sandbox, kind sandbox.HostKind) map[string]string {
	t.Helper()
	pairs, err := s.HostEnv(kind, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

func wantSubject(t *testing.T, source keyless.TokenSource, want string) {
	t.Helper()
	token, err := source.Token(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	if claims, err := jwtpeek.Unverified(token.Value.Reveal()); err != nil || claims.Subject != want {
		t.Errorf("%v, subject %q, want %q", err, claims.Subject, want)
	}
}

func TestTheSandboxesAppServiceLetsItsOwnAppsIn(t *testing.T) {
	s, client := world(t, sandbox.Options{})
	env, old := environment(t, s, sandbox.HostAppService), environment(t, s, sandbox.HostAppService2017)
	now := azhost.AppService{Resource: sandbox.DemoAudience, Endpoint: env["IDENTITY_ENDPOINT"], Header: keyless.NewSecret(env["IDENTITY_HEADER"]), Client: client}
	legacy := azhost.AppService{Resource: sandbox.DemoAudience, Endpoint: old["MSI_ENDPOINT"], Header: keyless.NewSecret(old["MSI_SECRET"]), Legacy: true, Client: client}
	for _, source := range []azhost.AppService{now, legacy} {
		wantSubject(t, source, sandbox.DemoVMObjectID)
		source.ClientID = sandbox.DemoAssignedClientID
		wantSubject(t, source, sandbox.DemoAssignedObjectID)
	}
	now.ObjectID = sandbox.DemoAssignedObjectID
	wantSubject(t, now, sandbox.DemoAssignedObjectID)
	now.ObjectID, now.ResourceID = "", sandbox.DemoAssignedResourceID
	wantSubject(t, now, sandbox.DemoAssignedObjectID)
	if got := s.Requests(sandbox.AppService); got != 6 {
		t.Errorf("%d requests for six tokens", got)
	}
}

func TestTheSandboxesAppServiceRefusesOthers(t *testing.T) {
	s, client := world(t, sandbox.Options{})
	env := environment(t, s, sandbox.HostAppService)
	for hint, change := range map[string]func(*azhost.AppService){
		"running app":      func(a *azhost.AppService) { a.Header = keyless.NewSecret("stolen-elsewhere") },
		"header's value":   func(a *azhost.AppService) { a.Header, a.Legacy = keyless.NewSecret("stolen-elsewhere"), true },
		"az webapp":        func(a *azhost.AppService) { a.ClientID = sandbox.DemoAppClientID },
		"character by cha": func(a *azhost.AppService) { a.Resource = "api://nobody" },
	} {
		source := azhost.AppService{Resource: sandbox.DemoAudience, Endpoint: env["IDENTITY_ENDPOINT"], Header: keyless.NewSecret(env["IDENTITY_HEADER"]), Client: client}
		change(&source)
		_, err := source.Token(t.Context())
		if e := wantErrorOf(t, err, "app service", "", false); !strings.Contains(e.Hint, hint) {
			t.Errorf("%v: hint %q, want %q", err, e.Hint, hint)
		}
	}
}

func TestAzureMLInTheSandbox(t *testing.T) {
	s, client := world(t, sandbox.Options{})
	env := environment(t, s, sandbox.HostAzureML)
	source := azhost.AzureML{
		Resource: sandbox.DemoAudience, ClientID: env["DEFAULT_IDENTITY_CLIENT_ID"],
		Endpoint: env["MSI_ENDPOINT"], Secret: keyless.NewSecret(env["MSI_SECRET"]), Client: client,
	}
	wantSubject(t, source, sandbox.DemoAssignedObjectID)
	source.Secret = keyless.NewSecret("stolen-elsewhere")
	_, err := source.Token(t.Context())
	wantErrorOf(t, err, "azure ml", "Invalid secret token header", false)
	for want, change := range map[string]func(*azhost.AzureML){
		"resource": func(a *azhost.AzureML) { a.Resource = "" }, "secret": func(a *azhost.AzureML) { a.Secret = keyless.Secret{} }, "endpoint": func(a *azhost.AzureML) { a.Endpoint = "" },
	} {
		wrong := source
		change(&wrong)
		if _, err := wrong.Token(t.Context()); wrong.Validate() == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestCloudShellInTheSandbox(t *testing.T) {
	s, client := world(t, sandbox.Options{})
	source := azhost.CloudShell{Resource: sandbox.DemoAudience, Endpoint: environment(t, s, sandbox.HostCloudShell)["MSI_ENDPOINT"], Client: client}
	wantSubject(t, source, sandbox.DemoVMObjectID)
	source.Resource = "api://nobody"
	_, err := source.Token(t.Context())
	wantErrorOf(t, err, "cloud shell", "AADSTS500011", false)
	for want, wrong := range map[string]azhost.CloudShell{"resource": {Endpoint: source.Endpoint}, "endpoint": {Resource: resource, Endpoint: "http://shell.example"}} {
		if _, err := wrong.Token(t.Context()); wrong.Validate() == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// fabric is a source as a service of Service Fabric finds it, on a real socket.
func fabric(t *testing.T) azhost.ServiceFabric {
	t.Helper()
	s, _ := world(t, sandbox.Options{})
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	env := environment(t, s, sandbox.HostServiceFabric)
	return azhost.ServiceFabric{
		Resource: sandbox.DemoAudience, Endpoint: env["IDENTITY_ENDPOINT"], Header: keyless.NewSecret(env["IDENTITY_HEADER"]), Thumbprint: env["IDENTITY_SERVER_THUMBPRINT"],
	}
}

func TestServiceFabricTrustsTheCertificateOfItsNode(t *testing.T) {
	source := fabric(t)
	wantSubject(t, source, sandbox.DemoVMObjectID)
	source.Thumbprint = strings.ToLower(source.Thumbprint)
	wantSubject(t, source, sandbox.DemoVMObjectID)
	source.Header = keyless.NewSecret("stolen-elsewhere")
	_, err := source.Token(t.Context())
	if e := wantErrorOf(t, err, "service fabric", "SecretHeaderNotFound", false); !strings.Contains(e.Hint, "manifest") {
		t.Errorf("hint %q", e.Hint)
	}
}

func TestServiceFabricTellsNoOtherCertificateItsHeader(t *testing.T) {
	source, impostor := fabric(t), fabric(t)
	impostor.Thumbprint = source.Thumbprint
	_, err := impostor.Token(t.Context())
	if e := wantErrorOf(t, err, "service fabric", "another thumbprint", false); !strings.Contains(e.Hint, "renewed") {
		t.Errorf("hint %q", e.Hint)
	}
	for want, change := range map[string]func(*azhost.ServiceFabric){
		"resource":            func(f *azhost.ServiceFabric) { f.Resource = "" },
		"identity header":     func(f *azhost.ServiceFabric) { f.Header = keyless.Secret{} },
		"thumbprint \"\"":     func(f *azhost.ServiceFabric) { f.Thumbprint = "" },
		"thumbprint \"0011\"": func(f *azhost.ServiceFabric) { f.Thumbprint = "0011" },
		"must be https":       func(f *azhost.ServiceFabric) { f.Endpoint = "http://127.0.0.1:1/x" },
		"endpoint":            func(f *azhost.ServiceFabric) { f.Endpoint = "" },
	} {
		wrong := source
		change(&wrong)
		if _, err := wrong.Token(t.Context()); wrong.Validate() == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
