package interop_test

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// A current Prometheus proves itself to Azure Monitor with its own azuread block. That is
// the reference: what keyless sends for a Prometheus without one, from the same host to
// the same receiver, must arrive as well. The sandbox's own books tell what arrived, for
// Debian's Prometheus takes version 1.0 only.

// currentPrometheus is the program. It takes minutes to build, so only make test-all has
// it.
func currentPrometheus(t *testing.T) string {
	t.Helper()
	if os.Getenv("INTEROP_SLOW") == "" {
		t.Skip("make test-all builds it and runs this")
	}
	return installed(t, "a current Prometheus", "bin/prometheus-current")
}

// writeVersions are those of remote write, with the setting that asks for each.
var writeVersions = map[string]string{
	"1.0": "protobuf_message: prometheus.WriteRequest",
	"2.0": "protobuf_message: io.prometheus.write.v2.Request",
}

const managedIdentity = ", azuread: { cloud: AzurePublic, managed_identity: {} }"

// webApp is the sandbox for programs on App Service, where the environment says who is to
// be asked: azuread and keyless can both be led to loopback.
func webApp(t *testing.T) *shipment {
	t.Helper()
	s := &shipment{kind: sandbox.HostAppService}
	s.listen(t, sandbox.Options{})
	return s
}

// scrapeWith starts a current Prometheus that writes to an address.
func (s *shipment) scrapeWith(t *testing.T, to, settings string) {
	t.Helper()
	s.from, s.began = startPrometheus(t, currentPrometheus(t), s.host(t, t.TempDir()), sends(to, "500ms", settings)), time.Now()
}

func TestACurrentPrometheusThroughThickAndThin(t *testing.T) {
	currentPrometheus(t)
	for version, setting := range writeVersions {
		t.Run("by itself/"+version, func(t *testing.T) {
			t.Parallel()
			s := webApp(t)
			s.scrapeWith(t, s.workspace(), setting+managedIdentity)
			for range 3 {
				s.flows(t)
			}
			s.allArrived(t, 1000)
			s.losesToRefusals(t)
		})
		t.Run("through keyless/"+version, func(t *testing.T) {
			t.Parallel()
			s := webApp(t)
			s.keyless = s.agent(t, toWorkspace)
			s.keyless.start(t)
			s.scrapeWith(t, s.keyless.url+"/api/v1/write", setting)
			s.flows(t)
			s.badWeather(t, sandbox.Workspace)
			s.allArrived(t, 5000)
		})
	}
}

// losesToRefusals wants a Prometheus without a proxy to give up what meets a status that is
// no fault of the data, and nothing that meets an error of the server.
func (s *shipment) losesToRefusals(t *testing.T) {
	t.Helper()
	for _, fault := range weather {
		before := s.from.gaveUp(t)
		s.meets(t, sandbox.Workspace, fault)
		if lost, want := s.from.gaveUp(t)-before, fault.Status/100 == 4; (lost > 0) != want {
			t.Errorf("%s: %d samples were given up, want some: %t", fault.String(), lost, want)
		}
	}
	until := time.Now()
	all, lost := compare(s.arrived(t, until, ""), s.from.samples(t, until, ""))
	if lost == 0 {
		t.Errorf("all %d samples arrived: what is keyless for?", all)
	}
	t.Logf("%d of %d samples did not arrive", lost, all)
}

// The receiver does look at who writes.
func TestAnIdentityWithoutTheRoleIsNoReference(t *testing.T) {
	currentPrometheus(t)
	t.Parallel()
	s := webApp(t)
	s.scrapeWith(t, s.workspace(), "azuread: { cloud: AzurePublic, managed_identity: { client_id: "+sandbox.DemoAssignedClientID+" } }")
	eventually(t, "it is refused", func() bool {
		return strings.Contains(s.from.log.String(), "server returned HTTP status 403")
	})
	if n := s.Samples(""); n != 0 {
		t.Errorf("%d samples arrived", n)
	}
}

// That keyless hands the counts of version 2.0 back is why no sample counts as lost above:
// the same Prometheus complains of a proxy that leaves them out.
func TestACurrentPrometheusWantsTheCountsOfWhatWasWritten(t *testing.T) {
	currentPrometheus(t)
	t.Parallel()
	s := webApp(t)
	s.scrapeWith(t, forgetful(t, s.workspace()), writeVersions["2.0"]+managedIdentity)
	eventually(t, "Prometheus complains", func() bool {
		return strings.Contains(s.from.log.String(), "response header statistics indicate 0 samples")
	})
	if s.Samples("up") == 0 {
		t.Error("nothing has arrived: the complaint is about something else")
	}
}

