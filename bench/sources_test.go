package bench_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/sandbox"
)

// Every source next to azidentity's credential for it, against the same emulator in
// this process: requests, waits and survivals are counts, the waits by the clock of a
// bubble in which nothing else takes time.

// contestant asks for a token, and remembers it.
type contestant func(context.Context) error

// place is where a contestant runs: a host, its environment, and a network that can be
// cut.
type place struct {
	*sandbox.Sandbox
	env      map[string]string
	audience string
	dir      string
	cut      atomic.Bool
	asked    atomic.Int64
	absent   bool          // nobody listens
	latency  time.Duration // of every answer
}

// RoundTrip counts what goes out.
func (p *place) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked.Add(1)
	if p.cut.Load() || p.absent {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	time.Sleep(p.latency)
	return p.Sandbox.RoundTripper().RoundTrip(r)
}

func (p *place) client() *http.Client { return &http.Client{Transport: p} }

func (p *place) options() azcore.ClientOptions { return azcore.ClientOptions{Transport: p.client()} }

// arcTokens is the only folder in which azidentity looks for the files of Azure Arc.
const arcTokens = "/var/opt/azcmagent/tokens"

// places numbers the audiences: azidentity keeps the tokens of all managed identities of
// a process in one place.
var places atomic.Int64

func newPlace(t *testing.T, kind sandbox.HostKind) *place {
	t.Helper()
	world := sandbox.Demo()
	audience := fmt.Sprintf("api://bench-%d", places.Add(1))
	world.Tenants[0].Apps[0].AppIDURI = audience
	world.Tenants[0].Apps[2].Certificates = [][]byte{certificate().der}
	options := sandbox.Options{}
	if kind == sandbox.HostArc {
		options.ArcTokenDir = arcTokens
	}
	s, err := sandbox.New(world, options)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{Sandbox: s, env: map[string]string{}, audience: audience, dir: t.TempDir()}
	pairs, err := s.HostEnv(kind, p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET", "AZURE_CLIENT_ID", "AZURE_POD_IDENTITY_AUTHORITY_HOST"} {
		t.Setenv(name, "")
		_ = os.Unsetenv(name)
	}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		p.env[name] = value
		t.Setenv(name, value)
	}
	return p
}

// pair is one way to prove who a program is.
type pair struct {
	name       string
	kind       sandbox.HostKind
	fewest     int  // requests that the protocol itself takes
	managed    bool // its tokens live for a day, not for an hour
	keyless    func(*place) keyless.TokenSource
	azidentity func(*place) (azcore.TokenCredential, error)
}

