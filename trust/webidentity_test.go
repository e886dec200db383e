package trust_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

func claims(t *testing.T, text string) trust.Claims {
	t.Helper()
	var c trust.Claims
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClaimsBecomeTheKeysOfTheDefaultMapping(t *testing.T) {
	c := claims(t, `{"iss":"i","aud":["a","b"],"azp":"caller","sub":"s","amr":["x","y"],"email":"e@example.com","tid":"not a key",
		"https://aws.amazon.com/tags":{"principal_tags":{"team":["blue"]},"transitive_tag_keys":["team"]},
		"https://aws.amazon.com/tags/principal_tags/cost":"7","https://aws.amazon.com/source_identity":"me",
		"https://aws.amazon.com/roles":["arn:aws:iam::1:role/x;`+role+`"]}`)
	got := trust.WebIdentityRequest(provider, c, "session", role)
	want := map[string][]string{
		key + ":aud": {"caller"}, key + ":oaud": {"a", "b"}, key + ":sub": {"s"}, key + ":amr": {"x", "y"}, key + ":email": {"e@example.com"},
		"aws:FederatedProvider": {provider}, "sts:RoleSessionName": {"session"}, "sts:SourceIdentity": {"me"},
		"aws:RequestTag/team": {"blue"}, "aws:RequestTag/cost": {"7"}, "aws:TagKeys": {"cost", "team"},
		"sts:TransitiveTagKeys": {"team"}, "sts:RoleAuthorizedByIdp": {"true"},
	}
	if !reflect.DeepEqual(got.Context, want) {
		t.Errorf("got  %v\nwant %v", got.Context, want)
	}
	if got.Principal != (trust.Principal{Type: trust.Federated, ID: provider}) || got.Action != trust.AssumeRoleWithWebIdentity {
		t.Errorf("%+v", got)
	}
	actions := []string{trust.AssumeRoleWithWebIdentity, trust.TagSession, trust.SetSourceIdentity}
	if got := trust.WebIdentityActions(c); !reflect.DeepEqual(got, actions) {
		t.Errorf("actions %v", got)
	}
}

func TestAPlainTokenHasFewKeys(t *testing.T) {
	got := trust.WebIdentityRequest("https://issuer.example/", claims(t, `{"aud":"a","sub":"s"}`), "session", role)
	want := map[string][]string{
		"issuer.example/:aud": {"a"}, "issuer.example/:oaud": {"a"}, "issuer.example/:sub": {"s"},
		"aws:FederatedProvider": {"https://issuer.example/"}, "sts:RoleSessionName": {"session"},
	}
	if !reflect.DeepEqual(got.Context, want) {
		t.Errorf("got  %v\nwant %v", got.Context, want)
	}
}

func TestARoleThatTheProviderDoesNotListIsNotAuthorized(t *testing.T) {
	got := trust.WebIdentityRequest(provider, claims(t, `{"https://aws.amazon.com/roles":"arn:aws:iam::1:role/x"}`), "s", role)
	if v := got.Context["sts:RoleAuthorizedByIdp"]; len(v) != 1 || v[0] != "false" {
		t.Error(v)
	}
}

func TestTheProviderKeepsItsTrailingSlash(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://sts.windows.net/t/":               "sts.windows.net/t/",
		"https://login.microsoftonline.com/t/v2.0": "login.microsoftonline.com/t/v2.0",
		"token.actions.githubusercontent.com":      "token.actions.githubusercontent.com",
	} {
		if got := trust.ProviderKey(issuer); got != want {
			t.Errorf("%s: %s", issuer, got)
		}
	}
	if got := trust.ProviderARN("aws-cn", "111122223333", "https://x/y/"); got != "arn:aws-cn:iam::111122223333:oidc-provider/x/y/" {
		t.Error(got)
	}
}
