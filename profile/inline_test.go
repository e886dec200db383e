package profile

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/pipelines"
)

func inVM(more map[string]any) map[string]any {
	all := map[string]any{"source": map[string]any{"managed_identity": nil}, "audience": "api://x"}
	for key, value := range more {
		all[key] = value
	}
	return all
}

func TestAnInlineProfileIsThatOfTheFile(t *testing.T) {
	s, err := Inline(map[string]any{
		"source":   map[string]any{"client_secret": map[string]any{"tenant_id": "t", "client_id": 42, "client_secret": "${NOT_EXPANDED}"}},
		"audience": "api://x",
		"aws":      map[string]any{"role_arn": "arn:aws:iam::111122223333:role/x", "duration": "30m", "fips": true, "policy_arns": []any{"a", "b"}},
		"ca_file":  "/nowhere/ca.pem",
	})
	if err != nil {
		t.Fatal(err)
	}
	app := s.Source.ClientSecret
	if app.ClientID != "42" || app.ClientSecret.Value.Reveal() != "${NOT_EXPANDED}" || !s.AWS.FIPS || s.AWS.Duration.Minutes() != 30 || len(s.AWS.PolicyARNs) != 2 {
		t.Errorf("%+v, %+v", app, s.AWS)
	}
	if got := s.Source.Kind(); got != "client_secret" {
		t.Errorf("kind %q", got)
	}
}

func TestAnInlineSecretMayBeInAFile(t *testing.T) {
	s, err := Inline(inVM(map[string]any{"source": map[string]any{"client_secret": map[string]any{"tenant_id": "t", "client_id": "c", "client_secret": "file:/run/secret"}}}))
	if err != nil || s.Source.ClientSecret.ClientSecret.File != "/run/secret" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAnInlineProfileThatIsWrongSaysWhere(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]any
		path   string
		hint   string
	}{
		"a typing error":      {inVM(map[string]any{"audiance": "x"}), "audiance", `did you mean "audience"?`},
		"of the program's":    {inVM(map[string]any{"hots": "x"}), "hots", `did you mean "hosts"?`},
		"further down":        {inVM(map[string]any{"source": map[string]any{"managd_identity": nil}}), "source.managd_identity", `did you mean "managed_identity"?`},
		"no source":           {map[string]any{"audience": "api://x"}, "source", "managed_identity"},
		"no audience":         {map[string]any{"source": map[string]any{"arc": nil}}, "audience", "App ID URI"},
		"a list of something": {inVM(map[string]any{"audience": []any{struct{}{}}}), "audience[0]", ""},
		"a strange value":     {inVM(map[string]any{"audience": struct{}{}}), "audience", ""},
		"a block for a text":  {inVM(map[string]any{"audience": map[string]any{"a": "b"}}), "audience", ""},
	} {
		_, err := Inline(c.values, "hosts")
		var e *Error
		if !errors.As(err, &e) || e.Path != c.path || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %#v", name, err)
		}
	}
}

func TestTheSameIdentityForAnotherAudience(t *testing.T) {
	s, err := Inline(inVM(map[string]any{"aws": map[string]any{"role_arn": "arn:aws:iam::111122223333:role/x"}}))
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.For("https://monitor.azure.com/")
	if err != nil || other.Audience != "https://monitor.azure.com/" || other.AWS != nil || s.Audience != "api://x" || s.AWS == nil {
		t.Errorf("%+v, %v; the first one: %+v", other, err, s)
	}
	job, err := Inline(map[string]any{"source": map[string]any{"azure_pipelines": map[string]any{"service_connection_id": "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.For("https://monitor.azure.com/"); err == nil {
		t.Error("a token of Azure Pipelines for another audience")
	}
	if _, err := job.For(pipelines.ExchangeAudience); err != nil {
		t.Error(err)
	}
	if kind := (*Source)(nil).Kind(); kind != "" {
		t.Errorf("kind %q of nothing", kind)
	}
}
