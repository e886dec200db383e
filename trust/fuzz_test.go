package trust_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

func addCorpus(f *testing.F, add func(document []byte)) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		document, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(document)
	}
}

func FuzzParse(f *testing.F) {
	addCorpus(f, func(document []byte) { f.Add(document) })
	f.Fuzz(func(t *testing.T, document []byte) {
		policy, err := trust.Parse(document)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		checkRoundTrip(t, policy)
	})
}

func FuzzEvaluate(f *testing.F) {
	addCorpus(f, func(document []byte) { f.Add(document, []byte(`{"aud":"a","sub":"s","azp":["x"]}`), "k", "v") })
	f.Fuzz(func(t *testing.T, document, token []byte, name, value string) {
		policy, err := trust.Parse(document)
		if err != nil {
			return
		}
		var c trust.Claims
		if json.Unmarshal(token, &c) != nil {
			c = nil
		}
		request := trust.WebIdentityRequest(provider, c, value, role)
		request.Context[name] = []string{value}
		checkDecision(t, policy, request)
	})
}

// checkDecision holds the verdict to its own evidence and to a blanket Deny.
func checkDecision(t *testing.T, policy *trust.Policy, request trust.Request) {
	t.Helper()
	d := policy.Evaluate(request)
	allow, deny := false, false
	for _, s := range d.Statements {
		allow = allow || s.Matched && s.Effect == trust.Allow
		deny = deny || s.Matched && s.Effect == trust.Deny
	}
	if d.Allowed != (allow && !deny) || d.Allowed != (d.FirstFailure() == "") {
		t.Fatalf("allowed %v, allow %v, deny %v, %q", d.Allowed, allow, deny, d.FirstFailure())
	}
	everyone := trust.Statement{Effect: trust.Deny, Principals: []trust.Principal{{Type: trust.Anyone, ID: "*"}}, Actions: []string{"*"}}
	closed := trust.Policy{Version: policy.Version, Statements: append([]trust.Statement{everyone}, policy.Statements...)}
	if closed.Evaluate(request).Allowed {
		t.Fatal("a Deny lost")
	}
}
