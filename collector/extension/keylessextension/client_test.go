package keylessextension

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/prometheusremotewriteexporter"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"golang.org/x/oauth2"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
	"github.com/keyless-id/keyless/sandbox"
)

func authenticated() configoptional.Optional[configauth.Config] {
	return configoptional.Some(configauth.Config{AuthenticatorID: component.NewID(metadata.Type)})
}

// httpClient is the collector's own, with the extension for its auth.
func httpClient(t *testing.T, e *keylessExtension) *http.Client {
	t.Helper()
	cfg := confighttp.NewDefaultClientConfig()
	cfg.Auth = authenticated()
	client, err := cfg.ToClient(t.Context(), with("", e).GetExtensions(), componenttest.NewNopTelemetrySettings())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func send(t *testing.T, client *http.Client, r *http.Request) (int, error) {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}

func TestTheCollectorsClientWritesLogs(t *testing.T) {
	w := newWorld(t)
	e, logs := w.start(t, inVM(nil))
	client := httpClient(t, e)
	if status, err := send(t, client, newRow(t, w.logs())); err != nil || status != http.StatusNoContent {
		t.Fatalf("%d, %v", status, err)
	}
	w.SetFault(sandbox.DCE, sandbox.Fault{Status: http.StatusUnauthorized, Times: 1})
	before := w.Requests(sandbox.IMDS)
	_, err := send(t, client, newRow(t, w.logs()))
	if err != nil || w.Requests(sandbox.IMDS) != before+1 {
		t.Errorf("%v, asked for a token %d times after a 401, want once", err, w.Requests(sandbox.IMDS)-before)
	}
	if n := w.RowCount(sandbox.DemoStream); n == 0 {
		t.Error("no rows arrived")
	}
	said := logs.FilterMessage("identity in use").All()
	if len(said) != 1 || said[0].ContextMap()["source"] != "managed_identity" || said[0].ContextMap()["audience"] != "https://monitor.azure.com" {
		t.Errorf("%+v", said)
	}
	for _, line := range logs.All() {
		if strings.Contains(line.Message, "eyJ") {
			t.Errorf("a token is to be seen: %s", line.Message)
		}
	}
}

// The deny twins: a token goes nowhere by default, in the clear to nobody else, and to no
// host that is not on the list.
func TestTheTokenGoesNowhereElse(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, inVM(block{"hosts": []any{"localhost", "collector.example"}}))
	for _, address := range []string{w.logs(), "http://collector.example/", "https://other.example/"} {
		var refused *keyless.Error
		if _, err := send(t, httpClient(t, e), newRow(t, address)); !errors.As(err, &refused) || refused.Hop != keyless.HopDelivery {
			t.Errorf("%s: %v", address, err)
		}
	}
	if n := w.Requests(sandbox.DCE) + w.Requests(sandbox.IMDS); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	values := inAWS(nil)
	delete(values, "hosts")
	nowhere, _ := w.start(t, values)
	if _, err := nowhere.RoundTripper(nil); !errors.Is(err, errNoHosts) {
		t.Error(err)
	}
}

func TestTheHostsOfAzureMonitorAndAWSAreKnown(t *testing.T) {
	for _, row := range []struct{ mode, audience, want string }{
		{modeBearer, "https://monitor.azure.com", "*.ingest.monitor.azure.com"},
		{modeBearer, "https://monitor.azure.com/", "*.ingest.monitor.azure.com"},
		{modeBearer, "https://monitor.azure.us", "*.ingest.monitor.azure.us"},
		{modeBearer, "https://monitor.azure.com.evil.example", ""},
		{modeBearer, "api://x", ""},
		{modeSigV4, "api://x", "*.amazonaws.com *.amazonaws.com.cn *.api.aws"},
	} {
		if got := strings.Join(usualHosts(row.mode, row.audience), " "); got != row.want {
			t.Errorf("%s %s: %q, want %q", row.mode, row.audience, got, row.want)
		}
	}
}

func gauge(name string, at time.Time) pmetric.Metrics {
	all := pmetric.NewMetrics()
	m := all.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName(name)
	p := m.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetDoubleValue(1)
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	return all
}