func pairs() []pair {
	return []pair{
		{"managed identity (IMDS)", sandbox.HostVM, 1, true, func(p *place) keyless.TokenSource {
			return azhost.ManagedIdentity{Resource: p.audience, Client: p.client()}
		}, managedIdentity},
		{"App Service", sandbox.HostAppService, 1, true, func(p *place) keyless.TokenSource {
			return azhost.AppService{Resource: p.audience, Endpoint: p.env["IDENTITY_ENDPOINT"], Header: keyless.NewSecret(p.env["IDENTITY_HEADER"]), Client: p.client()}
		}, managedIdentity},
		{"Azure Arc", sandbox.HostArc, 2, true, func(p *place) keyless.TokenSource {
			return azhost.Arc{Resource: p.audience, Client: p.client()}
		}, managedIdentity},
		{"AKS workload identity", sandbox.HostAKS, 1, false, func(p *place) keyless.TokenSource {
			return azhost.WorkloadIdentity{Resource: p.audience, TenantID: p.env["AZURE_TENANT_ID"], ClientID: p.env["AZURE_CLIENT_ID"], TokenFile: p.env["AZURE_FEDERATED_TOKEN_FILE"], Client: p.client()}
		}, func(p *place) (azcore.TokenCredential, error) {
			return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: p.options()})
		}},
		{"Azure Pipelines", sandbox.HostPipelines, 2, false, func(p *place) keyless.TokenSource {
			job := pipelines.Job{
				RequestURI: p.env["SYSTEM_OIDCREQUESTURI"], AccessToken: keyless.NewSecret(p.env["SYSTEM_ACCESSTOKEN"]),
				ServiceConnectionID: sandbox.DemoConnectionID, Client: p.client(),
			}
			return entra.Assertion{TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Scope: entra.Scope(p.audience), Source: job, Client: p.client()}
		}, func(p *place) (azcore.TokenCredential, error) {
			return azidentity.NewAzurePipelinesCredential(sandbox.DemoTenantID, sandbox.DemoAppClientID, sandbox.DemoConnectionID, p.env["SYSTEM_ACCESSTOKEN"],
				&azidentity.AzurePipelinesCredentialOptions{ClientOptions: p.options()})
		}},
		{"client secret", sandbox.HostVM, 1, false, func(p *place) keyless.TokenSource {
			return entra.ClientSecret{TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Secret: keyless.NewSecret(sandbox.DemoAppSecret), Scope: entra.Scope(p.audience), Client: p.client()}
		}, func(p *place) (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(sandbox.DemoTenantID, sandbox.DemoAppClientID, sandbox.DemoAppSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: p.options()})
		}},
		{"certificate", sandbox.HostVM, 1, false, func(p *place) keyless.TokenSource {
			file := filepath.Join(p.dir, "app.pem")
			_ = os.WriteFile(file, certificate().pem, 0o600) // a certificate that is not there shows
			return entra.Certificate{TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, File: file, Scope: entra.Scope(p.audience), Client: p.client()}
		}, func(p *place) (azcore.TokenCredential, error) {
			c := certificate()
			return azidentity.NewClientCertificateCredential(sandbox.DemoTenantID, sandbox.DemoAppClientID, []*x509.Certificate{c.parsed}, c.key, &azidentity.ClientCertificateCredentialOptions{ClientOptions: p.options()})
		}},
		{"federated assertion", sandbox.HostAKS, 1, false, func(p *place) keyless.TokenSource {
			return entra.Assertion{TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, File: p.env["AZURE_FEDERATED_TOKEN_FILE"], Scope: entra.Scope(p.audience), Client: p.client()}
		}, func(p *place) (azcore.TokenCredential, error) {
			read := func(context.Context) (string, error) {
				raw, err := os.ReadFile(p.env["AZURE_FEDERATED_TOKEN_FILE"])
				return string(raw), err
			}
			return azidentity.NewClientAssertionCredential(sandbox.DemoTenantID, sandbox.DemoAppClientID, read, &azidentity.ClientAssertionCredentialOptions{ClientOptions: p.options()})
		}},
	}
}

func managedIdentity(p *place) (azcore.TokenCredential, error) {
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: p.options()})
}

// ours and theirs are the pair as contestants.
func (p pair) ours(_ *testing.T, at *place) contestant {
	source := keyless.Cached(p.keyless(at))
	return func(ctx context.Context) error {
		_, err := source.Token(ctx)
		return err
	}
}

func (p pair) theirs(t *testing.T, at *place) contestant {
	t.Helper()
	credential, err := p.azidentity(at)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) error {
		_, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{at.audience + "/.default"}})
		return err
	}
}

// made is a certificate of the demo's application, valid for days of a bubble's time too.
type made struct {
	key    *rsa.PrivateKey
	parsed *x509.Certificate
	der    []byte
	pem    []byte
}

var certificate = sync.OnceValue(func() made {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	return made{key, parsed, der, text}
})

// measured is one contestant's line.
type measured struct {
	cold, crowd        int64
	blocked            time.Duration
	middle, end        int // of 30 calls that succeed
	nanoseconds, alloc int64
}

func (m measured) print(p pair, by string) {
	fmt.Printf("SOURCE|%s|%s|%d|%d|%d|%d|%.1f|%d|%d|%d|%d\n", p.name, by, p.fewest, m.cold, m.crowd, 30, m.blocked.Seconds(), m.middle, m.end, m.nanoseconds, m.alloc)
}

// TestSources prints a line for each source and contestant, which the harness reads, and
// fails where keyless misses a goal that is a count.
func TestSources(t *testing.T) {
	for _, p := range pairs() {
		t.Run(p.name, func(t *testing.T) {
			if p.kind == sandbox.HostArc {
				needArcFolder(t)
			}
			ours, theirs := measure(t, p, p.ours), measure(t, p, p.theirs)
			ours.print(p, "keyless")
			theirs.print(p, "azidentity")
			if ours.cold != int64(p.fewest) || ours.crowd != int64(p.fewest) || ours.middle != 30 || ours.end != 30 || ours.alloc != 0 || ours.blocked > 3*time.Second {
				t.Errorf("%+v", ours)
			}
		})
	}
}

