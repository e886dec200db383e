package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/graph"
)

// far plays both services in the process: it remembers what was asked and answers in
// turn; the last answer stands.
type far struct {
	answers []answer
	asked   []string
	bodies  []string
	bearer  string
}

type answer struct {
	status int
	body   string
}

var errGone = errors.New("connection reset")

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	f.asked, f.bodies, f.bearer = append(f.asked, r.Method+" "+r.URL.String()), append(f.bodies, string(body)), r.Header.Get("Authorization")
	a := f.answers[min(len(f.asked), len(f.answers))-1]
	if a.status == 0 {
		return nil, errGone
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func says(bodies ...string) *far {
	f := &far{}
	for _, body := range bodies {
		f.answers = append(f.answers, answer{http.StatusOK, body})
	}
	return f
}

func refuses(status int, code string) *far {
	return &far{answers: []answer{{status, fmt.Sprintf(`{"error":{"code":%q,"message":"said with canary-token"}}`, code)}}}
}

func login() keyless.TokenSource {
	return keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		return keyless.Token{Value: keyless.NewSecret("canary-token")}, nil
	})
}

func client(f *far) graph.Client {
	return graph.Client{Source: login(), HTTPClient: &http.Client{Transport: f}}
}

func arm(f *far) graph.ARM {
	return graph.ARM{Source: login(), HTTPClient: &http.Client{Transport: f}}
}

const (
	machine  = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
	identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
)

func TestAnApplicationIsFoundByTagAndReadToTheLastPage(t *testing.T) {
	f := says(`{"value":[{"id":"1","api":{"requestedAccessTokenVersion":1}}],"@odata.nextLink":"https://graph.microsoft.com/v1.0/applications?$skiptoken=x"}`, `{"value":[{"id":"2"}]}`)
	got, err := client(f).Tagged(t.Context(), "keyless:setup=o'vm")
	if err != nil || len(got) != 2 || *got[0].API.TokenVersion != 1 {
		t.Fatalf("%+v: %v", got, err)
	}
	want := "GET https://graph.microsoft.com/v1.0/applications?%24filter=tags%2Fany%28t%3At%20eq%20%27keyless%3Asetup%3Do%27%27vm%27%29"
	if f.asked[0] != want || !strings.HasSuffix(f.asked[1], "$skiptoken=x") || f.bearer != "Bearer canary-token" {
		t.Errorf("asked %q, want %q and its next page", f.asked, want)
	}
}

func TestATokenGoesToNoOtherHost(t *testing.T) {
	f := says(`{"value":[],"@odata.nextLink":"https://elsewhere.example/v1.0/applications"}`)
	if _, err := client(f).Tagged(t.Context(), "x"); err == nil || len(f.asked) != 1 {
		t.Errorf("asked %q: %v", f.asked, err)
	}
}

func TestOnlyWhatIsSetIsChanged(t *testing.T) {
	f := &far{answers: []answer{{http.StatusNoContent, ""}}}
	one := 1
	if err := client(f).UpdateApplication(t.Context(), "id", graph.Application{API: &graph.API{TokenVersion: &one}}); err != nil {
		t.Fatal(err)
	}
	if want := `{"api":{"requestedAccessTokenVersion":1}}`; f.bodies[0] != want || f.asked[0] != "PATCH https://graph.microsoft.com/v1.0/applications/id" {
		t.Errorf("%s with %s, want %s", f.asked[0], f.bodies[0], want)
	}
}

func TestARefusalHasTheServicesCodeAndNoToken(t *testing.T) {
	for code, status := range map[string]int{"Request_ResourceNotFound": 404, "Authorization_RequestDenied": 403, "Request_BadRequest": 400} {
		_, err := client(refuses(status, code)).ServicePrincipal(t.Context(), "id")
		var e *keyless.Error
		if !errors.As(err, &e) || e.Code != code || e.Hop != graph.HopGraph || e.Temporary || strings.Contains(fmt.Sprintf("%+v", e), "canary") {
			t.Errorf("%s: %+v", code, err)
		}
		if graph.Missing(err) != (status == 404) {
			t.Errorf("%s: Missing is %v", code, graph.Missing(err))
		}
	}
}