// stockRemoteWrite sends a gauge with contrib's exporter, and returns what that says.
func stockRemoteWrite(t *testing.T, e *keylessExtension, address, metric string) error {
	t.Helper()
	factory := prometheusremotewriteexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*prometheusremotewriteexporter.Config)
	cfg.HTTP.Endpoint, cfg.HTTP.Auth = address, authenticated()
	cfg.RemoteWriteQueue.Enabled, cfg.BackOffConfig.Enabled = false, false
	set := exportertest.NewNopSettings(factory.Type())
	exporter, err := factory.CreateMetrics(t.Context(), set, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.Start(t.Context(), with("", e)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = exporter.Shutdown(t.Context()) }()
	return exporter.ConsumeMetrics(t.Context(), gauge(metric, time.Now()))
}

func TestContribsRemoteWriteWritesToAzureMonitor(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, inVM(nil))
	if err := stockRemoteWrite(t, e, w.monitor(), "stock"); err != nil || w.Samples("stock") != 1 {
		t.Errorf("%v, %d samples", err, w.Samples("stock"))
	}
	other, _ := w.start(t, inVM(block{"scope": sandbox.DemoAudience + "/.default"}))
	if err := stockRemoteWrite(t, other, w.monitor(), "other"); err == nil || w.Samples("other") != 0 {
		t.Errorf("with a token for somebody else: %v, %d samples", err, w.Samples("other"))
	}
}

func (w *world) amp() string {
	return w.URL(sandbox.AMP) + "/workspaces/" + sandbox.DemoWorkspaceID + "/api/v1/remote_write"
}

func TestContribsRemoteWriteWritesToAmazon(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, inAWS(block{"mode": "sigv4", "sigv4": block{"region": "us-east-1", "service": "aps"}}))
	if err := stockRemoteWrite(t, e, w.amp(), "stock"); err != nil || w.Samples("stock") != 1 {
		t.Errorf("%v, %d samples", err, w.Samples("stock"))
	}
	other, _ := w.start(t, inAWS(block{"mode": "sigv4", "sigv4": block{"region": "us-east-1", "service": "sts"}}))
	if err := stockRemoteWrite(t, other, w.amp(), "other"); err == nil || w.Samples("other") != 0 {
		t.Errorf("signed for another service: %v, %d samples", err, w.Samples("other"))
	}
}

func TestAPipelineOfAzuresSDKWritesLogs(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, inAWS(nil)) // whose own audience is another one
	var credential azcore.TokenCredential = e
	pipeline := runtime.NewPipeline("test", "v1", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(credential, []string{monitorScope}, &policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: true})},
	}, &policy.ClientOptions{Transport: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	for range 3 {
		r, err := runtime.NewRequestFromRequest(newRow(t, w.logs()))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := pipeline.Do(r)
		if err != nil || answer.StatusCode != http.StatusNoContent {
			t.Fatalf("%+v, %v", answer, err)
		}
		_ = answer.Body.Close()
	}
	if n := w.Requests(sandbox.IMDS); n != 1 {
		t.Errorf("asked %d times for a token, want once", n)
	}
	own := policy.TokenRequestOptions{Scopes: []string{sandbox.DemoAudience + "/.default"}}
	first, err := e.GetToken(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	if token, err := e.Token(t.Context()); err != nil || token.AccessToken != first.Token || w.Requests(sandbox.IMDS) != 2 {
		t.Errorf("%v: the profile's own audience has two caches", err)
	}
}

func TestTheCacheOfAWSsSDKHasCredentials(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, inAWS(nil))
	for name, provider := range map[string]aws.CredentialsProvider{"looked up": e.GetCredentialsProvider(), "itself": e} {
		credentials, err := aws.NewCredentialsCache(provider).Retrieve(t.Context())
		if err != nil || !strings.HasPrefix(credentials.AccessKeyID, "ASIA") || credentials.SessionToken == "" || !credentials.CanExpire {
			t.Errorf("%s: %+v, %v", name, credentials.AccessKeyID, err)
		}
	}
	if n := w.Requests(sandbox.STS); n != 1 {
		t.Errorf("asked STS %d times, want once", n)
	}
	roleless, _ := w.start(t, inVM(nil))
	if _, err := roleless.GetCredentialsProvider().Retrieve(t.Context()); !errors.Is(err, errNoRole) {
		t.Error(err)
	}
}

