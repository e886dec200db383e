package audit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

// FuzzAudit reads anything: what comes out can be printed in every form, and every fix is a
// policy that IAM reads.
func FuzzAudit(f *testing.F) {
	for _, pattern := range []string{"testdata/files/*.json", "testdata/corpus/*/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Inventory
		if err := v.Add("f", data); err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		r := v.Judge()
		if r.Roles+len(r.Unjudged) < len(v.Roles) {
			t.Fatalf("%d roles were passed over", len(v.Roles)-r.Roles)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		if _, err := r.SARIF(""); err != nil {
			t.Fatal(err)
		}
		for _, finding := range r.Findings {
			checkFix(t, finding)
		}
	})
}

func checkFix(t *testing.T, f Finding) {
	t.Helper()
	if f.Why == "" || f.Advice == "" || f.Title == "" || f.Severity == 0 {
		t.Fatalf("%+v", f)
	}
	after := f.fixed()
	if after == nil {
		return
	}
	text, err := after.MarshalJSON()
	if err != nil || f.Fix() == "" {
		t.Fatalf("%s: %v", f.Rule, err)
	}
	if _, err := trust.Parse(text); err != nil && len(text) < trust.MaxDocument {
		t.Fatalf("%s: %v\n%s", f.Rule, err, text)
	}
}

// FuzzSubject: whatever the text, it reaches no further than the issuer, and the more of it
// stands before a wildcard, the less it reaches.
func FuzzSubject(f *testing.F) {
	f.Add("token.actions.githubusercontent.com", "sub", "repo:a@*/b@*:*", "x")
	f.Add("app.terraform.io", "sub", "organization:a:project:*:workspace:b:", ":")
	f.Add("gitlab.com", "sub", "project_path:a/b:", "*")
	f.Add("api.bitbucket.org/x", "sub", "{a}", "?")
	f.Add("example.com", "sub", "", "")
	f.Fuzz(func(t *testing.T, provider, claim, text, more string) {
		i := issuerOf(provider)
		certain, _, _ := strings.Cut(strings.ReplaceAll(text, "?", "*"), "*")
		if open, closer := i.scope(claim, certain+"*"), i.scope(claim, certain+"x*"); closer > open && i.formOf(claim, certain+"x*") == i.formOf(claim, certain+"*") {
			t.Errorf("%q reaches %d and with an x %d", certain+"*", open, closer)
		}
		if i.scope(claim, text+more) > i.widest() {
			t.Errorf("%q reaches beyond the issuer", text+more)
		}
		i.narrow(claim, text+more)
		stranger(text + more)
	})
}