func TestWhatMayHaveBeenCreatedIsNotCreatedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answers: []answer{{}}}
		if _, err := client(f).CreateApplication(t.Context(), graph.Application{}); err == nil || len(f.asked) != 1 {
			t.Errorf("a lost answer: %d requests, want 1: %v", len(f.asked), err)
		}
		f = &far{answers: []answer{{429, ""}, {201, `{"id":"1"}`}}}
		if got, err := client(f).CreateApplication(t.Context(), graph.Application{}); err != nil || got.ID != "1" {
			t.Errorf("a refusal that passes: %+v: %v", got, err)
		}
		f = &far{answers: []answer{{}, {200, `{"id":"1"}`}}}
		if got, err := client(f).ServicePrincipal(t.Context(), "1"); err != nil || got.ID != "1" {
			t.Errorf("what only reads is asked again: %+v: %v", got, err)
		}
	})
}

func TestTheIdentityOfAResourceIsItsPrincipal(t *testing.T) {
	f := says(`{"identity":{"type":"SystemAssigned","principalId":"p","tenantId":"t"}}`)
	if got, err := arm(f).Identity(t.Context(), machine); err != nil || got.PrincipalID != "p" || f.asked[0] != "GET https://management.azure.com"+machine+"?api-version=2024-07-01" {
		t.Errorf("%+v by %q: %v", got, f.asked, err)
	}
	if got, err := arm(says(`{"properties":{"principalId":"p","clientId":"c","tenantId":"t"}}`)).Identity(t.Context(), identity); err != nil || got.PrincipalID != "p" || got.ClientID != "c" {
		t.Errorf("%+v: %v", got, err)
	}
	_, err := arm(says(`{"identity":{"userAssignedIdentities":{"x":{"principalId":"q"}}}}`)).Identity(t.Context(), machine)
	var e *keyless.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "user-assigned") {
		t.Errorf("without an identity of its own: %v", err)
	}
	for _, id := range []string{"", "/", "/subscriptions/s", identity + "/../x", identity[1:], identity + "?a=b", "https://elsewhere.example/subscriptions/s/resourceGroups/g/providers/p/t/n"} {
		f := says(`{}`)
		if _, err := arm(f).Identity(t.Context(), id); err == nil || len(f.asked) != 0 {
			t.Errorf("resource id %q was asked for: %q, %v", id, f.asked, err)
		}
	}
}

func TestAFederatedCredentialIsTheSameOfBothServices(t *testing.T) {
	want := graph.FederatedCredential{Name: "n", Issuer: "https://i", Subject: "s", Audiences: []string{"a"}}
	f := says(`{"value":[{"name":"n","properties":{"issuer":"https://i","subject":"s","audiences":["a"]}}]}`)
	got, err := arm(f).FederatedCredentials(t.Context(), identity)
	if err != nil || len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("%+v: %v", got, err)
	}
	f = says(`{}`)
	if err := arm(f).PutFederatedCredential(t.Context(), identity, want); err != nil || f.bodies[0] != `{"properties":{"audiences":["a"],"issuer":"https://i","subject":"s"}}` {
		t.Errorf("sent %q: %v", f.bodies, err)
	}
	f = says(`{}`)
	if err := client(f).AddFederatedCredential(t.Context(), "app", want); err != nil || f.bodies[0] != `{"name":"n","issuer":"https://i","subject":"s","audiences":["a"]}` {
		t.Errorf("sent %q: %v", f.bodies, err)
	}
}

func FuzzResourceID(f *testing.F) {
	f.Add(machine)
	f.Add(identity + "/..")
	f.Add("//host/" + machine)
	f.Fuzz(func(t *testing.T, id string) {
		if graph.CheckResourceID(id) != nil {
			return
		}
		far := says(`{"identity":{"principalId":"p"},"properties":{"principalId":"p"}}`)
		if _, err := arm(far).Identity(t.Context(), id); err != nil || !strings.HasPrefix(far.asked[0], "GET https://management.azure.com/") {
			t.Errorf("%q is taken, and asked as %q: %v", id, far.asked, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"value":[{"id":"1"}]}`), 200)
	f.Add([]byte(`{"error":{"code":"x","message":"y"}}`), 400)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		if status < 200 || status > 428 || status/100 == 3 || strings.Contains(string(body), "nextLink") {
			return // what is asked again would wait
		}
		got, err := client(&far{answers: []answer{{status, string(body)}}}).Tagged(t.Context(), "x")
		if _, marshals := json.Marshal(got); marshals != nil || err != nil && strings.Contains(err.Error(), "canary-token") {
			t.Errorf("%+v: %v", got, err)
		}
	})
}
