package pipelines_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/pipelines"
)

// far answers in the process and remembers the last request.
type far struct {
	handler http.Handler
	seen    *http.Request
	body    string
	count   int
}

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	f.seen, f.count = r, f.count+1
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		f.body = string(raw)
	}
	recorder := httptest.NewRecorder()
	f.handler.ServeHTTP(recorder, r)
	response := recorder.Result()
	response.Request = r
	return response, nil
}

func jobAt(f *far) pipelines.Job {
	return pipelines.Job{
		RequestURI: "https://dev.azure.com" + path, AccessToken: keyless.NewSecret(accessToken), ServiceConnectionID: connectionID,
		Client: &http.Client{Transport: f},
	}
}

func wantError(t *testing.T, err error, code, hint string) {
	t.Helper()
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != keyless.HopSource || e.Op == "" {
		t.Errorf("error %v (%T), want a *keyless.Error of the source", err, err)
		return
	}
	if e.Code != code || !strings.Contains(e.Hint, hint) || e.Temporary {
		t.Errorf("code %q, temporary %v, hint %q; want %q, %q: %v", e.Code, e.Temporary, e.Hint, code, hint, err)
	}
	if text := err.Error() + e.Hint; strings.Contains(text, "hunter2") || strings.Contains(text, "eyJ") {
		t.Errorf("a secret is in %q", text)
	}
}

func TestTheRequestIsWhatTheServiceWants(t *testing.T) {
	for uri, want := range map[string]string{
		"https://dev.azure.com" + path:                       "api-version=7.1&serviceConnectionId=" + connectionID,
		"https://dev.azure.com" + path + "?":                 "api-version=7.1&serviceConnectionId=" + connectionID,
		"https://dev.azure.com" + path + "?x=1&y=a%26b":      "api-version=7.1&serviceConnectionId=" + connectionID + "&x=1&y=a%26b",
		"https://dev.azure.com" + path + "?api-version=6.0":  "api-version=7.1&serviceConnectionId=" + connectionID,
		"https://org.visualstudio.com" + path + "?hello=you": "api-version=7.1&hello=you&serviceConnectionId=" + connectionID,
	} {
		f := &far{handler: says(vstoken("sc://org/project/aws"))}
		j := jobAt(f)
		j.RequestURI = uri
		token, err := j.Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if left := time.Until(token.Expiry); left < 4*time.Minute || left > 5*time.Minute {
			t.Errorf("%s left", left)
		}
		r := f.seen
		if r.Method != http.MethodPost || r.URL.RawQuery != want || r.URL.Path != path || f.body != "" ||
			r.Header.Get("Authorization") != "Bearer "+accessToken || r.Header.Get("X-TFS-FedAuthRedirect") != "Suppress" {
			t.Errorf("%s: asked %s %s with %q and %v, want query %q", uri, r.Method, r.URL, f.body, r.Header, want)
		}
	}
}

func TestWithoutAConnectionTheTokenIsThePipelines(t *testing.T) {
	f := &far{handler: says(vstoken("p://org/project/build"))}
	j := jobAt(f)
	j.ServiceConnectionID = ""
	if _, err := j.Token(t.Context()); err != nil || f.seen.URL.RawQuery != "api-version=7.1" {
		t.Errorf("asked %s: %v", f.seen.URL, err)
	}
}

func TestMistakesAreSaidBeforeTheFirstRequest(t *testing.T) {
	for want, change := range map[string]func(*pipelines.Job){
		"not its name":               func(j *pipelines.Job) { j.ServiceConnectionID = "aws-production" },
		"SYSTEM_OIDCREQUESTURI":      func(j *pipelines.Job) { j.RequestURI = "" },
		"plain http":                 func(j *pipelines.Job) { j.RequestURI = "http://dev.azure.com" + path },
		"nothing else":               func(j *pipelines.Job) { j.RequestURI = "https://u:p@dev.azure.com" + path },
		"env: SYSTEM_ACCESSTOKEN":    func(j *pipelines.Job) { j.AccessToken = keyless.Secret{} },
		"nobody replaced":            func(j *pipelines.Job) { j.AccessToken = keyless.NewSecret("$(System.AccessToken)") },
		"not printable ASCII":        func(j *pipelines.Job) { j.AccessToken = keyless.NewSecret("hunter2\r\nX: y") },
		"want the connection's id (": func(j *pipelines.Job) { j.ServiceConnectionID = connectionID + "x" },
	} {
		f := &far{handler: says(vstoken("sc://org/project/aws"))}
		j := jobAt(f)
		change(&j)
		_, err := j.Token(t.Context())
		if err == nil || f.count != 0 || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d requests: %v, want %q", f.count, err, want)
		}
	}
}