// forgetful is a proxy to an address that hands no counts back.
func forgetful(t *testing.T, to string) string {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	front := &http.Server{Addr: freeAddress(t), ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL, r.Out.Host = target, "" },
		ModifyResponse: func(answer *http.Response) error {
			for name := range answer.Header {
				if strings.HasPrefix(name, "X-Prometheus-Remote-Write-") {
					answer.Header.Del(name)
				}
			}
			return nil
		},
	}}
	go func() { _ = front.ListenAndServe() }()
	t.Cleanup(func() { _ = front.Close() })
	return "http://" + front.Addr + "/"
}

// authenticators are the ways of azuread to prove itself, each with a host that it is for.
// Only a managed identity can be led to loopback: the others go to the true names.
var authenticators = map[string]struct{ host, block string }{
	"managed identity":               {"vm", "managed_identity: {}"},
	"managed identity of the server": {"arc", "managed_identity: {}"},
	"workload identity":              {"aks", "workload_identity: { client_id: " + sandbox.DemoAppClientID + ", tenant_id: " + sandbox.DemoTenantID + " }"},
	"oauth":                          {"vm", "oauth: { client_id: " + sandbox.DemoAppClientID + ", tenant_id: " + sandbox.DemoTenantID + ", client_secret: " + sandbox.DemoAppSecret + " }"},
	"certificate":                    {"vm", "certificate: { client_id: " + sandbox.DemoAppClientID + ", tenant_id: " + sandbox.DemoTenantID + ", certificate_path: FOLDER/app.pem }"},
	"sdk":                            {"vm", "sdk: {}"},
	"sdk in a pod":                   {"aks", "sdk: {}"},
	wrongSecret:                      {"vm", "oauth: { client_id: " + sandbox.DemoAppClientID + ", tenant_id: " + sandbox.DemoTenantID + ", client_secret: wrong }"},
}

// wrongSecret is the one of them that must not get in.
const wrongSecret = "oauth with a wrong secret"

// authenticatorMark names to the program inside which one to use.
const authenticatorMark = "INTEROP_AUTHENTICATOR"

func TestEveryAuthenticatorOfACurrentPrometheusInIsolation(t *testing.T) {
	currentPrometheus(t)
	if name := os.Getenv(authenticatorMark); name != "" {
		authenticates(t, name)
		return
	}
	for name, a := range authenticators {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := isolated(t, a.host, "/usr/bin/env", "INTEROP_SLOW=1", authenticatorMark+"="+name, os.Args[0], "-test.v", "-test.run", "^"+strings.Split(t.Name(), "/")[0]+"$")
			if got.code != 0 || !strings.Contains(got.stdout, "--- PASS: ") || strings.Contains(got.stdout, "--- SKIP") {
				t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// authenticates is what goes on inside: everything arrives, or nothing does.
func authenticates(t *testing.T, name string) {
	t.Helper()
	env := environmentOf(os.Environ())
	to := env["KEYLESS_SANDBOX_AZURE_METRICS_URL"]
	receiver, _, _ := strings.Cut(to, "/dataCollectionRules/")
	block := strings.ReplaceAll(authenticators[name].block, "FOLDER", filepath.Dir(env["KEYLESS_CONFIG"]))
	p := startPrometheus(t, currentPrometheus(t), env, sends(to, "500ms", writeVersions["2.0"]+", azuread: { cloud: AzurePublic, "+block+" }"))
	if name == wrongSecret {
		eventually(t, "it is refused", func() bool { return strings.Contains(p.log.String(), "AADSTS7000215") })
		if got := booked(t, receiver, ""); len(got) != 0 {
			t.Errorf("%d series arrived", len(got))
		}
		return
	}
	eventually(t, "samples arrive", func() bool { return len(booked(t, receiver, "up")) > 0 })
	until := time.Now()
	eventually(t, "every sample arrives", func() bool {
		all, lost := compare(booked(t, receiver, ""), p.samples(t, until, ""))
		return lost == 0 && all > 500
	})
}