// needArcFolder makes the agent's folder in this process's own mount namespace, which
// scripts/bench.sh gives it.
func needArcFolder(t *testing.T) {
	t.Helper()
	if os.Getenv("OWN_MOUNTS") == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no mount namespace of its own, for the folder of Azure Arc")
		}
		t.Skip("azidentity wants the real folder of Azure Arc; make bench-sources has a mount namespace for it")
	}
	if err := syscall.Mount("tmpfs", "/var/opt", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount("/var/opt", syscall.MNT_DETACH) })
	if err := os.MkdirAll(arcTokens, 0o700); err != nil {
		t.Fatal(err)
	}
}

func measure(t *testing.T, p pair, enter func(*testing.T, *place) contestant) (m measured) {
	t.Helper()
	at := newPlace(t, p.kind)
	ask := enter(t, at)
	if err := ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.cold = at.asked.Load()
	result := testing.Benchmark(func(b *testing.B) { alone(b, ask) })
	m.nanoseconds, m.alloc = result.NsPerOp(), result.AllocsPerOp()
	m.crowd = together(t, p, enter)
	synctest.Test(t, func(t *testing.T) { m.blocked = refused(t, p, enter) })
	synctest.Test(t, func(t *testing.T) { m.middle = outage(t, p, enter, 0.5) })
	synctest.Test(t, func(t *testing.T) { m.end = outage(t, p, enter, 1) })
	return m
}

// together counts the requests of 100 callers who begin at once.
func together(t *testing.T, p pair, enter func(*testing.T, *place) contestant) int64 {
	t.Helper()
	at := newPlace(t, p.kind)
	at.latency = 20 * time.Millisecond // or the first would be done before the last begins
	ask := enter(t, at)
	var ready, all sync.WaitGroup
	ready.Add(1)
	for range 100 {
		all.Go(func() {
			ready.Wait()
			if err := ask(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Done()
	all.Wait()
	return at.asked.Load()
}

// refused is how long a caller without a deadline is held while nobody listens.
func refused(t *testing.T, p pair, enter func(*testing.T, *place) contestant) time.Duration {
	t.Helper()
	at := newPlace(t, p.kind)
	at.absent = true
	ask := enter(t, at)
	began := time.Now()
	if err := ask(context.Background()); err == nil {
		t.Error("a token from nobody")
	}
	return time.Since(began)
}

// outage counts the calls, one a minute with ten seconds each, that succeed in half an
// hour without a network: from the middle of the first token's life, or up to its end.
func outage(t *testing.T, p pair, enter func(*testing.T, *place) contestant, when float64) int {
	t.Helper()
	at := newPlace(t, p.kind)
	ask := enter(t, at)
	life := time.Hour
	if p.managed {
		life = 24 * time.Hour
	}
	begins := time.Duration(float64(life) * when)
	if when == 1 {
		begins -= 30 * time.Minute
	}
	call := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return ask(ctx) == nil
	}
	began, succeeded := time.Now(), 0
	for minute := time.Duration(0); minute < begins+30*time.Minute; minute += time.Minute {
		time.Sleep(time.Until(began.Add(minute)))
		if at.env["AZURE_FEDERATED_TOKEN_FILE"] != "" && int(minute.Minutes())%30 == 0 {
			project(t, at)
		}
		at.cut.Store(minute >= begins)
		if ok := call(); ok && minute >= begins {
			succeeded++
		} else if !ok && minute < begins {
			t.Fatalf("no token at %s", minute)
		}
	}
	at.cut.Store(false)
	time.Sleep(2 * time.Minute) // for what still asks in the background
	return succeeded
}

// project does as a kubelet does.
func project(t *testing.T, at *place) {
	t.Helper()
	what := sandbox.FIC{Issuer: sandbox.DemoClusterIssuer, Subject: sandbox.DemoServiceAccount, Audience: sandbox.ExchangeAudience}
	if err := at.ProjectToken(at.env["AZURE_FEDERATED_TOKEN_FILE"], what, time.Hour); err != nil {
		t.Fatal(err)
	}
}