func TestAnOAuthTokenIsTheProfiles(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(t, inVM(nil))
	var source interface {
		Token(ctx context.Context) (*oauth2.Token, error)
	} = e
	token, err := source.Token(t.Context())
	if err != nil || !token.Valid() || token.TokenType != "Bearer" {
		t.Errorf("%v, %v", token.Valid(), err)
	}
}

func TestTheProfileMayBeOneOfKeylesssOwnFile(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "keyless.yaml")
	const text = "profiles:\n  logs: { source: { managed_identity: {} }, scope: \"https://monitor.azure.com/.default\" }\n  other: { source: { arc: {} }, audience: \"api://x\" }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e, logs := w.start(t, block{"config": file, "profile": "logs", "hosts": []any{"127.0.0.1"}})
	if status, err := send(t, httpClient(t, e), newRow(t, w.logs())); err != nil || status != http.StatusNoContent {
		t.Errorf("%d, %v", status, err)
	}
	if said := logs.FilterMessage("identity in use").All(); len(said) != 1 || said[0].ContextMap()["profile"] != "logs" {
		t.Errorf("%+v", said)
	}
	e, _ = w.unstarted(t, block{"config": file, "profile": "logz"})
	if err := e.Start(t.Context(), nil); err == nil || !strings.Contains(err.Error(), `did you mean "logs"?`) {
		t.Error(err)
	}
}

func TestAnExtensionThatHasNotStartedSaysSo(t *testing.T) {
	w := newWorld(t)
	unstarted, _ := w.unstarted(t, inVM(nil))
	onlyServer, _ := w.start(t, w.asServer(nil))
	for _, e := range []*keylessExtension{unstarted, onlyServer} {
		_, roundTripper := e.RoundTripper(nil)
		_, perRPC := e.PerRPCCredentials()
		_, options := e.GetGRPCClientOptions(t.Context())
		_, azure := e.GetToken(t.Context(), policy.TokenRequestOptions{})
		_, token := e.Token(t.Context())
		_, credentials := e.Retrieve(t.Context())
		for i, err := range []error{roundTripper, perRPC, options, azure, token, credentials} {
			if !errors.Is(err, errNotStarted) {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if _, err := unstarted.Authenticate(t.Context(), nil); !errors.Is(err, errNoServer) {
		t.Error(err)
	}
}

func TestAProfileThatCannotBeUsedStopsTheStart(t *testing.T) {
	w := newWorld(t)
	for name, values := range map[string]block{
		"no such file":    {"config": t.TempDir() + "/keyless.yaml"},
		"no role ARN":     inAWS(block{"aws": block{"role_arn": "nobody"}}),
		"no certificates": {"server": block{"issuer": "https://x.example", "audience": []any{"x"}, "ca_file": t.TempDir() + "/ca.pem"}},
	} {
		e, _ := w.unstarted(t, values)
		if err := e.Start(t.Context(), nil); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

// slowly issues tokens, each after 20 seconds.
func slowly(asked *int) keyless.TokenSource {
	return keyless.TokenSourceFunc(func(ctx context.Context) (keyless.Token, error) {
		*asked++
		select {
		case <-time.After(20 * time.Second):
			return keyless.Token{Value: keyless.NewSecret("a.b.c"), Expiry: time.Now().Add(time.Hour)}, nil
		case <-ctx.Done():
			return keyless.Token{}, ctx.Err()
		}
	})
}

func TestAShortContextOfAnExporterDoesNotEndTheRequestForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := (&world{}).unstarted(t, inVM(nil))
		if err := e.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		asked := 0
		e.tokens = keyless.Cached(e.counted(slowly(&asked)))
		tripper, err := e.RoundTripper(echo{})
		if err != nil {
			t.Fatal(err)
		}
		within := func(span time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), span)
			defer cancel()
			_, err := tripper.RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodPost, "https://localhost/", http.NoBody)) //nolint:bodyclose // there is none
			return err
		}
		if err := within(5 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first call: %v", err)
		}
		time.Sleep(16 * time.Second)
		if err := within(time.Second); err != nil || asked != 1 {
			t.Errorf("the second call: %v, asked %d times", err, asked)
		}
	})
}
