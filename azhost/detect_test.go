package azhost_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/sourcetest"
	"github.com/keyless-id/keyless/sandbox"
)

func TestTheProbeForAHostGoesThroughNoProxy(t *testing.T) {
	connections := sourcetest.UnderProxy(t, func(ctx context.Context) {
		_, _ = azhost.Detector{Agent: "/nowhere"}.Detect(ctx)
	})
	if connections != 0 {
		t.Errorf("the proxy was asked %d times", connections)
	}
}

func detector(env map[string]string, f *far) azhost.Detector {
	return azhost.Detector{Getenv: func(name string) string { return env[name] }, Client: &http.Client{Transport: f}, Agent: "/nowhere"}
}

// Each line is a host; the variables of the lines below it are set as well.
func TestHostsAreLookedForInTheOrderOfMicrosoftsLibraries(t *testing.T) {
	env := map[string]string{"AZURE_CLIENT_ID": clientID}
	for _, c := range []struct {
		adds     map[string]string
		kind     azhost.Kind
		endpoint string
		why      string
	}{
		{nil, azhost.KindVM, azhost.DefaultEndpoint, "169.254.169.254 answers (HTTP 400)"},
		{map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:8"}, azhost.KindVM, "http://127.0.0.1:8", "AZURE_POD_IDENTITY_AUTHORITY_HOST says"},
		{map[string]string{"IMDS_ENDPOINT": "http://localhost:40342"}, azhost.KindVM, "http://127.0.0.1:8", "IMDS_ENDPOINT: set, but not IDENTITY_ENDPOINT"},
		{map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:3"}, azhost.KindArc, "http://127.0.0.1:3", "IDENTITY_ENDPOINT and IMDS_ENDPOINT: set"},
		{map[string]string{"MSI_ENDPOINT": "http://127.0.0.1:4"}, azhost.KindCloudShell, "http://127.0.0.1:4", "without MSI_SECRET"},
		{map[string]string{"MSI_SECRET": hunter2}, azhost.KindAzureML, "http://127.0.0.1:4", "MSI_ENDPOINT and MSI_SECRET: set"},
		{map[string]string{"WEBSITE_SITE_NAME": "x"}, azhost.KindAppService, "http://127.0.0.1:4", "WEBSITE_SITE_NAME: set"},
		{map[string]string{"IDENTITY_HEADER": hunter2}, azhost.KindAppService, "http://127.0.0.1:3", "IDENTITY_ENDPOINT and IDENTITY_HEADER: set"},
		{map[string]string{"IDENTITY_SERVER_THUMBPRINT": "00"}, azhost.KindServiceFabric, "http://127.0.0.1:3", "IDENTITY_SERVER_THUMBPRINT: set"},
		{map[string]string{"AZURE_FEDERATED_TOKEN_FILE": "/token"}, azhost.KindServiceFabric, "http://127.0.0.1:3", "but not AZURE_TENANT_ID"},
		{map[string]string{"AZURE_TENANT_ID": tenantID, "AZURE_AUTHORITY_HOST": "https://a"}, azhost.KindWorkloadIdentity, "https://a", "AZURE_FEDERATED_TOKEN_FILE and AZURE_TENANT_ID and AZURE_CLIENT_ID: set"},
		{map[string]string{"AZURE_CLIENT_CERTIFICATE_PATH": "/certificate"}, azhost.KindEnvironment, "https://a", "AZURE_CLIENT_CERTIFICATE_PATH: set"},
		{map[string]string{"AZURE_CLIENT_SECRET": hunter2}, azhost.KindEnvironment, "https://a", "AZURE_CLIENT_SECRET: set"},
	} {
		maps.Copy(env, c.adds)
		f := says(400, `{"error":"invalid_request","error_description":"Required metadata header not specified"}`)
		found, err := detector(env, f).Detect(t.Context())
		if err != nil || found.Kind != c.kind || found.Endpoint != c.endpoint {
			t.Errorf("with %v: %v, %+v, want %s at %s", c.adds, err, found, c.kind, c.endpoint)
		}
		why := strings.Join(found.Why, "; ")
		if !strings.Contains(why, c.why) || strings.Contains(why, "hunter2") {
			t.Errorf("with %v: %q does not say %q", c.adds, why, c.why)
		}
		if probes := len(f.seen); (c.kind == azhost.KindVM) != (probes == 1) {
			t.Errorf("with %v: %d probes", c.adds, probes)
		}
		if len(f.seen) == 1 && f.seen[0].Header.Get("Metadata") != "" {
			t.Error("the probe has the header, and could be given a token")
		}
	}
}

// Each line asks for one kind where the variables are those of another.
func TestWhatIsNotWantedIsPassedOver(t *testing.T) {
	t.Setenv("PATH", "")
	app := map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:3", "IDENTITY_HEADER": hunter2}
	for _, c := range []struct {
		only     []azhost.Kind
		narrow   string
		endpoint string // empty: an error
	}{
		{only: nil, endpoint: "http://127.0.0.1:3"},
		{only: []azhost.Kind{azhost.KindAppService}, endpoint: "http://127.0.0.1:3"},
		{only: []azhost.Kind{azhost.KindArc}, endpoint: azhost.DefaultArcEndpoint},
		{only: []azhost.Kind{azhost.KindVM}, endpoint: azhost.DefaultEndpoint},
		{only: []azhost.Kind{azhost.KindWorkloadIdentity}},
		{only: []azhost.Kind{azhost.KindEnvironment}},
		{only: []azhost.Kind{azhost.KindServiceFabric}},
		{only: []azhost.Kind{azhost.KindAzureCLI}},
		{only: []azhost.Kind{azhost.KindArc, azhost.KindWorkloadIdentity}},
		{narrow: "ManagedIdentityCredential", endpoint: "http://127.0.0.1:3"},
		{narrow: "prod", endpoint: "http://127.0.0.1:3"},
		{narrow: "workloadidentitycredential"},
		{narrow: "EnvironmentCredential"},
	} {
		f := fails(syscall.ECONNREFUSED)
		d := detector(app, f)
		d.Only = c.only
		d.Getenv = func(name string) string {
			if name == "AZURE_TOKEN_CREDENTIALS" {
				return c.narrow
			}
			return app[name]
		}
		found, err := d.Detect(t.Context())
		if found.Endpoint != c.endpoint || (err == nil) != (c.endpoint != "") {
			t.Errorf("%v %s: %v, %+v", c.only, c.narrow, err, found)
		}
		if len(f.seen) != 0 {
			t.Errorf("%v %s: the metadata service was asked", c.only, c.narrow)
		}
		var e *keyless.Error
		if len(c.only) == 1 && errors.As(err, &e) && (!strings.Contains(e.Hint, "this source needs ") || e.Op != string(c.only[0])) {
			t.Errorf("%v: %s: %s", c.only, e.Op, e.Hint)
		}
	}
}

func TestAnApplicationInTheEnvironmentProvesItself(t *testing.T) {
	s, client := world(t, sandbox.Options{})
	env := map[string]string{
		"AZURE_TENANT_ID": sandbox.DemoTenantID, "AZURE_CLIENT_ID": sandbox.DemoAppClientID, "AZURE_CLIENT_SECRET": sandbox.DemoAppSecret,
		"AZURE_AUTHORITY_HOST": s.URL(sandbox.Entra),
	}
	d := azhost.Detector{Getenv: func(name string) string { return env[name] }, Cloud: client, Agent: "/nowhere"}
	source := func() keyless.TokenSource {
		found, err := d.Detect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		source, err := found.Source(sandbox.DemoAudience, azhost.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		return source
	}
	wantSubject(t, source(), sandbox.DemoAppObjectID)
	env["AZURE_CLIENT_SECRET"] = "hunter2-is-wrong"
	if _, err := source().Token(t.Context()); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestTheAgentOfArcIsRecognisedByItsProgram(t *testing.T) {
	t.Setenv("PATH", "")
	dir := t.TempDir()
	d := detector(nil, fails(syscall.ECONNREFUSED))
	d.Agent = filepath.Join(dir, "himds")
	if err := os.WriteFile(d.Agent, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := d.Detect(t.Context())
	if err != nil || found.Kind != azhost.KindArc || found.Endpoint != azhost.DefaultArcEndpoint || !slices.Contains(found.Why, d.Agent+" exists") {
		t.Errorf("%v, %+v", err, found)
	}
	d.Agent = dir // a folder is no program
	if found, err := d.Detect(t.Context()); err == nil {
		t.Errorf("%+v", found)
	}
	d.Agent = filepath.Join(dir, "absent")
	if found, err := d.Detect(t.Context()); err == nil {
		t.Errorf("%+v", found)
	}
}

func TestWhereNothingIsItShowsInUnderASecond(t *testing.T) {
	t.Setenv("PATH", "")
	for name, f := range map[string]*far{
		"refused":     fails(syscall.ECONNREFUSED),
		"unreachable": fails(syscall.ENETUNREACH),
		"a redirect": {answer: func(int, *http.Request) (int, http.Header, string, error) {
			return 302, http.Header{"Location": {"https://login.example"}}, "", nil
		}},
		"black hole": {answer: func(_ int, r *http.Request) (int, http.Header, string, error) {
			<-r.Context().Done()
			return 0, nil, "", r.Context().Err()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				found, err := detector(map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:3"}, f).Detect(t.Context())
				if took := time.Since(started); took >= time.Second {
					t.Errorf("took %s", took)
				}
				e := wantErrorOf(t, err, "detection", "IDENTITY_ENDPOINT: set, but not IMDS_ENDPOINT", false)
				if e.Hint == "" || found.Kind != "" || len(found.Why) != 4 || len(f.seen) != 1 {
					t.Errorf("hint %q, found %+v, %d probes", e.Hint, found, len(f.seen))
				}
			})
		})
	}
}

func TestACallerWithoutTimeIsNotToldThatNothingIsThere(t *testing.T) {
	bin := t.TempDir()
	plays(t, bin, "az", "exit 1") // nobody asks it where a host is named, or has had no time
	t.Setenv("PATH", bin)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := detector(nil, fails(context.Canceled)).Detect(ctx)
	if !errors.Is(err, context.Canceled) || !keyless.IsTemporary(err) {
		t.Errorf("%v", err)
	}
	if _, err := detector(map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://imds.example"}, &far{}).Detect(t.Context()); err == nil || !strings.Contains(err.Error(), "plain http") {
		t.Errorf("%v", err)
	}
}

func TestWhatWasDetectedGetsTokens(t *testing.T) {
	for kind, want := range map[sandbox.HostKind]string{
		sandbox.HostVM: sandbox.DemoVMObjectID, sandbox.HostAppService: sandbox.DemoVMObjectID, sandbox.HostAppService2017: sandbox.DemoVMObjectID,
		sandbox.HostArc: sandbox.DemoVMObjectID, sandbox.HostAKS: sandbox.DemoAppObjectID, sandbox.HostAzureML: sandbox.DemoAssignedObjectID,
		sandbox.HostCloudShell: sandbox.DemoVMObjectID, sandbox.HostServiceFabric: sandbox.DemoVMObjectID,
	} {
		t.Run(string(kind), func(t *testing.T) {
			dir := t.TempDir()
			s, client := world(t, sandbox.Options{ArcTokenDir: dir})
			if err := s.Listen(""); err != nil {
				t.Fatal(err)
			}
			env := environment(t, s, kind)
			d := azhost.Detector{Getenv: func(name string) string { return env[name] }, Cloud: client, Agent: "/nowhere"}
			found, err := d.Detect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			source, err := found.Source(sandbox.DemoAudience, azhost.Identity{})
			if err != nil {
				t.Fatal(err)
			}
			if arc, ok := source.(azhost.Arc); ok {
				arc.TokenDir = dir
				source = arc
			}
			wantSubject(t, source, want)
			if _, err := found.Source("", azhost.Identity{}); err == nil {
				t.Error("a source for nothing")
			}
		})
	}
}

func TestAnIdentityIsChosenWhereTheHostLetsChoose(t *testing.T) {
	all := map[string]string{
		"IDENTITY_ENDPOINT": "https://127.0.0.1:3", "IDENTITY_HEADER": hunter2, "IDENTITY_SERVER_THUMBPRINT": "00112233445566778899AABBCCDDEEFF00112233",
		"MSI_ENDPOINT": "http://127.0.0.1:4", "MSI_SECRET": hunter2, "IMDS_ENDPOINT": "http://127.0.0.1:5",
		"AZURE_CLIENT_ID": clientID, "AZURE_TENANT_ID": tenantID, "AZURE_FEDERATED_TOKEN_FILE": "/token",
	}
	object := azhost.Identity{ObjectID: "o"}
	other := azhost.Identity{ClientID: "44444444-4444-4444-4444-444444444444"}
	for _, c := range []struct {
		names  []string
		which  azhost.Identity
		client string // what the source has; empty: there is no source
	}{
		{nil, azhost.Identity{}, clientID},
		{nil, other, other.ClientID},
		{[]string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER"}, azhost.Identity{}, clientID},
		{[]string{"IDENTITY_ENDPOINT", "IMDS_ENDPOINT"}, azhost.Identity{}, clientID},
		{[]string{"MSI_ENDPOINT", "MSI_SECRET"}, azhost.Identity{}, clientID},
		{[]string{"MSI_ENDPOINT", "MSI_SECRET"}, object, ""},
		{[]string{"MSI_ENDPOINT"}, azhost.Identity{}, "none"},
		{[]string{"MSI_ENDPOINT"}, other, ""},
		{[]string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"}, azhost.Identity{}, "none"},
		{[]string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"}, other, ""},
		{[]string{"AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"}, azhost.Identity{}, clientID},
		{[]string{"AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"}, other, other.ClientID},
		{[]string{"AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"}, object, ""},
	} {
		env := map[string]string{"AZURE_CLIENT_ID": clientID}
		for _, name := range c.names {
			env[name] = all[name]
		}
		found, err := detector(env, says(400, "{}")).Detect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		source, err := found.Source(resource, c.which)
		if (err == nil) != (c.client != "") {
			t.Errorf("%v with %+v: %v", c.names, c.which, err)
			continue
		}
		if got := clientOf(source); err == nil && got != c.client {
			t.Errorf("%v with %+v: client id %q, want %q", c.names, c.which, got, c.client)
		}
	}
	if _, err := (azhost.Detected{}).Source(resource, azhost.Identity{}); err == nil {
		t.Error("a source without a host")
	}
}

func clientOf(source keyless.TokenSource) string {
	switch s := source.(type) {
	case azhost.ManagedIdentity:
		return s.ClientID
	case azhost.AppService:
		return s.ClientID
	case azhost.Arc:
		return s.ClientID
	case azhost.AzureML:
		return s.ClientID
	case azhost.WorkloadIdentity:
		return s.ClientID
	}
	return "none"
}
