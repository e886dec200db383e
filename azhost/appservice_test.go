package azhost_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
)

func appService(f *far) azhost.AppService {
	return azhost.AppService{Resource: resource, Endpoint: nowhere, Header: keyless.NewSecret(hunter2), Client: &http.Client{Transport: f}}
}

func TestTheRequestIsTheOneThatAppServiceWants(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*azhost.AppService)
		want    url.Values
		version string
		header  string
	}{
		"system-assigned":   {func(*azhost.AppService) {}, url.Values{}, "2019-08-01", "X-Identity-Header"},
		"client id":         {func(a *azhost.AppService) { a.ClientID = "c" }, url.Values{"client_id": {"c"}}, "2019-08-01", "X-Identity-Header"},
		"object id":         {func(a *azhost.AppService) { a.ObjectID = "o" }, url.Values{"object_id": {"o"}}, "2019-08-01", "X-Identity-Header"},
		"resource id":       {func(a *azhost.AppService) { a.ResourceID = "/a/b&c" }, url.Values{"mi_res_id": {"/a/b&c"}}, "2019-08-01", "X-Identity-Header"},
		"of 2017":           {func(a *azhost.AppService) { a.Legacy = true }, url.Values{}, "2017-09-01", "Secret"},
		"of 2017 client id": {func(a *azhost.AppService) { a.Legacy, a.ClientID = true, "c" }, url.Values{"clientid": {"c"}}, "2017-09-01", "Secret"},
	} {
		f := &far{}
		source := appService(f)
		c.change(&source)
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.want.Set("resource", resource)
		c.want.Set("api-version", c.version)
		if got, want := f.seen[0].URL.String(), nowhere+"?"+c.want.Encode(); got != want {
			t.Errorf("%s: asked %q, want %q", name, got, want)
		}
		if got := f.seen[0].Header.Get(c.header); got != hunter2 || f.seen[0].Header.Get("Metadata") != "" {
			t.Errorf("%s: headers %v", name, f.seen[0].Header)
		}
	}
}

func TestMistakesInAnAppServiceAreSaidBeforeAsking(t *testing.T) {
	for want, change := range map[string]func(*azhost.AppService){
		`resource ""`:          func(a *azhost.AppService) { a.Resource = "" },
		"identity header is":   func(a *azhost.AppService) { a.Header = keyless.Secret{} },
		"printable ASCII":      func(a *azhost.AppService) { a.Header = keyless.NewSecret("hunter2\r\nHost: x") },
		"more than one":        func(a *azhost.AppService) { a.ClientID, a.ObjectID = "c", "o" },
		"client id only":       func(a *azhost.AppService) { a.Legacy, a.ObjectID = true, "o" },
		"the client id only":   func(a *azhost.AppService) { a.Legacy, a.ResourceID = true, "r" },
		"plain http":           func(a *azhost.AppService) { a.Endpoint = "http://app.example/msi/token" },
		"endpoint: address \"": func(a *azhost.AppService) { a.Endpoint = "" },
	} {
		f := &far{}
		source := appService(f)
		change(&source)
		if source.Validate() == nil {
			t.Errorf("%s: Validate finds nothing", want)
		}
		_, err := source.Token(t.Context())
		wantErrorOf(t, err, "app service", want, false)
		if len(f.seen) != 0 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: asked all the same, or says too much: %v", want, err)
		}
	}
}

func TestAnExpiryIsReadInTheFormThatThePlatformWrites(t *testing.T) {
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for _, layout := range []string{"01/02/2006 15:04:05 -07:00", "1/2/2006 3:04:05 PM -07:00", "2006-01-02 15:04:05", time.RFC3339} {
		token, err := appService(says(200, `{"access_token":"a.b.c","expires_on":"`+soon.Format(layout)+`"}`)).Token(t.Context())
		if err != nil || !token.Expiry.Equal(soon) {
			t.Errorf("%s: %v, %v, want %v", soon.Format(layout), token.Expiry, err, soon)
		}
	}
}

func TestHintsForWhatPeopleMeetOnAppService(t *testing.T) {
	for want, c := range map[string]struct {
		status    int
		body      string
		text      string
		temporary bool
	}{
		"take IDENTITY_HEADER": {401, `{"statusCode":401,"message":"Forbidden"}`, "HTTP 401: Forbidden", false},
		"the header's value":   {400, "Invalid secret token header: " + hunter2, "Invalid secret token header: [redacted]", false},
		"az webapp identity":   {400, `{"StatusCode":400,"Message":"No Managed Identity found for specified ClientId/ResourceId/PrincipalId.","CorrelationId":"x"}`, "No Managed Identity found", false},
		"character by":         {400, `{"statusCode":400,"message":"AADSTS500011: The resource principal was not found"}`, "AADSTS500011", false},
		"may answer later":     {500, `{"statusCode":500,"message":"unavailable"}`, "HTTP 500: unavailable", true},
		"captive portal":       {200, "<html>log in</html>", "<html>", false},
	} {
		err := tokenError(t, appService(says(c.status, c.body)))
		if e := wantErrorOf(t, err, "app service", c.text, c.temporary); !strings.Contains(e.Hint, want) {
			t.Errorf("hint %q does not say %q", e.Hint, want)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the header is in %v", err)
		}
	}
}

// tokenError asks on a clock that runs ahead while nothing happens.
func tokenError(t *testing.T, source keyless.TokenSource) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { _, err = source.Token(t.Context()) })
	return err
}