func TestATokenForSomethingElseIsNotHandedOn(t *testing.T) {
	subject, err := pipelines.Subject(tenantID, organizationID, connectionID)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pipelines.Subject(tenantID, organizationID, tenantID)
	if err != nil {
		t.Fatal(err)
	}
	entra := func(subject string) string {
		return jwt(map[string]any{"iss": "https://login.microsoftonline.com/" + tenantID + "/v2.0", "sub": subject, "aud": pipelines.ExchangeAudienceID, "exp": time.Now().Add(time.Hour).Unix()})
	}
	for name, c := range map[string]struct{ token, want, code, hint string }{
		"the connection's":        {entra(subject), subject, "", ""},
		"any of the connection's": {entra(subject), "", "", ""},
		"the older one":           {vstoken("sc://org/project/aws"), "sc://org/project/aws", "", ""},
		"the pipeline's":          {vstoken("p://org/project/build"), "", pipelines.CodeWrongConnection, "not its name"},
		"another connection's":    {entra(other), "", pipelines.CodeWrongConnection, "old answer"},
		"converted":               {entra(subject), "sc://org/project/aws", pipelines.CodeWrongSubject, "converted"},
		"not converted":           {vstoken("sc://org/project/aws"), subject, pipelines.CodeWrongSubject, "2027-07-01"},
		"renamed":                 {vstoken("sc://org/project/new"), "sc://org/project/aws", pipelines.CodeWrongSubject, "to the letter"},
	} {
		t.Run(name, func(t *testing.T) {
			j := jobAt(&far{handler: says(c.token)})
			j.Subject = c.want
			_, err := j.Token(t.Context())
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, c.code, c.hint)
		})
	}
}

func TestRefusalsComeWithAHint(t *testing.T) {
	tfs := func(status int, kind, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Vss-E2eid", "e2e")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"$id":"1","message":"`+message+`","typeKey":"`+kind+`","errorCode":0,"eventId":3000}`)
		}
	}
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for name, c := range map[string]struct {
		answer     http.HandlerFunc
		code, hint string
	}{
		"unreferenced":       {tfs(400, "E", "There is no explicit reference to service connection x from current stage."), "E", "condition: false"},
		"unknown":            {tfs(404, "E", "No such endpoint "+accessToken), "E", "connection id right"},
		"forbidden":          {tfs(403, "E", "TF400813"), "E", "permit the pipeline"},
		"without a type":     {tfs(409, "", "what"), "HTTP 409", "says why"},
		"401":                {status(401, ""), pipelines.CodeSignIn, "SYSTEM_ACCESSTOKEN"},
		"401 in words":       {tfs(401, "E", "TF400813"), "E", "SYSTEM_ACCESSTOKEN"},
		"203":                {status(203, "<html>Sign In</html>"), pipelines.CodeSignIn, "SYSTEM_ACCESSTOKEN"},
		"302 to sign in":     {redirect("https://app.vssps.visualstudio.com/_signin?x=y"), pipelines.CodeSignIn, "SYSTEM_ACCESSTOKEN"},
		"302 elsewhere":      {redirect("https://portal.example/"), "", "captive portal"},
		"302 to a lookalike": {redirect("https://notvisualstudio.com/"), "", "captive portal"},
		"418":                {status(418, "tea"), "HTTP 418", "not like Azure DevOps"},
		"no JWT":             {status(200, `{"oidcToken":"eyJx"}`), "", "address answers"},
		"no expiry":          {status(200, `{"oidcToken":"`+jwt(map[string]any{"sub": "x"})+`"}`), "", "address answers"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &far{handler: c.answer}
			_, err := jobAt(f).Token(t.Context())
			wantError(t, err, c.code, c.hint)
			if f.count != 1 {
				t.Errorf("%d requests", f.count)
			}
		})
	}
}
