package trust_test

import (
	"testing"

	"github.com/keyless-id/keyless/trust"
)

const (
	tenant   = "11111111-2222-3333-4444-555555555555"
	key      = "sts.windows.net/" + tenant + "/"
	provider = "arn:aws:iam::111122223333:oidc-provider/" + key
	role     = "arn:aws:iam::111122223333:role/app"
)

func parse(t *testing.T, document string) *trust.Policy {
	t.Helper()
	policy, err := trust.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

const pinned = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
	"Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity",
	"Condition":{"StringEquals":{"` + key + `:aud":"api://app","` + key + `:sub":"vm-object-id"}}}]}`

func TestAPinnedSubjectIsLetInAndAnotherIsNot(t *testing.T) {
	policy := parse(t, pinned)
	claims := trust.Claims{"aud": "api://app", "sub": "vm-object-id"}
	if d := policy.Evaluate(trust.WebIdentityRequest(provider, claims, "vm", role)); !d.Allowed || d.FirstFailure() != "" {
		t.Fatalf("refused: %+v", d)
	}
	claims["sub"] = "someone-else"
	d := policy.Evaluate(trust.WebIdentityRequest(provider, claims, "vm", role))
	want := `condition StringEquals ` + key + `:sub: want "vm-object-id", got "someone-else"`
	if d.Allowed || d.FirstFailure() != want {
		t.Fatalf("got %v %q, want %q", d.Allowed, d.FirstFailure(), want)
	}
}
